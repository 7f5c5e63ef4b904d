"""What training and evaluation read."""
