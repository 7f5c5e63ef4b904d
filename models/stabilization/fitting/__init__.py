"""Fitting, tuning and evaluation of stabilizers on tracks with ground truth."""
