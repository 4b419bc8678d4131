"""Devices: where a pool's memory lives and its kernels run."""
