"""Column spaces with kernels: the smallest that fits, its tiles, its memory."""

from itertools import pairwise

import pytest
import torch

from denoisert.kernels.step.form import Form
from denoisert.kernels.step.record import FORMS, Record
from denoisert.kernels.step.variants import BLOCK
from denoisert.runtime.devices.torch import TorchDevice
from denoisert.runtime.devices.torch.spaces import pitch_of, wider
from denoisert.runtime.errors import InvalidTable
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.operations import Clip
from denoisert.runtime.sampling.solvers import DPMpp2M
from tests.runtime.devices.torch_places import torch_denoiser
from tests.runtime.networks import perceptron
from tests.runtime.samplers import flow_table, wide_table

FEW_BYTES = 32768  # histograms, partial sums, states, tiles
SPREAD = StateLayout((Part("image", (3, 37, 11)), Part("sound", (7,)), Part("dot", (1,))))


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        (flow_table(), 0),
        (flow_table(DPMpp2M(), guidance=CFG(2.0), previews=2), 0),
        (flow_table(operation=Clip(-1.0, 1.0)), 1),
        (wide_table(3, externals=("a",)), 1),
        (wide_table(3, taps=2), 1),
        (wide_table(5), 2),
    ],
    ids=["plain", "preview", "operation", "external", "tapes", "registers"],
)
@pytest.mark.parametrize("have", range(3))
def test_the_smallest_space_that_holds_both(table, wanted, have):
    found = wider(FORMS[have], table, 0)
    assert found == FORMS[max(have, wanted)]
    assert all(a >= b for a, b in zip(found, table.form, strict=True))


def test_a_slot_may_need_more_lanes_than_its_table_has_branches():
    assert [wider(FORMS[0], flow_table(), n) for n in (2, 3, 5)] == list(FORMS)
    with pytest.raises(InvalidTable, match=r"no kernel has room for .*branches=17"):
        wider(FORMS[0], flow_table(), 17)


def test_spaces_grow_in_every_direction():
    for small, large in pairwise(FORMS):
        assert all(a <= b for a, b in zip(small, large, strict=True))
    assert FORMS[-1] == Form(8, 16, 16, 4)
    assert [Record(form).has_operations for form in FORMS] == [False, True, True]


def memory_of(layout, tmp_path, device, **options):
    denoiser = torch_denoiser(perceptron(layout=layout), tmp_path, device)
    return TorchDevice(device).memory(layout, [denoiser], slots=3, rows=20, **options), denoiser


def test_tiles_cover_every_element_once_and_keep_to_their_part(tmp_path, kernel_device):
    memory, _ = memory_of(SPREAD, tmp_path, kernel_device)
    tiles = memory._stage.download(memory._space.tiles)
    covered = []
    for start, first, last, part, channel, *_ in tiles.tolist():
        assert start % BLOCK == channel == 0
        assert start <= first < last <= start + BLOCK
        low, high = SPREAD.ranges[part]
        assert low <= first < last <= high
        covered += range(first, last)
    assert covered == list(range(SPREAD.elements))


@pytest.mark.parametrize(
    ("shapes", "is_aligned"),
    [
        ([(4, 4, 4)], True),
        ([(1, 2, 8), (3, 16)], True),
        ([(3, 5, 4)], False),
        ([(4, 4, 4), (7,)], False),
        ([(7,), (9, 1)], False),
    ],
)
def test_wide_loads_need_aligned_parts(tmp_path, kernel_device, shapes, is_aligned):
    layout = StateLayout(tuple(Part(f"part{i}", shape) for i, shape in enumerate(shapes)))
    memory, _ = memory_of(layout, tmp_path, kernel_device)
    assert memory._space.is_aligned is is_aligned
    assert pitch_of(layout) % 64 == 0
    assert 0 <= pitch_of(layout) - layout.elements < 64


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_memory_knows_what_it_holds(tmp_path, kernel_device, form):
    """Every byte on the device but a few per slot, tile and rule."""
    memory, _ = memory_of(SPREAD, tmp_path, kernel_device)
    memory.grow(form)
    held = [*vars(memory._passes).values(), *_tensors(memory._space)]
    for lanes in memory._lanes:
        held += [*lanes._buffers.values(), *lanes.bank.values()]
    bytes_held = sum(each.nbytes for each in held if isinstance(each, torch.Tensor))
    assert 0 <= bytes_held - memory.nbytes(form) <= FEW_BYTES


def _tensors(space):
    return [space.registers, space.lanes, space.pages, *space.rows, space.states, *space.found]
