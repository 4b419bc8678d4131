"""Memory that is made up for a launch: rows apart as in a pool, with poison behind each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

PITCH = 64  # elements; rows begin on its multiples
POISON = float("nan")

Run = Callable[[], object]


def nothing() -> None:
    """What has no state has nothing to reset."""


class Launch(NamedTuple):
    """Something to launch again and again.

    Args:
        run: one launch, on the current stream.
        reset: puts back what launches use up, such as the rows that a slot has left.
    """

    run: Run
    reset: Run = nothing


def pitch_of(elements: int) -> int:
    """Elements from one row to the next."""
    return -(-elements // PITCH) * PITCH


def rows(count: int, elements: int, device: str, dtype: str = "float32") -> torch.Tensor:
    """Normals, (count, elements), with poison behind every row."""
    import torch

    kind: torch.dtype = getattr(torch, dtype)
    whole = torch.full((count, pitch_of(elements)), POISON, device=device, dtype=kind)
    whole[:, :elements].normal_()
    return whole[:, :elements]
