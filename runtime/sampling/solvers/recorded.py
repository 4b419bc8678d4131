"""The noise that a stochastic solver would have needed to make a given picture.

DPM-Encoder draws a path from the picture to noise, and writes down at every step the xi with which
DDIM(eta) would have taken that path backwards. Replayed with the same network it gives the picture
again; replayed with another condition, its edit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Program, Rows, check_start

RECORDED = "recorded"


def _check(eta: float) -> None:
    if not 0.0 < eta <= 1.0:
        raise InvalidInput(
            f"eta {eta} is outside 0 (excluded) to 1: without noise there is none to record. Use "
            "Inverse(DDIM())."
        )


def _spreads(grid: Grid, step: int, eta: float) -> tuple[float, float]:
    """(c, sqrt(sigma_s^2 - c^2)) of DDIM(eta), 0 noise into a point without noise."""
    now, after = grid[step], grid[step + 1]
    q = (now.alpha / after.alpha) * (after.sigma / now.sigma)
    share = eta**2 * (1.0 - q) * (1.0 + q)
    return after.sigma * math.sqrt(share), after.sigma * math.sqrt(1.0 - share)


@dataclass(frozen=True, slots=True)
@checked
class NoiseEncoder:
    """DPM-Encoder: x_s ~ q(x_s | x_t, x0) for the source x0, and xi = (x_s - mean(x_t)) / c.

    x_T = alpha_T x0 + sigma_T n, on page 0 of tape 0
    x_s = alpha_s x0 + sqrt(sigma_s^2 - c^2) (x_t - alpha_t x0) / sigma_t + c n
    xi  = (x_s - alpha_s D - sqrt(sigma_s^2 - c^2) E) / c, on page k + 1 for step k

    A step into sigma_s = 0 is DDIM's, so the run ends in what replaying will give. The recorded xi
    are not of variance 1: the model's reverse variance is not the data's posterior variance.

    Args:
        eta: of the DDIM that will replay, in (0, 1].

    Raises:
        InvalidInput: eta outside (0, 1].

    Source: Wu and De la Torre 2022, arXiv 2210.05559.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    eta: float = 1.0

    def __post_init__(self) -> None:
        _check(self.eta)

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        check_start(grid)
        program = Program.from_source(grid, registers=1)
        basis = program.basis
        (x,), (n, _), source = basis.registers, basis.draws, basis.external(0)
        first = grid[0]
        start = first.alpha * source + first.sigma * n
        program.begin([start], taps=[(0, start)])
        for step in range(grid.steps):
            now, after = grid[step], grid[step + 1]
            c, kept = _spreads(grid, step, self.eta)
            mean = after.alpha * basis.denoised + kept * basis.noise
            if c == 0.0:
                program.stage(now, [mean])
                continue
            toward = after.alpha * source + kept / now.sigma * (x - now.alpha * source) + c * n
            program.stage(now, [toward], taps=[(step + 1, (toward - mean) / c)])
        return program.rows()


@dataclass(frozen=True, slots=True)
@checked
class NoiseReplay:
    """DDIM(eta) from the start and with the noise of a tape that `NoiseEncoder` wrote.

    The tape is the external "recorded": page 0 is x_T, page k + 1 the xi of step k.

    Args:
        eta: that of the encoder, in (0, 1].

    Raises:
        InvalidInput: eta outside (0, 1].

    Source: Wu and De la Torre 2022, arXiv 2210.05559.
    """

    order: ClassVar[int] = 1
    evaluations_per_step: ClassVar[int] = 1

    eta: float = 1.0

    def __post_init__(self) -> None:
        _check(self.eta)

    def rows(self, grid: Grid) -> Rows:
        """One stage per step."""
        check_start(grid)
        own = replace(grid, noise_gain=1.0, source_gain=0.0)  # page 0 takes their place
        program = Program(own, registers=1, externals=(RECORDED,))
        basis = program.basis
        program.begin([basis.external(0)])
        for step in range(grid.steps):
            after = grid[step + 1]
            c, kept = _spreads(grid, step, self.eta)
            mean = after.alpha * basis.denoised + kept * basis.noise
            if c == 0.0:
                program.stage(grid[step], [mean])
            else:
                program.stage(grid[step], [mean + c * basis.external(0)], pages={0: step + 1})
        return program.rows()
