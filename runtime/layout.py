"""The shape of one latent state: named parts laid one after another in a flat vector.

Loop and kernels see latents as flat vectors of `elements` numbers, so images, video, audio, vectors
and states of
several parts are the same to them. The layout says how a flat vector falls apart into what the
network knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any

from denoisert.runtime.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Part:
    """One dense tensor of the state, without its batch dimension.

    Args:
        name: the graph input that takes this part.
        shape: channels first, for example (C, H, W), (C, F, H, W) or (width,).
    """

    name: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1:
            raise InvalidInput(
                f"part {self.name!r} has shape {self.shape}; every dimension must be at least 1."
            )

    @property
    def elements(self) -> int:
        """Numbers in this part."""
        return prod(self.shape)

    @property
    def channels(self) -> int:
        """Length of the first dimension."""
        return self.shape[0]

    @property
    def channel_stride(self) -> int:
        """Numbers in one channel."""
        return self.elements // self.channels


@dataclass(frozen=True, slots=True)
class StateLayout:
    """The parts of a state in their flat order; equal layouts share a pool."""

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        if not names or len(set(names)) != len(names):
            raise InvalidInput(f"a state needs parts of different names, found {names}.")

    @property
    def elements(self) -> int:
        """Numbers in the whole state."""
        return sum(part.elements for part in self.parts)

    @property
    def channels(self) -> int:
        """Channels of all parts where they are of one size, else 0."""
        is_even = len({part.channel_stride for part in self.parts}) == 1
        return sum(part.channels for part in self.parts) if is_even else 0

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """First and last + 1 flat index of every part."""
        ends = tuple(accumulate(part.elements for part in self.parts))
        return tuple(zip((0, *ends), ends, strict=False))

    def to_dict(self) -> list[dict[str, Any]]:
        """The JSON form, a list of parts."""
        return [{"name": part.name, "shape": list(part.shape)} for part in self.parts]

    @classmethod
    def from_dict(cls, data: list[Mapping[str, Any]]) -> StateLayout:
        """The inverse of `to_dict`."""
        return cls(tuple(Part(str(part["name"]), tuple(part["shape"])) for part in data))
