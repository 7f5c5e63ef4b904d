"""Landmark networks from elsewhere: exported by torch, checked, never unpickled."""
