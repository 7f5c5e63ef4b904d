"""External landmark networks: ONNX files with a card, checked, run by onnxruntime."""
