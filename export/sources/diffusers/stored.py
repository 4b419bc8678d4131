"""The weights of one component, wherever they lie and whatever they are called there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from denoisert.export.sources.diffusers.fit import check_fit, read_weights
from denoisert.export.sources.diffusers.weights import read_headers
from denoisert.runtime.bundle.weights import Tensor

if TYPE_CHECKING:
    import torch

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor name of a network -> its shape."""


class Stored(Protocol):
    """Weights that can be compared with a network before any of them is read."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Where they lie."""
        ...

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Where each of them lies, and its dtype and shape there."""
        ...

    def check(self, wanted: Shapes) -> None:
        """Compare with a network, from headers alone.

        Raises:
            ExportError: a tensor is missing, too much, of another shape or no float.
        """
        ...

    def read(self, wanted: Shapes) -> dict[str, torch.Tensor]:
        """Every tensor of a network in float32, under the network's names.

        Raises:
            ExportError: they do not fit.
        """
        ...


@dataclass(frozen=True, slots=True)
class Files:
    """The weight files in a component's folder.

    Args:
        files: what `find_weights` returned.
        where: the component, for errors.
    """

    files: tuple[Path, ...]
    where: str

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Those of all files, from their headers."""
        headers = read_headers(self.files, self.where)
        return {name: tensor for name, (tensor, _) in headers.items()}

    def check(self, wanted: Shapes) -> None:
        """Compare with a network, from headers alone."""
        check_fit(wanted, self.files, self.where)

    def read(self, wanted: Shapes) -> dict[str, torch.Tensor]:
        """Every tensor of a network in float32, under the network's names."""
        return read_weights(wanted, self.files, self.where)
