"""What is read and written, on local disks and object stores; no Beam, no decoding."""
