"""Networks, codecs, filters, training and metrics: plain numpy and torch, no Beam."""
