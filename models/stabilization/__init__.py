"""Stabilizers of landmark tracks: filters, smoothers, their fitting and metrics."""
