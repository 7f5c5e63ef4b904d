"""Records that travel, Arrow schemas, the landmark layout, the error tree. No Beam, no torch."""
