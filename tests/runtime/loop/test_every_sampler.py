"""Any sampler beside any others: 64 requests on 8 slots end bit for bit as each alone."""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput, InvalidTable
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.names import SOLVERS
from denoisert.runtime.sampling.operations import Clip, DynamicThreshold
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import (
    Exponential,
    Flow,
    Karras,
    Linspace,
    Polyexponential,
    Shifted,
    Trailing,
)
from tests.runtime.loop.test_parking import assert_same
from tests.runtime.networks import NULL
from tests.runtime.rosters import APART, NAMES, named_table
from tests.runtime.samplers import pick, random_work
from tests.runtime.spies import alone, bound, error, exact, finish, pool_of, work

SPACINGS = [
    Trailing(),
    Linspace(),
    Shifted(Trailing(), 3.0),
    Karras(5.0, 0.02, 20.0),
    Exponential(0.02, 20.0),
    Polyexponential(0.02, 20.0),
]
GUIDANCE = [Unguided(), CFG(2.0), CFG(3.0, interval=(0.2, 3.0)), CFG(2.5, rescale=0.6)]
BOUNDS = [None, None, Clip(-1.5, 1.5), Clip(-1.0, 1.0, True), DynamicThreshold(0.9, 2.0)]
REQUESTS, SLOTS, MOST_STEPS = 64, 8, 60


def any_table(rng, name):
    """A random table of one solver; None where the parts drawn do not fit."""
    spacing, guidance, bound = (pick(rng, many) for many in (SPACINGS, GUIDANCE, BOUNDS))
    steps = int(rng.integers(1, MOST_STEPS + 1))
    try:
        grid = spacing.grid(Flow(shift=float(rng.uniform(1, 3))), steps)
        rows = replace(SOLVERS[name]().rows(grid), bound=bound)
        table = fold(rows, Parametrisation.FLOW, guidance)
    except (InvalidInput, InvalidTable):
        return None
    # What else a network would have to be told or to answer; tests of their own have those.
    return None if table.externals or table.scalars.any() or table.port.any() else table


def requests(rng, count):
    """Works of random samplers, every solver that a toy can run at least once."""
    names, tables = [name for name in SOLVERS if name not in APART], []
    rng.shuffle(names)
    for name in names:
        tries = (any_table(rng, name) for _ in range(40))
        tables.append(next(table for table in tries if table is not None))
    while len(tables) < count:
        table = any_table(rng, pick(rng, names))
        tables += [] if table is None else [table]
    return [random_work(rng, table)[0] for table in tables]


@pytest.mark.parametrize("seed", [5])
def test_64_requests_on_8_slots_are_what_they_are_alone(denoiser, seed):
    works = requests(np.random.default_rng(seed), REQUESTS)
    pool = pool_of(denoiser, slots=SLOTS)
    numbers = [pool.submit(each) for each in works]
    finish(pool)
    for number, each in zip(numbers, works, strict=True):
        assert_same(pool.take(number), alone(denoiser, each))
    assert len(works) >= REQUESTS > len(SOLVERS) - len(APART)
    assert len({each.table.fingerprint for each in works}) == len(works)


@pytest.mark.parametrize("name", NAMES)
def test_each_solver_is_near_the_float64_reference(toy, denoiser, name):
    each = work(named_table(name), (4, NULL), seed=2**63 + 1, image=2)
    found, wanted = alone(denoiser, each), exact(toy, each, (4, NULL))
    assert found.error is None
    assert error(found.latent, wanted.latent) <= bound(each.table)
