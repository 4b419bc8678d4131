"""The networks of one shape on one device, loaded when first asked for and shared by its jobs.

Weights of 10 GB take longer to load than a picture to compute, so jobs of one shape share them, and
the float32 pictures that are the truth lie beside the weights for the next process.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch

from bench.case import Setting
from bench.loop.baselines import Network
from bench.loop.network import network
from bench.loop.places import Places
from bench.loop.shapes.files import Saved, Shape, saved

DTYPES = {"cuda": "float16", "cpu": "float32"}


class Loaded:
    """One shape on one device.

    Args:
        files: the written shape.
        device: "cpu" or "cuda".
        dtype: torch's name of the network's dtype.
    """

    def __init__(self, files: Saved, device: str, dtype: str) -> None:
        self.files, self.device, self.dtype = files, device, dtype
        self.places = Places(files, device, dtype)

    @cached_property
    def network(self) -> Network:
        """What the loops in torch call."""
        return network(self.files, self.device, getattr(torch, self.dtype))

    def truth(self, key: str, run: Callable[[Network], np.ndarray]) -> np.ndarray:
        """What a loop makes of the float32 network; on CUDA it is kept beside the weights.

        Args:
            key: tells it from other jobs of the shape.
            run: computes it.
        """
        path = self.files.root / f"truth {key}.npy"
        if self.device == "cuda" and path.exists():
            kept: np.ndarray = np.load(path)
            return kept
        found = run(network(self.files, self.device, torch.float32))
        if self.device == "cuda":
            np.save(path, found)
        release()
        return found


class Shelf:
    """Gives the jobs of one file their networks; those of the last shape are kept.

    Args:
        device: "cpu" or "cuda".
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._shape: Shape | None = None
        self._loaded: Loaded | None = None

    def loaded(self, shape: Shape, setting: Setting) -> Loaded:
        """The networks of a shape."""
        if self._loaded is None or shape != self._shape:
            self._loaded = None  # two shapes at once may be more than the device holds
            release()
            files = saved(shape, setting.shelf)
            self._loaded = Loaded(files, self._device, DTYPES[self._device])
            self._shape = shape
        return self._loaded


def release() -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
