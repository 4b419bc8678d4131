"""One single step of a DPM solver: its slopes come from evaluations inside the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from denoisert.runtime.sampling.basis import Vector
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.rows import Program
from denoisert.runtime.sampling.solvers.dpm import Drift, Form, shrinkage


@dataclass(frozen=True, slots=True)
class SingleStep:
    """Writes single steps of order 1, 2 or 3 into a program.

    Two points, r the share of the second:

        m' = (m_1 - m_0) / r

    Three points, r_1 < r_2, with Form.MIDPOINT and Form.HEUN:

        m' = (m_2 - m_0) / r_2
        m' = (r_2 d_1 - r_1 d_2) / (r_2 - r_1),  m'' = 2 (d_2 - d_1) / (r_2 - r_1),
        d_i = (m_i - m_0) / r_i

    Args:
        drift: the exact part.
        form: of the whole step.
        inner: of the step to the third point.
    """

    drift: Drift
    form: Form
    inner: Form = Form.HEUN

    def write(
        self,
        program: Program,
        points: Sequence[Point],
        after: Point,
        ends: Sequence[int],
        noise: Vector | None = None,
    ) -> None:
        """Add the stages of one step.

        Args:
            program: of 2 registers, 3 if the drift of a step of three points draws noise.
            points: where the network is asked, the first being the step's start.
            after: where the step ends.
            ends: steps of the grid that end with each stage.
            noise: added at the end, beside that of the drift.
        """
        added = 0.0 * program.basis.one if noise is None else noise
        stages = (self._one, self._two, self._three)[len(points) - 1](program, points, after)
        stages[-1][0] = stages[-1][0] + added
        for point, registers, done in zip(points, stages, ends, strict=True):
            program.stage(point, registers, ends=done)

    def _one(self, program: Program, points: Sequence[Point], after: Point) -> list[list[Vector]]:
        return [[self.drift.first(program.basis, points[0], after)]]

    def _two(self, program: Program, points: Sequence[Point], after: Point) -> list[list[Vector]]:
        drift, basis, (start, middle) = self.drift, program.basis, points
        (x, kept), m = basis.registers[:2], drift.column(basis)
        slope = self._slope(start, middle, after, self.form)
        whole = drift.advance(start, after, x, m) - slope * m
        done = kept + slope * m + drift.noise(basis, start, after)
        return [[drift.first(basis, start, middle), whole], [done]]

    def _three(self, program: Program, points: Sequence[Point], after: Point) -> list[list[Vector]]:
        """The start need not be kept: without noise both later points follow from the second one.

        A step on an unchanging estimate is the same in one piece and in two.
        """
        drift, basis, (start, second, third) = self.drift, program.basis, points
        (x, *kept), m = basis.registers, drift.column(basis)
        origin, base, m_0 = (start, kept[0], kept[1]) if drift.eta else (second, x, kept[0])
        history = [x, m] if drift.eta else [m]
        slope = self._slope(start, second, third, self.inner)
        guess = drift.advance(origin, third, base, m_0) + slope * (m - m_0)
        near, far = self._slopes(start, points, after)
        whole = drift.advance(origin, after, base, m_0) + near * (m - m_0) - far * m_0
        return [
            [drift.first(basis, start, second), *history],
            [guess + drift.noise(basis, start, third), whole],
            [kept[0] + far * m + drift.noise(basis, start, after)],
        ]

    def _slope(self, start: Point, middle: Point, after: Point, form: Form) -> float:
        """Factor of m_1 - m_0."""
        first, second, _ = self.drift.weights(start, after)
        return (second if form is Form.HEUN else 0.5 * first) / share(start, middle, after)

    def _slopes(self, start: Point, points: Sequence[Point], after: Point) -> tuple[float, float]:
        """Factors of m_1 - m_0 and m_2 - m_0."""
        _, second, third = self.drift.weights(start, after)
        near, far = (share(start, point, after) for point in points[1:])
        if self.form is Form.MIDPOINT:
            return 0.0, second / far
        gap = far - near
        return (
            (second * far - 2.0 * third) / (gap * near),
            (2.0 * third - second * near) / (gap * far),
        )


def share(start: Point, middle: Point, after: Point) -> float:
    """r, the share of a step in half the log SNR that lies before a point inside it."""
    whole = after.half_logsnr - start.half_logsnr
    return (middle.half_logsnr - start.half_logsnr) / whole


def inside(grid: Grid, start: Point, after: Point, r: float) -> Point:
    """The point at share r of a step."""
    return grid.at_level(start.sigma_ve * shrinkage(start, after) ** r)
