"""Graphs: torch -> ONNX, then one pass a file; every pass takes and changes an `onnx_ir` model."""
