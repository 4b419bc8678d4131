"""The compilers "tensorrt-rtx" and "tensorrt": one ONNX graph to one engine file."""
