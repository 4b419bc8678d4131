"""Registers over raw outputs as solver rows over the canonical columns.

A raw output is F = a D + b E by definition of its parametrisation, so its column splits in two
without any division, also at alpha = 0. Which network is behind the rows no longer matters then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from denoisert.export.probe.convention import Convention
from denoisert.export.probe.realisation import Boundary, Realisation
from denoisert.export.probe.source import Marks
from denoisert.runtime.errors import InvalidTable
from denoisert.runtime.sampling.basis import MAX_DRAWS, MAX_REGISTERS
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.operations import EstimateOperation
from denoisert.runtime.sampling.rows import Program, Rows

Array = NDArray[np.float64]


class Start(Enum):
    """What a run begins with: noise, or a source latent as inversions do."""

    NOISE = "noise"
    SOURCE = "source"


class Spelling(Enum):
    """Whether a row keeps R_0 or says alpha D + sigma E instead; the same without an operation."""

    LATENT = "latent"
    ESTIMATES = "estimates"


def mix(at: Convention, point: Point) -> tuple[float, float]:
    """(a, b) of the source's raw output F = a D + b E."""
    a, b = at.parametrisation.mix(point.alpha, point.sigma)
    return at.gain * a, at.gain * b


def clean(at: Convention, point: Point) -> tuple[float, float]:
    """(p, q) of D = p R_0 + q F, (0, 1) where they do not determine D."""
    a, b = mix(at, point)
    determinant = point.alpha * b - point.sigma * a
    return (b / determinant, -point.sigma / determinant) if determinant else (0.0, 1.0)


def canonical(
    realisation: Realisation,
    marks: Sequence[Marks],
    at: Convention,
    start: Start,
    *,
    bound: EstimateOperation | None = None,
    spelling: Spelling = Spelling.LATENT,
) -> Rows:
    """Solver rows of a realised sampler.

    Args:
        realisation: registers over raw outputs.
        marks: where every stage lies.
        at: what the source takes the raw output for.
        start: what the prologue reads.
        bound: what happens to the clean estimate.
        spelling: how R_0 enters a row.

    Raises:
        InvalidTable: more registers or independent draws in a row than a table holds.
    """
    registers = max(realisation.minimal)
    if registers > MAX_REGISTERS:
        raise InvalidTable(
            f"{registers} latents must be kept between two evaluations; a table holds "
            f"{MAX_REGISTERS}. Ask for a lower order."
        )
    program = Program(_beginning(start), registers)
    basis = program.basis
    first, consumed = _prologue(program, realisation.boundaries[0], start)
    program.begin(first)
    for mark, row in zip(marks, realisation.boundaries[1:], strict=True):
        block, drawn = draws(row.noise, MAX_DRAWS)
        a, b = mix(at, mark.point)
        vectors = row.registers @ np.stack(basis.registers[: row.registers.shape[1]])
        vectors += np.outer(row.output, a * basis.denoised + b * basis.noise)
        vectors += block @ np.stack(basis.draws)[: block.shape[1]]
        if spelling is Spelling.ESTIMATES:
            share = vectors[:, :1].copy()
            vectors[:, 0] = 0.0
            vectors += share * (mark.point.alpha * basis.denoised + mark.point.sigma * basis.noise)
        program.stage(mark.point, list(vectors), draws=drawn, ends=mark.ends)
    rows = program.rows()
    return replace(rows, draws=np.array([consumed, *rows.draws[1:]]), bound=bound)


def _beginning(start: Start) -> Grid:
    """A grid that is read for its start only."""
    is_source = float(start is Start.SOURCE)
    ends = np.array([0.0, 1.0])
    return Grid(ends, ends[::-1].copy(), np.full(2, np.nan), 1.0 - is_source, is_source)


def _prologue(program: Program, first: Boundary, start: Start) -> tuple[list[Array], int]:
    """The registers before the first stage, which may draw and keep more than x_T, and draws."""
    basis = program.basis
    taken = int(start is Start.NOISE)
    block, drawn = draws(first.noise, MAX_DRAWS - taken)
    begin = basis.draws[0] if taken else basis.external(0)
    columns = np.stack([begin, *basis.draws[taken:]])
    shares = np.hstack([first.registers, block])
    return list(shares @ columns[: shares.shape[1]]), drawn + taken


def draws(noise: Array, most: int) -> tuple[Array, int]:
    """The noise columns of a row within the columns that a table has.

    Draws of independent normals may be replaced by fewer with the same covariance N N^T: the
    factor L of N = L Q has as many columns as N has rank. Then the noise is equal in law only.

    Args:
        noise: (K, drawn).
        most: columns at hand.

    Returns:
        (K, columns <= most) and the draws consumed.

    Raises:
        InvalidTable: the rank is higher.
    """
    drawn = noise.shape[1]
    if drawn <= most:
        return noise, drawn
    used = noise[:, np.any(noise, axis=0)]
    if used.shape[1] > most:
        directions, sizes, _ = np.linalg.svd(used, full_matrices=False)
        rank = int(np.count_nonzero(sizes > 1e-12 * sizes[0]))
        if rank > most:
            raise InvalidTable(
                f"a row has {used.shape[1]} draws, {rank} of them independent; a table has columns "
                f"for {most}. Ask for a sampler that draws less between two evaluations."
            )
        used = directions[:, :rank] * sizes[:rank]
    return used, used.shape[1]


def merged(realisation: Realisation, start: Start) -> bool:
    """Whether some row has more draws than a table, so that its noise is equal in law only."""
    most = [MAX_DRAWS - (start is Start.NOISE)] + [MAX_DRAWS] * len(realisation.boundaries[1:])
    pairs = zip(realisation.boundaries, most, strict=True)
    return any(row.noise.shape[1] > limit for row, limit in pairs)
