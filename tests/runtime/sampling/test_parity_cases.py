"""Every case of `parity/`: a table against somebody else's code, float64, then float32."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from denoisert.runtime.sampling.table import FLOAT32_ROUNDING
from tests.oracles.case import Case, difference

ROOM = Path(__file__).parent / "parity"
FLOAT32_BOUND = 2e-6


def every_case() -> list[Case]:
    """The cases of all families."""
    modules = sorted(path.stem for path in ROOM.glob("[a-z]*.py"))
    return [
        case
        for module in modules
        for case in importlib.import_module(f"tests.runtime.sampling.parity.{module}").CASES
    ]


CASES = every_case()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_table_equals_its_reference(case):
    seed = len(str(case))
    assert difference(case.ours(seed), case.theirs(seed)) <= case.tolerance


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32_registers_stay_near_the_float64_truth(case):
    """DESIGN.md section 8: 2e-6, or 4 roundings times the table's printed amplification."""
    seed = 3
    bound = max(FLOAT32_BOUND, 4 * FLOAT32_ROUNDING * case.table().amplification)
    assert difference(case.ours(seed, np.float32), case.ours(seed)) <= bound
