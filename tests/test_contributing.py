"""The solver of CONTRIBUTING.md is one: it runs where a user would write it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from denoisert.runtime import Request, Runtime
from denoisert.runtime.sampling.grid import Grid
from denoisert.runtime.sampling.rows import Program, Rows
from denoisert.runtime.sampling.schedules import Linear, Trailing

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"


def example():
    """The class of the page, made here."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {
        "dataclass": dataclass,
        "ClassVar": ClassVar,
        "Grid": Grid,
        "Rows": Rows,
        "Program": Program,
        "__name__": __name__,
    }
    exec(code, names)
    return names["Mean"]()


def test_the_example_is_what_it_says():
    grid = Trailing().grid(Linear(), 4)
    rows = example().rows(grid)
    basis = rows.basis
    wanted = grid.alpha[2] / 2 * (basis.denoised + basis.registers[1]) + grid.sigma[2] * basis.noise
    np.testing.assert_allclose(rows.registers[2, 0], wanted, rtol=1e-15)


def test_a_request_takes_it(digits_bundle):
    with Runtime.open(digits_bundle, threads=1) as runtime:
        found = runtime.generate(Request(3, steps=4, seed=1, solver=example()))
        assert found.nfe == 8
        assert np.isfinite(found.latents["latent"]).all()
