"""Transformers of equal blocks: one table of names for what is outside, one for a kind of block."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from denoisert.export.sources.diffusers.original.piece import (
    Piece,
    Pieces,
    Shape,
    Swapped,
    Whole,
    shared,
)

LAST: Final = {"query_norm": "scale", "key_norm": "scale"}
"""Layers whose only tensor the authors do not call weight."""

MODULATIONS: Final = ("norm_out.linear", "norm1_context.linear")
"""Layers that may give a shift and a scale alone, as the last ones of a network do."""

_BLOCK: Final = re.compile(r"((?:single_)?transformer_blocks)\.(\d+)\.(.+)")


@dataclass(frozen=True, slots=True)
class Names:
    """Names of layers.

    Args:
        layers: diffusers' path -> the authors'.
        joined: the authors' path of a layer -> those of diffusers that it is made of, in order.
    """

    layers: Mapping[str, str]
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Blocks:
    """Names of a whole transformer.

    Args:
        outside: of the layers outside of its blocks.
        inside: diffusers' list of blocks -> the authors' list, and the names in one of its blocks.
    """

    outside: Names
    inside: Mapping[str, tuple[str, Names]]

    def pieces(self, wanted: Mapping[str, Shape]) -> Pieces:
        """Where the tensors of a network lie.

        Args:
            wanted: tensor name -> shape.
        """
        found: dict[str, Piece] = {}
        for name in wanted:
            if name not in found:
                found |= self._place(name, wanted)
        return found

    def _place(self, name: str, wanted: Mapping[str, Shape]) -> dict[str, Piece]:
        path, _, last = name.rpartition(".")
        block = _BLOCK.fullmatch(path)
        if block is None or block[1] not in self.inside:
            return {name: _single(self.outside.layers.get(path, path), path, last, wanted)}
        place, names = self.inside[block[1]]
        before, inner = f"{place}.{block[2]}.", block[3]
        for key, parts in names.joined.items():
            joined = tuple(f"{path.removesuffix(inner)}{part}.{last}" for part in parts)
            if name in joined and all(each in wanted for each in joined):
                return shared(f"{before}{key}.{last}", joined, wanted)
        return {name: _single(before + names.layers.get(inner, inner), path, last, wanted)}


def _single(place: str, path: str, last: str, wanted: Mapping[str, Shape]) -> Piece:
    """A layer of its own; where it gives a shift and a scale and nothing else, they are swapped."""
    last = LAST.get(place.rpartition(".")[2], last)
    key = f"{place}.{last}" if place else last
    weight = wanted.get(f"{path}.weight", ())
    is_pair = len(weight) == 2 and weight[0] == 2 * weight[1]
    return Swapped(key) if is_pair and path.endswith(MODULATIONS) else Whole(key)
