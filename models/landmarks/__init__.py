"""Landmark networks in use: the model and its card, labelled faces, training, evaluation."""
