"""The column and row space of a sampler table: where each name stands in the matrix.

columns  R_0 .. R_{K-1} | F_0 .. F_{B-1} | G | D_0 D_1 | xi_0 xi_1 | X_0 .. X_{E-1} | 1
rows     V_0 .. V_3 | U_0 U_1 | R'_0 .. R'_{K-1} | tap_0 .. tap_{T-1}
"""

from __future__ import annotations

from typing import NamedTuple

VECTORS = 4
ARGUMENTS = 2
DRAWS = 2


class Form(NamedTuple):
    """Sizes of one column space; every position below follows from them.

    Args:
        registers: K, at most 8.
        branches: B, at most 16.
        externals: E, at most 16.
        taps: T, at most 4.
    """

    registers: int
    branches: int = 1
    externals: int = 0
    taps: int = 0

    @property
    def guided(self) -> int:
        """Column of G."""
        return self.registers + self.branches

    def branch(self, index: int) -> int:
        """Column of F_index."""
        return self.registers + index

    def estimate(self, index: int) -> int:
        """Column of D_index."""
        return self.guided + 1 + index

    def draw(self, index: int) -> int:
        """Column of xi_index."""
        return self.guided + 1 + ARGUMENTS + index

    def external(self, index: int) -> int:
        """Column of X_index."""
        return self.guided + 1 + ARGUMENTS + DRAWS + index

    @property
    def one(self) -> int:
        """Column of the constant 1."""
        return self.external(self.externals)

    @property
    def columns(self) -> int:
        """Number of columns."""
        return self.one + 1

    def vector_row(self, index: int) -> int:
        """Row of V_index."""
        return index

    def argument_row(self, index: int) -> int:
        """Row of U_index."""
        return VECTORS + index

    def register_row(self, index: int) -> int:
        """Row of R'_index."""
        return VECTORS + ARGUMENTS + index

    def tap_row(self, index: int) -> int:
        """Row of tap_index."""
        return VECTORS + ARGUMENTS + self.registers + index

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.tap_row(self.taps)
