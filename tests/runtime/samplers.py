"""Tables of all kinds for the pool's tests: every solver and guidance, and random mixtures."""

from dataclasses import replace

import numpy as np

from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.operations import Clip, DynamicThreshold
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.previews import with_previews
from denoisert.runtime.sampling.rows import Program
from denoisert.runtime.sampling.schedules import Final, Flow, Karras, ScaledLinear, Trailing
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DPMpp2M,
    Euler,
    EulerAncestral,
    EVODiff,
    FlowEuler,
    FlowHeun,
    Heun,
)
from tests.runtime.networks import CLASSES, NULL
from tests.runtime.spies import work

SOLVERS = [
    DDIM(),
    DDIM(eta=0.6),
    Euler(),
    EulerAncestral(),
    Heun(),
    DPMpp2M(),
    FlowEuler(),
    FlowHeun(),
]
GUIDANCE = [
    Unguided(),
    CFG(3.0),
    CFG(0.0),
    CFG(2.5, interval=(0.4, 3.0)),
    CFG(4.0, rescale=0.7),
    CFG(3.0, interval=(0.3, 5.0), rescale=1.0),
]
OPERATIONS = [None, Clip(-1.5, 1.5), DynamicThreshold(0.9, 3.0)]


def flow_table(
    solver=None, steps=6, guidance=None, operation=None, *, shift=1.5, strength=None, previews=0
):
    """A table on the linear path."""
    grid = Trailing().grid(Flow(shift=shift), steps)
    grid = grid if strength is None else grid.tail(strength)
    rows = (solver or Euler()).rows(grid)
    rows = with_previews(rows, previews) if previews else rows
    return fold(replace(rows, bound=operation), Parametrisation.FLOW, guidance or Unguided())


def noise_table(solver=None, steps=6, guidance=None, operation=None):
    """A table on a variance preserving path, for a network that answers the noise."""
    rows = (solver or DDIM()).rows(Trailing().grid(ScaledLinear(), steps))
    return fold(replace(rows, bound=operation), Parametrisation.EPS, guidance or Unguided())


def channel_table(solver=None, steps=6, guidance=None, *, previews=0):
    """A rule that weighs every channel, on the linear path from below pure noise."""
    grid = Karras(sigma_min=0.05, sigma_max=20.0, final=Final.SPACED).grid(Flow(), steps)
    rows = (solver or EVODiff()).rows(grid)
    rows = with_previews(rows, previews) if previews else rows
    return fold(rows, Parametrisation.FLOW, guidance or Unguided())


def pick(rng: np.random.Generator, choices: list):
    return choices[int(rng.integers(len(choices)))]


def random_table(rng: np.random.Generator, previews: int = 0):
    """Any solver, 1 to 12 steps, any guidance, sometimes an operation."""
    solver, guidance, operation = (pick(rng, many) for many in (SOLVERS, GUIDANCE, OPERATIONS))
    shift = float(rng.uniform(1, 3))
    steps = int(rng.integers(1, 13))
    return flow_table(solver, steps, guidance, operation, shift=shift, previews=previews)


def random_work(rng: np.random.Generator, table=None):
    """A random table with random classes, sometimes with a negative one, seed and image."""
    labels = (int(rng.integers(CLASSES)), pick(rng, [NULL, int(rng.integers(CLASSES))]))
    seed = int(rng.integers(2**64, dtype=np.uint64))
    return work(table or random_table(rng), labels, seed=seed, image=int(rng.integers(4))), labels


def wide_table(registers: int, steps: int = 5, externals: tuple[str, ...] = (), taps: int = 0):
    """A running mean of many past clean estimates: as many registers as asked for.

    Externals are added with small gains at a page that changes; taps record the estimate and x.
    """
    grid = Trailing().grid(Flow(), steps)
    program = Program(grid, registers, externals)
    basis = program.basis
    for step in range(steps):
        now, after = grid[step], grid[step + 1]
        history = [basis.denoised, *basis.registers[1 : registers - 1]][: max(1, registers - 1)]
        kept = min(step + 1, len(history))
        mean = sum(history[:kept]) / kept
        x = after.alpha * mean + after.sigma * basis.noise
        for index in range(len(externals)):
            x = x + 0.1 * (index + 1) * basis.external(index)
        program.stage(
            now,
            [x, *history][:registers],
            taps=[(step, [basis.denoised, basis.registers[0]][tape]) for tape in range(taps)],
            pages=dict.fromkeys(range(len(externals)), step % 2),
        )
    return fold(program.rows(), Parametrisation.FLOW, CFG(2.0))
