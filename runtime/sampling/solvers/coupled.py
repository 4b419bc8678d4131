"""Solvers that can be run backwards exactly, because two latents are kept and each moves the other.

Both are built of DDIM's map from one point to another, x_s = a x_t + b E with a = alpha_s / alpha_t
and b = sigma_s - a sigma_t. A run from noise starts with both latents equal; `Latents.PAIR` starts
from both that an inversion left, so that it returns what was inverted, up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.basis import Vector
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.solvers.inversion import Told, upward

SECOND = "second"


class Latents(Enum):
    """What a run starts from.

    ONE: noise, or the source, in the place of both latents. PAIR: the source and the external
    "second", which is what tape 0 of an inversion holds.
    """

    ONE = "one"
    PAIR = "pair"

    def __repr__(self) -> str:
        return f"Latents.{self.name}"


def _ddim(now: Point, after: Point) -> tuple[float, float]:
    """(a, b) of x_s = a x_t + b E."""
    if now.alpha == 0.0:
        raise InvalidInput(
            "EDICT and BDIA divide by alpha, which is 0 at this grid's start. Use levels that are "
            "finite, such as Karras(sigma_min=0.002, sigma_max=80.0), or DDIM()."
        )
    ratio = after.alpha / now.alpha
    return ratio, after.sigma - ratio * now.sigma


def _start(grid: Grid, begin: Latents) -> tuple[Program, Vector]:
    """A program of two registers and the vector of its second latent before the first stage."""
    if begin is Latents.ONE:
        program = Program(grid, registers=2)
        return program, program.basis.registers[0]
    program = Program.from_source(grid, registers=2, externals=(SECOND,))
    basis = program.basis
    program.begin([basis.external(0), basis.external(1)])
    return program, basis.registers[1]


@dataclass(frozen=True, slots=True)
@checked
class EDICT:
    """EDICT: two latents x and y, each moved by the noise estimate of the other, then mixed.

    x' = a x + b E(y),  y' = a y + b E(x'),  x_s = p x' + (1 - p) y',  y_s = p y' + (1 - p) x_s

    Both estimates are taken at the point t. Order 1, two evaluations per step, two registers.
    Mixing holds the pair together; its inverse divides by p, so p near 1/2 loses digits.

    Args:
        p: share of the own latent in the mixture, in (0, 1].
        begin: one latent in the place of both, or the pair of an inversion.

    Raises:
        InvalidInput: p outside (0, 1].

    Source: Wallace et al. 2022, arXiv 2211.12446.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 2

    p: float = 0.93
    begin: Latents = Latents.ONE

    def __post_init__(self) -> None:
        if not 0.0 < self.p <= 1.0:
            raise InvalidInput(f"EDICT's p {self.p} must be in (0, 1].")

    def rows(self, grid: Grid) -> Rows:
        """Two stages per step; R_0 ends as x.

        Raises:
            InvalidInput: alpha is 0 at the start.
        """
        program, y = _start(grid, self.begin)
        basis, p = program.basis, self.p
        (first, second), noise = basis.registers, basis.noise
        if self.begin is Latents.PAIR:  # the first stage asks about y
            program.begin([basis.external(1), basis.external(0)])
            y = second
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            a, b = _ddim(now, after)
            x = second if step else y
            program.stage(now, [a * x + b * noise, first], ends=0)
            moved = a * second + b * noise
            x = p * first + (1.0 - p) * moved
            y = p * moved + (1.0 - p) * x
            program.stage(now, [x, y] if step == grid.steps - 1 else [y, x])
        return program.rows()

    def inverse_rows(self, grid: Grid, told: Told) -> Rows:
        """The exact inverse from one picture in the place of both; R_0 ends as x, tape 0 as y."""
        program = Program.from_source(grid, registers=2)
        basis, p = program.basis, self.p
        (first, second), noise = basis.registers, basis.noise

        def unmixed(x: Vector, y: Vector) -> tuple[Vector, Vector]:
            """x' and y' of a mixed pair."""
            moved = (y - (1.0 - p) * x) / p
            return (x - (1.0 - p) * moved) / p, moved

        source = basis.external(0)
        program.begin(unmixed(source, source))
        for step in reversed(range(grid.steps)):
            now, after = grid[step], grid[step + 1]
            a, b = _ddim(now, after)
            program.stage(now, [(second - b * noise) / a, first], ends=0)
            x, y = (second - b * noise) / a, first
            if step:
                program.stage(now, unmixed(x, y))
            else:
                program.stage(now, [x, y], taps=[(0, y)])
        return program.rows()


@dataclass(frozen=True, slots=True)
@checked
class BDIA:
    """BDIA-DDIM: a step forward from x_t, corrected by what a step back from x_t misses.

    x_s = ddim(t -> s) x_t + gamma (x_r - ddim(t -> r) x_t),  r the point before t

    Order 2 with gamma = 1, otherwise 1; one evaluation per step, one latent of history. The first
    step is DDIM's.

    Args:
        gamma: in [0, 1]; 0 is DDIM.
        begin: noise or the source alone, or the pair of an inversion: the latents at the first and
            the second point, of which the second is the external.

    Raises:
        InvalidInput: gamma outside [0, 1], or a pair with gamma 0.

    Source: Zhang et al. 2023, arXiv 2307.10829.
    """

    evaluations_per_step: ClassVar[int] = 1

    gamma: float = 1.0
    begin: Latents = Latents.ONE

    def __post_init__(self) -> None:
        if not 0.0 <= self.gamma <= 1.0:
            raise InvalidInput(f"BDIA's gamma {self.gamma} is outside 0 to 1.")

    @property
    def order(self) -> int:
        """2 with gamma = 1."""
        return 2 if self.gamma == 1.0 else 1

    def rows(self, grid: Grid) -> Rows:
        """One stage per step; a pair has done the first step already.

        Raises:
            InvalidInput: alpha is 0 at the start.
        """
        program, _ = _start(grid, self.begin)
        basis = program.basis
        (x, before), noise = basis.registers, basis.noise
        if self.begin is Latents.PAIR:
            program.begin([basis.external(1), basis.external(0)])
        for step in range(int(self.begin is Latents.PAIR), grid.steps):
            now, after = grid[step], grid[step + 1]
            a, b = _ddim(now, after)
            moved = a * x + b * noise
            if step and self.gamma:
                back, gain = _ddim(now, grid[step - 1])
                moved = moved + self.gamma * (before - back * x - gain * noise)
            program.stage(now, [moved, x])
        return program.rows()

    def inverse_rows(self, grid: Grid, told: Told) -> Rows:
        """The exact inverse; its first step up is DDIM's. R_0 ends at the first point.

        Tape 0 holds the latent at the second point, which `Latents.PAIR` needs.
        """
        if self.gamma == 0.0 or grid.steps < 2:
            raise InvalidInput(
                f"{self} over {grid.steps} steps is DDIM, which has no exact inverse. Use gamma "
                "above 0 and at least 2 steps, or Inverse(DDIM())."
            )
        program = Program.from_source(grid, registers=2)
        (x, below), noise = program.basis.registers, program.basis.noise
        low, high = grid[grid.steps], grid[grid.steps - 1]
        a, b = _ddim(low, high)
        program.stage(upward(low, high, told), [a * x + b * noise, x])
        for step in reversed(range(1, grid.steps)):
            now = grid[step]
            down, gain = _ddim(now, grid[step + 1])
            up, rise = _ddim(now, grid[step - 1])
            moved = up * x + rise * noise + (below - down * x - gain * noise) / self.gamma
            program.stage(now, [moved, x], taps=[(0, x)] if step == 1 else [])
        return program.rows()
