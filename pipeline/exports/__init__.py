"""Tracks in the formats of other tools: a module a format, all of them in `formats.py`."""
