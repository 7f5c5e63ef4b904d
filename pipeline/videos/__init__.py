"""Videos read beside their tracks, and written: frames in, an encoder out, redaction, crops."""
