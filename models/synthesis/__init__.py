"""Synthetic and real face motion with ground truth, for fitting stabilizers."""
