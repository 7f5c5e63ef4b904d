"""Errors of landmark networks and of finished tracks on labelled faces."""
