"""Decodes videos with FFmpeg in child processes; no Beam."""
