"""The torch engine: a bundle's own ONNX graph, executed by torch operators on static buffers."""
