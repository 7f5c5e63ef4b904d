"""The usual loop of another tool over some videos; run it in an environment with the tool.

    python peer_loops.py mediapipe|dlib SECONDS VIDEO ...

Prints JSON: frames, and for each video and frame the (x, y) centres of the faces' landmarks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

Landmarks = list[np.ndarray]  # (L, 2) px of each face


def mediapipe_loop() -> Callable[[np.ndarray], Landmarks]:
    """Face mesh in its documented video mode, which tracks from frame to frame."""
    import mediapipe

    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=False, max_num_faces=4)

    def find(rgb: np.ndarray) -> Landmarks:
        faces = mesh.process(rgb).multi_face_landmarks or []
        size = rgb.shape[1], rgb.shape[0]
        return [np.array([[p.x, p.y] for p in face.landmark]) * size for face in faces]

    return find


def dlib_loop() -> Callable[[np.ndarray], Landmarks]:
    """dlib's HOG detector on every frame, and its 68 points."""
    import dlib
    import face_recognition_models

    detector = dlib.get_frontal_face_detector()
    predictor = dlib.shape_predictor(face_recognition_models.pose_predictor_model_location())

    def find(rgb: np.ndarray) -> Landmarks:
        shapes = [predictor(rgb, box) for box in detector(rgb, 0)]
        return [np.array([[p.x, p.y] for p in shape.parts()], float) for shape in shapes]

    return find


LOOPS = {"mediapipe": mediapipe_loop, "dlib": dlib_loop}


def main() -> None:
    tool, seconds, *videos = sys.argv[1:]
    cv2.setNumThreads(1)
    centres: dict[str, list[list[list[float]]]] = {}
    for video in videos:
        find = LOOPS[tool]()
        source = cv2.VideoCapture(video)
        last = float(seconds) * (source.get(cv2.CAP_PROP_FPS) or 25)
        frames: list[list[list[float]]] = []
        while len(frames) < last:
            ok, bgr = source.read()
            if not ok:
                break
            faces = find(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
            frames.append([face.mean(0).tolist() for face in faces])
        centres[Path(video).name] = frames
    json.dump(centres, sys.stdout)


if __name__ == "__main__":
    main()
