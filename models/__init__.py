"""Pre-labelling with ONNX models. The word "model" means an ONNX model, never a table."""
