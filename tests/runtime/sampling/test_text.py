"""A table as text that a person can check against a paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime.sampling.basis import ExternalMap, RangeMap, Term
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.grid import Grid, Point
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.operations import Clip, DynamicThreshold
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.rows import Program
from denoisert.runtime.sampling.schedules import Flow, ScaledLinear, Trailing
from denoisert.runtime.sampling.solvers import DPMpp2M, Euler, EulerAncestral
from denoisert.runtime.sampling.text import table_text

FLOW = Trailing().grid(Flow(), 2)


def lines(*arguments: object, **options: object) -> list[str]:
    return list(table_text(fold(*arguments, **options)))  # type: ignore[arg-type]


def test_euler_on_a_flow_is_one_term_per_stage() -> None:
    text = lines(Euler().rows(FLOW), Parametrisation.FLOW, Unguided())
    assert text[0].startswith("2 stages, 2 evaluations, 1 registers, 1 branches, 1 draws")
    assert text[1:] == [
        "",
        "prologue",
        "    R0' = 1 xi0",
        "",
        "stage 1: model time 1, alpha 0, sigma 1; F0 = cond",
        "    R0' = 1 R0 -0.5 F0",
        "",
        "stage 2: model time 0.5, alpha 0.5, sigma 0.5; F0 = cond",
        "    R0' = 1 R0 -0.5 F0",
    ]


def test_skipped_branches_are_not_listed() -> None:
    guidance = CFG(3.0, interval=(0.0, 2.0))
    text = lines(Euler().rows(FLOW), Parametrisation.FLOW, guidance)
    stages = [line for line in text if line.startswith("stage")]
    assert stages[0].endswith("F0 = cond")
    assert stages[1].endswith("F0 = cond, F1 = uncond")
    assert "    R0' = 1 R0 -1.5 F0 +1 F1" in text


def test_rules_show_their_vectors_and_arguments() -> None:
    text = lines(Euler().rows(FLOW), Parametrisation.FLOW, CFG(2.0, rescale=0.7))
    assert "    V0  = 1 F0" in text
    assert "    V1  = 1 F1" in text
    assert "    G   = rule 1(2, 0.7, 0, 0, 0, 0, 0, 0)" in text
    assert "    R0' = 1 R0 -0.5 G" in text


@pytest.mark.parametrize(
    ("operation", "shown"),
    [
        (Clip(-1.0, 2.0), "D0  = clip(1 R0 -1 F0; -1, 2)"),
        (DynamicThreshold(0.9, 1.5), "D0  = dynamic_threshold(1 R0 -1 F0; 0.9, 1.5)"),
    ],
)
def test_operations_show_their_argument(operation: Clip, shown: str) -> None:
    rows = replace(Euler().rows(FLOW), bound=operation)
    text = lines(rows, Parametrisation.FLOW, Unguided())
    assert f"    {shown}" in text
    assert any("D0" in line for line in text if line.startswith("    R0'"))


def test_history_and_noise_have_their_columns() -> None:
    grid = Trailing().grid(ScaledLinear(), 20)
    text = lines(DPMpp2M().rows(grid), Parametrisation.EPS, Unguided())
    assert any(line.startswith("    R1' = ") for line in text)
    noisy = lines(EulerAncestral().rows(grid), Parametrisation.EPS, Unguided())
    drawn = [line for line in noisy if "xi0" in line]
    assert len(drawn) == 20  # the prologue and every stage but the last


def test_products_taps_and_externals_have_names() -> None:
    grid = Grid(np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.array([1.0, 0.0]), 1.0)
    program = Program(grid, 1, ("mask", "known"))
    x = program.basis.registers[0]
    program.stage(
        Point(0.0, 1.0, 1.0),
        [x],
        taps=[(5, program.basis.noise)],
        products=[
            Term(0, -0.5, ExternalMap(0), program.basis.external(1)),
            Term(0, 2.0, RangeMap(0, 1, 2), program.basis.one),
        ],
    )
    text = lines(program.rows(), Parametrisation.V, Unguided())
    assert "    R0' = 1 R0 -0.5 [mask] X[known] +2 [part 0, channels 1 to 2] 1" in text
    assert "    tap0[5] = 1 R0" in text


def test_every_live_register_of_every_row_is_printed() -> None:
    table = fold(DPMpp2M().rows(Trailing().grid(ScaledLinear(), 25)), Parametrisation.V, CFG(4.0))
    text = list(table_text(table))
    live = sum(int(mask).bit_count() for mask in table.live)
    assert sum(line.startswith("    R") for line in text) == live
