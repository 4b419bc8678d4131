"""Adams-Bashforth methods on dx_ve / dsv = E: the slopes of the last points, extrapolated.

    x_s / alpha_s = x_t / alpha_t + sum_j w_j E_j,  w_j = integral from sv_t to sv_s of l_j

with l_j the Lagrange polynomials of the nodes where E_0, E_1, .. were asked, newest first. The
nodes are the noise levels themselves (LMS), or taken to be even (iPNDM, PLMS).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.basis import Vector
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Program, Rows

Array = NDArray[np.float64]

HIGHEST_ORDER = 4
EVEN = (0.0, -1.0, -2.0, -3.0)


class Nodes(Enum):
    """Where the past slopes are taken to lie.

    EVEN: one step apart, whatever the steps are. ACTUAL: at their noise levels.
    """

    EVEN = "even"
    ACTUAL = "actual"

    def __repr__(self) -> str:
        return f"Nodes.{self.name}"


def weights(nodes: Sequence[float], end: float) -> Array:
    """Integrals of the nodes' Lagrange polynomials from nodes[0] to end.

    Gauss's rule of as many points as are needed is exact, not an approximation.

    Args:
        nodes: 1 to 4 different numbers.
        end: where the integral ends.

    Returns:
        One weight per node; on even nodes those of Adams and Bashforth, 3/2 and -1/2 for two.
    """
    places, gains = np.polynomial.legendre.leggauss((len(nodes) + 1) // 2)
    half = (end - nodes[0]) / 2.0
    found = np.zeros(len(nodes))
    for j, node in enumerate(nodes):
        others = [other for i, other in enumerate(nodes) if i != j]
        shares = [(nodes[0] + half * (1.0 + places) - k) / (node - k) for k in others]
        found[j] = half * (gains * np.prod(shares, axis=0)).sum()
    return found


def multistep(program: Program, now: Point, after: Point, parts: Array, depth: int) -> None:
    """Write one stage: x_s = alpha_s (D + sv_t E + sum_j parts_j E_j), E_1, .. in R_1, ...

    Args:
        program: where it is written.
        now: where the network is asked.
        after: where the step ends; out of alpha_t = 0 it is alpha_s D + sigma_s E, whatever the
            parts.
        parts: w_j.
        depth: slopes kept behind it, newest first.
    """
    basis = program.basis
    slopes: list[Vector] = [basis.noise, *basis.registers[1:]]
    if now.alpha == 0.0:
        x = after.alpha * basis.denoised + after.sigma * basis.noise
    else:
        step = sum(part * slope for part, slope in zip(parts, slopes, strict=False))
        x = after.alpha * (basis.denoised + now.sigma_ve * basis.noise + step)
    program.stage(now, [x, *slopes[:depth]])


def check_order(order: int) -> None:
    """Refuse orders without weights.

    Raises:
        InvalidInput: not a whole number from 1 to 4.
    """
    if type(order) is not int or not 1 <= order <= HIGHEST_ORDER:
        raise InvalidInput(f"order {order!r} must be a whole number from 1 to {HIGHEST_ORDER}.")


def _rows(grid: Grid, order: int, nodes: Nodes) -> Rows:
    program = Program(grid, min(order, grid.steps))
    for step in range(grid.steps):
        now, after = grid[step], grid[step + 1]
        count = min(order, step + 1)
        if nodes is Nodes.EVEN or now.alpha == 0.0:
            length = after.sigma_ve - now.sigma_ve if now.alpha else 0.0
            parts = length * weights(EVEN[:count], 1.0)
        else:
            levels = [grid[step - i].sigma_ve for i in range(count)]
            parts = weights([level for level in levels if level < math.inf], after.sigma_ve)
        multistep(program, now, after, parts, min(order, grid.steps) - 1)
    return program.rows()


@dataclass(frozen=True, slots=True)
@checked
class LMS:
    """Linear multistep method: Adams-Bashforth in sigma_ve at the actual levels, see the module.

    One evaluation per step, history `order` - 1. The first steps have the orders 1, 2, .. that
    their history allows, which on levels that fall fast shows as order 2 in the end. A start at
    alpha = 0, where sv is infinite, is Euler's step and takes no part in the history.

    "LMS", k-diffusion's sample_lms, diffusers' LMSDiscreteScheduler, which integrate numerically.

    Args:
        order: how many slopes are used, 1 (Euler) to 4; in k-diffusion also "order".

    Raises:
        InvalidInput: another order.

    Source: Crowson, k-diffusion, sample_lms; Hairer, Norsett and Wanner 1993, section III.5.
    """

    evaluations_per_step: ClassVar[int] = 1

    order: int = 4

    def __post_init__(self) -> None:
        check_order(self.order)

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        return _rows(grid, self.order, Nodes.ACTUAL)


@dataclass(frozen=True, slots=True)
@checked
class IPNDM:
    """Improved PNDM: DDIM's step with the Adams-Bashforth mean of the last noise estimates.

    x_s = alpha_s (x_t / alpha_t + (sv_s - sv_t) E'),  E' = (55 E_0 - 59 E_1 + 37 E_2 - 9 E_3) / 24

    and (23, -16, 5) / 12, (3, -1) / 2, 1 in the first steps. One evaluation per step, history
    max_order - 1. The means suit even steps of sigma_ve; where steps grow or shrink, E' is off by
    the square of a step, so that the order is 2 with a small constant. With Nodes.ACTUAL it is LMS,
    the variable-step method that diff-sampler and ComfyUI call "ipndm_v", whose published
    coefficients agree with it up to order 2 only.

    "ipndm", diffusers' IPNDMScheduler. Not PLMS, which begins with a corrected step.

    Args:
        max_order: how many estimates are used, 1 (DDIM) to 4.
        nodes: even, or at the actual levels.

    Raises:
        InvalidInput: another order.

    Source: Zhang and Chen 2022, arXiv 2204.13902, its iPNDM; Liu et al. 2022, arXiv 2202.09778,
    eq. 12, whose start it drops; Zhou et al., diff-sampler, ipndm_sampler.
    """

    evaluations_per_step: ClassVar[int] = 1

    max_order: int = 4
    nodes: Nodes = Nodes.EVEN

    def __post_init__(self) -> None:
        check_order(self.max_order)

    @property
    def order(self) -> int:
        """max_order at the actual levels; at most 2 where uneven steps are taken to be even."""
        return min(2, self.max_order) if self.nodes is Nodes.EVEN else self.max_order

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        return _rows(grid, self.max_order, self.nodes)
