"""Where a model comes from: a zoo folder, a torch module, or one ONNX file."""
