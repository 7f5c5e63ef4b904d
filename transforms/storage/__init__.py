"""Reads and writes on local disks and object stores; no Beam, no decoding."""
