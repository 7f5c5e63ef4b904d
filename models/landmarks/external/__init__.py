"""Landmark networks from elsewhere: ONNX files with a card, checked, run by onnxruntime."""
