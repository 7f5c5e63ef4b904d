"""Training of landmark networks on labelled faces."""
