"""One component of an original file: its tensors are compared with the network by their keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.fit import READABLE
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.diffusers.original.parts import Place
from denoisert.export.sources.diffusers.original.piece import Piece
from denoisert.export.sources.diffusers.stored import Shapes
from denoisert.runtime.bundle.weights import Tensor
from denoisert.runtime.errors import ExportError

if TYPE_CHECKING:
    import torch

COUNTED: Final = "position_ids"
"""End of the keys of tensors that are computed today."""

REMEDY: Final = "Give --config the configuration folder of the model that the file is of."


@dataclass(frozen=True, slots=True)
class Part:
    """The weights of one component in an original file.

    Args:
        path: of the file.
        component: as the configuration folder describes it.
        place: which keys it has.
        tensors: key below the place's prefix -> where it lies.
    """

    path: Path
    component: Component
    place: Place
    tensors: Mapping[str, Tensor]

    @property
    def files(self) -> tuple[Path, ...]:
        """The one file."""
        return (self.path,)

    def check(self, wanted: Shapes) -> None:
        """Compare with a network, from the header alone.

        Raises:
            ExportError: a key is missing or left over, or has another shape than the configuration
                says.
        """
        pieces = dict(self._pieces(wanted))
        missing = {piece.key for piece in pieces.values()} - self.tensors.keys()
        extra = self._extra(pieces, wanted)
        if missing or extra:
            raise ExportError(
                f"{self.path.name} does not fit the configuration of {self.component.name}: "
                f"{len(missing)} tensors are missing ({self._first(missing)}) and {len(extra)} are "
                f"left over ({self._first(extra)}). {REMEDY}"
            )
        for name, piece in pieces.items():
            self._check_tensor(piece, wanted[name])

    def read(self, wanted: Shapes) -> dict[str, torch.Tensor]:
        """Every tensor of a network in float32, under the network's names."""
        import torch
        from safetensors import safe_open

        prefix = self.place.prefix
        found = {name: torch.eye(wanted[name][0]) for name in self._units(wanted)}
        read: dict[Piece, torch.Tensor] = {}
        with safe_open(self.path, framework="pt") as file:
            for name, piece in self._pieces(wanted):
                if piece not in read:
                    value = piece.take(file.get_tensor(prefix + piece.key), wanted[name])
                    read[piece] = value.to(torch.float32).contiguous()
                found[name] = read[piece]
        return found

    def _pieces(self, wanted: Shapes) -> Iterator[tuple[str, Piece]]:
        """Names of the network, where each lies in the file."""
        units = set(self._units(wanted))
        for name, piece in self.place.pieces(wanted).items():
            if name not in units:
                yield name, piece

    def _units(self, wanted: Shapes) -> Iterator[str]:
        """Square tensors that the file leaves out, and which then change nothing."""
        for name in self.place.unit:
            is_square = len(set(wanted.get(name, ()))) == 1
            if is_square and name not in self.tensors:
                yield name

    def _extra(self, pieces: Mapping[str, Piece], wanted: Shapes) -> set[str]:
        spare = self.place.spare(wanted)
        rest = self.tensors.keys() - {piece.key for piece in pieces.values()}
        return {key for key in rest if not key.startswith(spare) and not key.endswith(COUNTED)}

    def _check_tensor(self, piece: Piece, shape: tuple[int, ...]) -> None:
        found, shapes = self.tensors[piece.key], piece.stored(shape)
        where = f"{self.path.name}: tensor {shown(self.place.prefix + piece.key)}"
        if found.shape not in shapes:
            raise ExportError(
                f"{where} is {found.shape}, and {shapes[0]} by the configuration of "
                f"{self.component.name}. {REMEDY}"
            )
        if found.dtype not in READABLE:
            raise ExportError(
                f"{where} is stored as {found.dtype}; {', '.join(READABLE)} are read. Save the "
                "model in one of them."
            )

    def _first(self, keys: set[str]) -> str:
        """Some keys as the file has them."""
        return ", ".join(shown(self.place.prefix + key) for key in sorted(keys)[:3]) or "none"
