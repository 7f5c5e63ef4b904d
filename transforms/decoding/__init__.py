"""Videos as FFmpeg sees them, decoded in child processes; no Beam."""
