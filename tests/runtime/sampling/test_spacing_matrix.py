"""Every spacing on every schedule: a grid that a network can be asked at, or advice."""

import itertools
import re
import warnings

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.names import SCHEDULES, SPACINGS
from denoisert.runtime.sampling.schedules import VE, Flow, Label, SharedTimes, ZeroTerminalSNR
from denoisert.runtime.sampling.schedules.spacing import pinned_steps

PATHS = [
    *(kind() for name, kind in SCHEDULES.items() if name != "residual_bridge_path"),
    VE(label=Label.TIME),
    VE(label=Label.QUARTER_LOG),
    Flow(3.0, 1000.0),
    SharedTimes(ZeroTerminalSNR(), 300.0, 2),
]
ADVICE = r"\b([Uu]se|[Gg]ive|[Aa]sk|[Tt]ake|Start|must|Keep)\b"


def grid_or_advice(spacing, schedule, steps):
    """The grid, or the text of its refusal; any other error or warning is a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return spacing.grid(schedule, pinned_steps(spacing) or steps)
        except InvalidInput as error:
            return str(error)


@pytest.mark.parametrize("steps", [1, 2, 10, 25])
@pytest.mark.parametrize("spacing", [kind() for kind in SPACINGS.values()], ids=str)
def test_every_spacing_gives_a_grid_or_advice(spacing, steps):
    found = [grid_or_advice(spacing, schedule, steps) for schedule in PATHS]
    assert all(re.search(ADVICE, each) for each in found if isinstance(each, str)), found
    grids = [each for each in found if not isinstance(each, str)]
    assert grids or steps == 1
    for grid in grids:
        assert np.isfinite([*grid.alpha, *grid.sigma, *grid.model_time[:-1]]).all()
        assert grid.noise_gain + grid.source_gain > 0.0
        assert grid.alpha[-1] > 0.0
        levels = [grid[i].sigma_ve for i in range(grid.steps + 1)]
        assert all(high > low for high, low in itertools.pairwise(levels))
        if levels[-2] < np.inf:
            assert grid.at_level(levels[-2]).sigma_ve == pytest.approx(levels[-2], rel=1e-9)
