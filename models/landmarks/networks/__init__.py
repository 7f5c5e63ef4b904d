"""The landmark networks of both papers, in plain torch."""
