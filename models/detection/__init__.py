"""The face detector: network, boxes, data, training, metrics."""
