"""How a tensor of a network is got from one of an original file.

Authors keep query, key and value in one matrix, store a projection the other way round, or write
linear layers as convolutions. A piece says which tensor that is, which shape it must have there,
and what is taken from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

Shape = tuple[int, ...]


class Piece(Protocol):
    """A tensor of a network in terms of a stored one."""

    @property
    def key(self) -> str:
        """Name of the stored tensor."""
        ...

    def stored(self, shape: Shape) -> tuple[Shape, ...]:
        """Shapes that the stored tensor may have where the network's has `shape`."""
        ...

    def take(self, value: torch.Tensor, shape: Shape) -> torch.Tensor:
        """The network's tensor from the stored one."""
        ...


Pieces = Mapping[str, Piece]
"""Tensor name of a network -> where it lies."""


@dataclass(frozen=True, slots=True)
class Whole:
    """The stored tensor as it is."""

    key: str

    def stored(self, shape: Shape) -> tuple[Shape, ...]:
        """The same shape."""
        return (shape,)

    def take(self, value: torch.Tensor, shape: Shape) -> torch.Tensor:
        """Nothing changes."""
        return value


@dataclass(frozen=True, slots=True)
class Flat:
    """A linear layer that may be stored as a convolution of kernel size 1."""

    key: str

    def stored(self, shape: Shape) -> tuple[Shape, ...]:
        """With up to two further dimensions of size 1."""
        return (shape, (*shape, 1), (*shape, 1, 1))

    def take(self, value: torch.Tensor, shape: Shape) -> torch.Tensor:
        """Without them."""
        return value.reshape(shape)


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a tensor that several layers share.

    Args:
        key: of the shared tensor.
        first: row.
        total: rows of all layers together.
    """

    key: str
    first: int
    total: int

    def stored(self, shape: Shape) -> tuple[Shape, ...]:
        """All rows."""
        return ((self.total, *shape[1:]),)

    def take(self, value: torch.Tensor, shape: Shape) -> torch.Tensor:
        """This layer's."""
        return value[self.first : self.first + shape[0]]


@dataclass(frozen=True, slots=True)
class Swapped:
    """Shift and scale, which diffusers has the other way round."""

    key: str

    def stored(self, shape: Shape) -> tuple[Shape, ...]:
        """The same shape."""
        return (shape,)

    def take(self, value: torch.Tensor, shape: Shape) -> torch.Tensor:
        """The second half before the first."""
        return value.roll(shape[0] // 2, dims=0)


@dataclass(frozen=True, slots=True)
class Transposed:
    """A matrix that is multiplied from the other side."""

    key: str

    def stored(self, shape: Shape) -> tuple[Shape, ...]:
        """Columns first."""
        return (shape[::-1],)

    def take(self, value: torch.Tensor, shape: Shape) -> torch.Tensor:
        """Rows first."""
        return value.T


def shared(key: str, names: tuple[str, ...], wanted: Mapping[str, Shape]) -> dict[str, Piece]:
    """Pieces of layers whose tensors lie one after the other in a stored one.

    Args:
        key: of the stored tensor.
        names: of the network's tensors, in order.
        wanted: their shapes; scalars have no rows.
    """
    rows = [wanted[name][0] if wanted[name] else 0 for name in names]
    firsts = [sum(rows[:number]) for number in range(len(rows))]
    return {name: Rows(key, at, sum(rows)) for name, at in zip(names, firsts, strict=True)}
