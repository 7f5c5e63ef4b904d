"""Faces in motion, animated with exact truth or real: what stabilizers are fitted on."""
