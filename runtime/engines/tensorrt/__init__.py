"""Engines of TensorRT for RTX and of TensorRT: one code path, one table of what differs."""
