"""Training of the face detector on a teacher's boxes."""
