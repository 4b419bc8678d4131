"""One tick's update on a device against the specification, with everything that a row may hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from denoisert.kernels.step import cpu, launch
from denoisert.kernels.step.encode import Surroundings
from denoisert.kernels.step.form import Form
from denoisert.kernels.step.record import COUNTER, FORMS
from denoisert.kernels.step.variants import BLOCK
from tests.kernels.step_check import HALF_ULP, check, run, simple, simple_case
from tests.kernels.step_rows import random_case, truth_of, write_case
from tests.kernels.step_space import PAGES, POISON, enter, place, write_row

SMALL, MIDDLE, LARGE = FORMS


PARTS = ((0, 5), (5, 23), (23, 600))


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("dtype", HALF_ULP)
@pytest.mark.parametrize("form", FORMS)
def test_random_rows_equal_the_reference(form, dtype, aligned, kernel_device):
    elements = 48 if aligned else 37
    case = random_case(int(aligned), form, elements, dtype=dtype)
    where = run(case, kernel_device, dtype=dtype, aligned=aligned)
    check(where, 0, case)
    assert where.state(0)[:2] == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(2, 14))
def test_more_random_rows_equal_the_reference(seed, form, kernel_device):
    case = random_case(seed, form, 60, channels=1 + seed % 2 * 2)
    check(run(case, kernel_device, channels=1 + seed % 2 * 2), 0, case)


@pytest.mark.parametrize("form", [SMALL, MIDDLE])
def test_the_cpu_kernel_gives_the_same_picture(form, kernel_device):
    """The promise of DESIGN section 8: two devices within the row's bound."""
    case = random_case(5, form, 64)
    where, truth = run(case, kernel_device), truth_of(case)
    scratch = cpu.workspace(form, 64)
    given = {"weights": case.weights, "thresholds": case.thresholds}
    columns = np.nan_to_num(case.columns)
    registers, taps = cpu.step(columns, case.row, **given, workspace=scratch)
    found = where.registers(0)[list(case.row.targets)].astype(np.float64)
    assert (np.abs(found - registers) <= truth.register_bounds).all()
    for position, (tape, page) in enumerate(case.around.taps):
        found = where.tapes[0, tape, page, :64].cpu().numpy()
        assert (np.abs(found - taps[position]) <= truth.tap_bounds[position]).all()


@pytest.mark.parametrize("elements", [1, 3, 24, BLOCK - 1, BLOCK, BLOCK + 1])
def test_latents_of_any_size(elements, kernel_device):
    case = random_case(3, SMALL, elements)
    where = run(case, kernel_device)
    check(where, 0, case)
    behind = where.space.registers[0, :, elements:]
    assert (behind == torch.tensor(POISON)).all()


@pytest.mark.parametrize("form", [SMALL, MIDDLE])
def test_parts_have_buffers_and_tiles_of_their_own(form, kernel_device):
    """Neither 4 nor 16 nor a tile divides where parts end; noise goes on over them."""
    case = random_case(7, form, PARTS[-1][1])
    where = run(case, kernel_device, bounds=PARTS)
    check(where, 0, case)
    assert where.state(0)[COUNTER] == 1
    inputs = where.inputs[0].cpu()
    for part, (first, last) in enumerate(PARTS):  # nothing of another part
        assert torch.isnan(inputs[:, part, :first]).all()
        assert torch.isnan(inputs[:, part, last:]).all()


@pytest.mark.parametrize("form", [SMALL, MIDDLE])
def test_channels_have_weights_of_their_own(form, kernel_device):
    case = random_case(1, form, 39, channels=3)
    assert case.row.vectors is not None
    check(run(case, kernel_device, channels=3), 0, case)


def test_recorded_noise_is_read_instead_of_drawn(kernel_device):
    """One draw from a page of an external, the other by counter; then both from pages."""
    for recorded in (((-1, -1), (3, 2)), ((1, 3), (0, 2))):
        case = random_case(2, MIDDLE, 24)
        case = replace(case, around=case.around._replace(recorded=recorded))
        where = place(MIDDLE, kernel_device, elements=24)
        rng = np.random.default_rng(9)
        for q, (external, page) in enumerate(recorded):
            if external >= 0:
                values = rng.standard_normal(24).astype(np.float32)
                case.columns[MIDDLE.draw(q)] = values
                where.externals[0, external, page, :24] = torch.from_numpy(values)
        write_case(where, 0, case)
        launch.step(where.space)
        check(where, 0, case)


def test_pages_are_those_of_the_row(kernel_device):
    """Each external has a page of its own in every row."""
    rows = {MIDDLE.register_row(k): {MIDDLE.external(k): 1.0} for k in range(4)}
    around = Surroundings(pages=(0, 1, 2, 3))
    case = simple_case(MIDDLE, simple(MIDDLE, rows), around=around)
    where = place(MIDDLE, kernel_device, elements=8)
    write_case(where, 0, case)
    numbers = torch.arange(4 * PAGES, dtype=torch.float32).view(4, PAGES, 1)
    where.externals[0, ..., :8] = numbers.to(kernel_device)
    launch.step(where.space)
    assert where.registers(0)[:, 0].tolist() == [0.0, 5.0, 10.0, 15.0]


def test_noise_of_a_slot_is_its_seed_image_purpose_and_draw(kernel_device):
    """Each number alone changes the noise of a slot; the same numbers repeat it bit for bit."""
    form = Form(*SMALL)
    rows = {form.register_row(0): {form.draw(0): 1.0}, form.register_row(1): {form.draw(1): 1.0}}
    where = place(form, kernel_device, slots=7, elements=8)
    row = simple(form, rows)
    base = {"seed": 5, "image": 1, "purpose": 256}
    others = ({}, {}, {"seed": 6}, {"seed": 5 + (1 << 32)}, {"image": 2}, {"purpose": 512}, {})
    columns = simple_case(form, row).columns
    for slot, other in enumerate(others):
        write_row(where, 0, row, Surroundings(draw_base=4))
        write_row(where, 1, row, Surroundings(draw_base=5))
        enter(where, slot, offset=int(slot == 6), columns=columns, **(base | other))
    launch.step(where.space)
    found = [where.registers(slot)[:2].tobytes() for slot in range(7)]
    assert found[0] == found[1]
    assert len(set(found)) == 6
    np.testing.assert_array_equal(where.registers(0)[1], where.registers(6)[0])
