"""The fewest registers that carry a traced sampler, and the rows between them.

The space that the future needs at the boundary before stage s is

    V_s = span{ past_s(u_j), j >= s } = span{ u_s, past_s(V_{s+1}) }

where u_j is the input of stage j, u_S the sample, and past_s drops the coordinates that do not
exist yet. Its dimension is the number of registers that any realisation must have there, so K is
minimal, and each row follows by least squares: r = sum_j B_j r_j + C F_s + sum_q N_q xi_q.

Going backwards, V_{s+1} is carried as a few of the past_{s+1}(u_j) themselves, never as a basis
computed from them: orthonormal vectors of nearly dependent ones would gain rounding at every stage
and with it a false dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from denoisert.export.probe.trace import Trace

Array = NDArray[np.float64]
Form = tuple[float, float]

RANK_TOLERANCE = 1e-11  # share of an input's length that the future would lose with a direction
ROUNDING = 1e-13
INSIDE = 1e-12  # relative distance of a vector that still counts as part of a space
INDEPENDENT = 1e-2  # least sine of the angle between a register and those before it


@dataclass(frozen=True, slots=True)
class Boundary:
    """The row that ends at one boundary; boundary 0 is before the first stage.

    Args:
        registers: (K_after, K_before), B; at boundary 0 (K, 1), the share of x_T.
        output: (K_after,), C, the share of the stage's network output; 0 at boundary 0.
        noise: (K_after, draws), N, one column per draw in the source's order.
    """

    registers: Array
    output: Array
    noise: Array


@dataclass(frozen=True, slots=True)
class Realisation:
    """A traced sampler as registers.

    Args:
        boundaries: S + 1 rows.
        residual: largest relative error of the least squares.
    """

    boundaries: tuple[Boundary, ...]
    residual: float

    @property
    def minimal(self) -> tuple[int, ...]:
        """K at every boundary: the rank, so no table of this sampler has fewer there."""
        return tuple(len(boundary.output) for boundary in self.boundaries)


def realise(trace: Trace, clean: Sequence[Form]) -> Realisation:
    """Minimal registers and their rows.

    Args:
        trace: linear forms of a sampler.
        clean: S pairs (p, q), an estimate p R_0 + q F that the sampler may remember; these are
            tried as registers first, so that a history shifts by renaming.

    Returns:
        The rows; R_0 is the pending input, and the sample at the end.
    """
    futures = _futures(trace)
    remembered = _remembered(trace, clean)
    bases = [
        _basis(future, [each[s - 1 :: -1] if s else each[:0] for each in remembered])
        for s, future in enumerate(futures)
    ]
    bases.append(trace.final[None])
    rows = [_first(trace, bases[0])]
    worst = 0.0
    for stage in range(trace.stages):
        row, residual = _row(trace, stage, bases[stage], bases[stage + 1])
        rows.append(row)
        worst = max(worst, residual)
    return Realisation(tuple(rows), worst)


def _futures(trace: Trace) -> list[Array]:
    """For every stage s some past_s(u_j), u_s first, that are a basis of V_s."""
    needed = trace.final[None]
    lengths = np.linalg.norm(needed, axis=1)
    futures: list[Array] = []
    for stage in reversed(range(trace.stages)):
        past = np.vstack([trace.inputs[stage], needed])
        past[:, trace.outputs[stage] :] = 0.0
        lengths = np.array([np.linalg.norm(past[0]), *lengths])
        chosen = _independent(past / lengths[:, None])
        needed, lengths = past[chosen], lengths[chosen]
        futures.append(needed)
    return futures[::-1]


def _independent(vectors: Array) -> list[int]:
    """The first vector, then always the one that is farthest from those chosen."""
    chosen = [0]
    rest = vectors - np.outer(vectors @ vectors[0], vectors[0])
    while len(chosen) < len(vectors):
        distances = np.linalg.norm(rest, axis=1)
        distances[chosen] = 0.0
        farthest = int(distances.argmax())
        if distances[farthest] <= RANK_TOLERANCE:
            break
        chosen.append(farthest)
        direction = rest[farthest] / distances[farthest]
        rest = rest - np.outer(rest @ direction, direction)
    return chosen


def _remembered(trace: Trace, clean: Sequence[Form]) -> list[Array]:
    """Vectors that samplers like to keep: clean estimates, outputs, inputs; (S, coordinates)."""
    inputs = trace.inputs
    outputs = np.zeros_like(inputs)
    outputs[np.arange(trace.stages), trace.outputs] = 1.0
    pairs = np.asarray(clean)
    estimates = pairs[:, :1] * inputs + pairs[:, 1:] * outputs
    return [outputs, estimates, inputs]


def _basis(future: Array, candidates: Sequence[Array]) -> Array:
    """Registers that span a space: the input, then remembered vectors, then parts of inputs.

    Args:
        future: (K, coordinates), a basis of the space, the input first.
        candidates: vectors that may or may not lie in it.
    """
    space = np.linalg.qr((future / np.linalg.norm(future, axis=1)[:, None]).T)[0].T
    chosen = [future[0]]
    inside = _unit(future[0])[None]
    for vector in (row for block in candidates for row in block[:8]):
        size = np.linalg.norm(vector)
        if len(chosen) == len(space):
            break
        if size == 0 or np.linalg.norm(_without(space, vector)) > INSIDE * size:
            continue
        rest = _without(inside, _without(inside, vector))
        if np.linalg.norm(rest) > INDEPENDENT * size:
            chosen.append(vector)
            inside = np.vstack([inside, _unit(rest)])
    while len(chosen) < len(space):
        rest = _without(inside, _without(inside, future))
        distances = np.linalg.norm(rest, axis=1) / np.linalg.norm(future, axis=1)
        farthest = int(distances.argmax())
        chosen.append(future[farthest])
        inside = np.vstack([inside, _unit(rest[farthest])])
    return np.stack(chosen)


def _unit(vector: Array) -> Array:
    length: Array = vector / np.linalg.norm(vector)
    return length


def _without(basis: Array, vector: Array) -> Array:
    """The part of a vector, or of each row, outside an orthonormal basis."""
    outside: Array = vector - (vector @ basis.T) @ basis
    return outside


def _first(trace: Trace, basis: Array) -> Boundary:
    return Boundary(basis[:, :1].copy(), np.zeros(len(basis)), basis[:, trace.drawn(0)])


def _row(trace: Trace, stage: int, before: Array, after: Array) -> tuple[Boundary, float]:
    """B, C and N of one stage, with the relative residual of B."""
    output = trace.outputs[stage]
    past = after[:, :output]
    sizes = np.linalg.norm(before[:, :output], axis=1)
    scaled = before[:, :output] / sizes[:, None]
    solution = np.linalg.lstsq(scaled.T, past.T, rcond=None)[0].T
    whole = np.linalg.norm(after, axis=1)
    residual = float((np.linalg.norm(past - solution @ scaled, axis=1) / whole).max())
    solution[np.abs(solution) < ROUNDING * whole[:, None]] = 0.0
    shares = solution / sizes
    for register, vector in enumerate(past):
        same = np.flatnonzero((before[:, :output] == vector).all(axis=1))
        if same.size:
            shares[register] = np.eye(len(before))[same[0]]
    noise = after[:, trace.drawn(stage + 1)]
    return Boundary(shares, after[:, output].copy(), noise.copy()), residual
