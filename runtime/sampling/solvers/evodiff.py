"""EVODiff: a second-order multistep solver whose coefficients follow from the estimates.

A step goes to a probe first, where the network is asked; what it answers, and how it agrees with
the two answers before it, says in every channel how far the step itself goes. One row ends a step
and makes the next probe, so the probe is all that is ever evaluated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from denoisert.kernels.rule.cpu import EVODIFF
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.basis import Weighing
from denoisert.runtime.sampling.fields import checked
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Program, Rows


class LastStep(Enum):
    """How EVODiff ends.

    RELEASED: x = (1 - sqrt(sigma_t sigma_s)) x_E + k (m_0 - r m_1) / 2 of the authors' code, with
    r = 1 - sqrt(q) / 2 where q = sigma_t / sigma_s is below 1/2, else 1 - sqrt(q - 1/2) / 2.
    DDIM: x_E. FULL: a step like those before, with one more evaluation, at the last point.
    """

    RELEASED = "released"
    DDIM = "ddim"
    FULL = "full"

    def __repr__(self) -> str:
        return f"LastStep.{self.name}"


@dataclass(frozen=True, slots=True)
@checked
class EVODiff:
    """EVODiff: entropy-aware, the variance made small; multistep, one evaluation per step.

    x_E = (sigma_t / sigma_s) x_s + k m_0,  k = sigma_t h,  h = 1 / v_t - 1 / v_s
    probe  x_p = x_E + k D_1 / (2 r_i),  m_t = D(x_p),  D_1 = m_0 - r_1 m_1,  D_2 = m_t - r_2 m_0
    step   x_t = x_E + k (rho (1 - eta) D_2 - eta / rho D_1) / (2 zeta)

    m_0, m_1 are the last two clean estimates, rho the ratio of the last two steps in log(v), v =
    sigma / alpha. In every channel r_1, r_2, r_i, eta and zeta come from dot products of estimates
    (the rule "evodiff"). r_1 = (1 - omega) b + omega <m_0, m_1> / <m_1, m_1>, omega =
    (1 - tau^2) / 2, tau = (v_t + v_N) / (v_0 + v_N), b^2 the ratio of the last two sigma ratios.
    Up to 20 steps and above, zeta has two forms. The first step is DDIM.

    Here for parity with its release, not for accuracy: D_1 and D_2 are 0 for a denoiser that does
    not change only where b is 1, on grids even in log(sigma), and the released last step misses
    by a share of sqrt(sigma_t sigma_s). Order 1, with RELEASED 0. Above 20 steps a channel whose
    D_1 nearly vanishes may leave all bounds, as it would there; take fewer steps.

    Args:
        last: how it ends.

    Source: Li, Chen, Zeng 2025, arXiv 2509.26096, as in the authors' code (ShiguiLi/EVODiff,
    code_demo/edm_cifar10/samplers/evodiff.py, data prediction, order 2), there with alpha = 1 and
    t = v. A projection of 0 / 0, NaN there, is 0 here.
    """

    last: LastStep = LastStep.RELEASED

    @property
    def order(self) -> int:
        """1, and 0 with the released last step."""
        return int(self.last is not LastStep.RELEASED)

    @property
    def evaluations_per_step(self) -> int:
        """1; the last step of FULL makes 2."""
        return 2 if self.last is LastStep.FULL else 1

    def rows(self, grid: Grid) -> Rows:
        """One stage per step; FULL has one more, at the last point.

        Raises:
            InvalidInput: a probe needs log(sigma / alpha) where it is infinite, or FULL a model
                time at the end of a grid without a path.
        """
        stages = grid.steps + int(self.last is LastStep.FULL and grid.steps > 1)
        self._check(grid, stages)
        program = Program(grid, registers=min(3, stages))
        plan = _Plan(grid, self.last, program)
        for index in range(stages):
            plan.add(index)
        return program.rows()

    def _check(self, grid: Grid, stages: int) -> None:
        if stages > 2 and grid.alpha[0] == 0.0:
            raise InvalidInput(
                f"{self} measures its steps in log(sigma / alpha), which is infinite at the start "
                "of this grid, alpha = 0. Start below pure noise, or use DPMpp2M()."
            )
        if stages > grid.steps and grid.sigma[-1] == 0.0:
            raise InvalidInput(
                f"{self} probes the last point, and this grid ends at sigma = 0. Use a schedule "
                f"that keeps its last noise level, or {LastStep.RELEASED} or {LastStep.DDIM}."
            )


@dataclass(frozen=True, slots=True)
class _Plan:
    """The rows in the making; step j leads from point j - 1 to point j.

    Args:
        grid: the time grid.
        last: how it ends.
        program: takes the rows.
    """

    grid: Grid
    last: LastStep
    program: Program

    def add(self, index: int) -> None:
        """The row behind the evaluation at a point: ends the step there, begins the next."""
        basis, steps = self.program.basis, self.grid.steps
        is_probe = 0 < index < steps and (index + 1 < steps or self.last is LastStep.FULL)
        x_gain, new_gain, old_gain = self._gains(index, is_probe)
        x = x_gain * basis.registers[0] + new_gain * basis.denoised
        rule = None
        if is_probe or (index > 1 and x_gain != 0.0):
            rule = self._rule(index, is_probe)
            x = x + x_gain * basis.guided
        if old_gain:
            x = x + old_gain * basis.registers[1]
        history = [basis.denoised, *basis.registers[1:]]
        self.program.stage(
            self._point(index), [x, *history][: basis.count], rule=rule, ends=int(index < steps)
        )

    def _point(self, index: int) -> Point:
        point = self.grid[index]
        if index < self.grid.steps:
            return point
        return point._replace(model_time=self.grid.at_level(point.sigma_ve).model_time)

    def _gains(self, index: int, is_probe: bool) -> tuple[float, float, float]:
        """Factors of x_t, m_t and m_0 in the next x, without what the rule adds."""
        if index == self.grid.steps:
            return 1.0, 0.0, 0.0
        now, after = self.grid[index], self.grid[index + 1]
        kept = after.sigma / now.sigma
        k = after.alpha - kept * now.alpha
        if is_probe or index == 0 or self.last is LastStep.DDIM:
            return kept, k, 0.0
        share = 1.0 - math.sqrt(after.sigma * now.sigma)
        r = 1.0 - 0.5 * math.sqrt(kept if kept < 0.5 else kept - 0.5)
        return share * kept, (share + 0.5) * k, -0.5 * k * r

    def _rule(self, index: int, is_probe: bool) -> Weighing:
        """G = x_t - R_0, and what a probe adds to x_t, over its factor sigma_t / sigma_s."""
        basis, grid = self.program.basis, self.grid
        begun = (0.0, 1.0, 0.0, 0.0)
        if is_probe:
            before, now, after = (grid[place] for place in range(index - 1, index + 2))
            size = after.alpha / after.sigma - now.alpha / now.sigma
            passed, ahead = (
                b.half_logsnr - a.half_logsnr for a, b in ((before, now), (now, after))
            )
            begun = size, passed / ahead, *self._balance(index + 1)
        ended = self._balance(index) if index > 1 else (0.0, 0.0)
        m_t, m_0 = basis.denoised, basis.registers[1]
        fall = m_0 - basis.registers[2] if index > 1 else 0.0 * m_0
        args = (float(grid.sigma[index]), *begun, *ended, float(grid.steps))
        return Weighing(EVODIFF, args, (m_t - m_0, fall, m_0))

    def _balance(self, step: int) -> tuple[float, float]:
        """(1 - omega) b and omega of a step from 2 on."""
        sigma, first, end = self.grid.sigma, self.grid[0], self.grid[self.grid.steps]
        tau = (self.grid[step].sigma_ve + end.sigma_ve) / (first.sigma_ve + end.sigma_ve)
        omega = 0.5 * (1.0 - tau * tau)
        b = math.sqrt(sigma[step] * sigma[step - 2]) / sigma[step - 1]
        return float((1.0 - omega) * b), omega
