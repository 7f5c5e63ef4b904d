"""Fitting, tuning and judging stabilizers on tracks with truth."""
