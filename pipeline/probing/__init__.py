"""Estimates before a run: what the inputs are, how long annotating takes, what it costs."""
