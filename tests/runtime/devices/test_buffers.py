"""Lane buffers: capacity, slices, condition banks, and views into both sides of an engine call."""

import numpy as np
import pytest

from denoisert.kernels.step.form import Form
from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.devices.buffers import LaneBuffers, SlotViews
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.loop.asks import Ask, Read
from denoisert.runtime.loop.lanes import Lane
from denoisert.runtime.loop.slot import Slot
from tests.runtime.networks import perceptron
from tests.runtime.samplers import flow_table
from tests.runtime.spies import work

FORM = Form(4, 2)


def lane(slot, position, condition, *reads):
    """A lane of engine 0, read by (column, port) of each branch."""
    return Lane(slot, position, Ask(0, condition, tuple(Read(*each) for each in reads)))


def buffers_of(tmp_path, slots=3, **shape):
    denoiser = perceptron(**shape).denoiser(tmp_path)
    return denoiser, LaneBuffers(denoiser, slots, FORM.branches, 2)


@pytest.mark.parametrize(("batch", "spare"), [(None, 16), (4, 4)])
def test_there_is_room_for_every_branch_and_a_padded_last_call(batch, spare, tmp_path):
    _, lanes = buffers_of(tmp_path, batch=batch)
    whole = lanes.slices(0, 3 * 2 + spare)
    assert {len(values) for values in whole.values()} == {6 + spare}
    assert whole["latent"].shape == (6 + spare, 2, 6, 5)
    assert whole["label"].dtype == np.int64


def test_slices_are_contiguous_views(tmp_path):
    _, lanes = buffers_of(tmp_path)
    piece, whole = lanes.slices(2, 3), lanes.slices(0, 22)
    for name, values in piece.items():
        assert values.flags.c_contiguous
        assert np.shares_memory(values, whole[name])
        assert values.ctypes.data == whole[name][2:].ctypes.data


def test_a_scalar_time_is_the_time_of_the_first_lane(tmp_path):
    _, lanes = buffers_of(tmp_path, time=TimeShape.SCALAR)
    one, other = lanes.slices(0, 3)["time"], lanes.slices(3, 2)["time"]
    assert one.shape == other.shape == ()
    other[...] = 0.5
    assert (float(one), float(other)) == (0.0, 0.5)


def test_conditions_survive_a_wider_column_space(tmp_path):
    denoiser, lanes = buffers_of(tmp_path)
    for index in range(3):
        lanes.write_conditions(Slot(index, work(flow_table(), (index, 5 + index)), 0))
    wider = LaneBuffers(denoiser, 3, 4, 2)
    wider.restore(lanes.bank, 2)
    assert wider.bank["label"].reshape(3, 4)[:, :2].tolist() == [[0, 5], [1, 6], [2, 7]]


def laid(tmp_path, lanes, **shape):
    denoiser, buffers = buffers_of(tmp_path, **shape)
    for index in range(3):
        buffers.write_conditions(Slot(index, work(flow_table(), (index, 5 + index)), 0))
    columns = np.zeros((3, FORM.columns, denoiser.layout.elements), np.float32)
    views = [SlotViews() for _ in range(3)]
    buffers.map_lanes(lanes, columns, FORM, views)
    return buffers, columns, views


def test_conditions_are_gathered_by_lane_and_padding_repeats_lane_0(tmp_path):
    lanes = [lane(2, 0, 1, (0, 0)), lane(0, 0, 0, (0, 0)), lane(0, 1, 1, (1, 0))]
    buffers, _, _ = laid(tmp_path, lanes)
    assert buffers.slices(0, 5)["label"].tolist() == [7, 0, 5, 7, 7]


def test_predictions_reach_the_columns_of_their_slot(tmp_path):
    lanes = [lane(1, 0, 0, (0, 0)), lane(1, 1, 1, (1, 0)), lane(2, 0, 1, (1, 0))]
    buffers, columns, views = laid(tmp_path, lanes)
    outputs = buffers.slices(0, 3)["out_latent"]
    outputs[:] = np.arange(outputs.size, dtype=np.float32).reshape(outputs.shape)
    for view in views:
        for target, source in view.predictions:
            target[...] = source
    flat = outputs.reshape(3, -1)
    assert np.array_equal(columns[1, [FORM.branch(0), FORM.branch(1)]], flat[:2])
    assert np.array_equal(columns[2, FORM.branch(1)], flat[2])
    assert not columns[2, FORM.branch(0)].any()
    assert not columns[0].any()


@pytest.mark.parametrize(
    ("asked", "copies"),
    [
        ([((0, 0),), ((1, 0),)], 1),
        ([((0, 0),), ((1, 1),)], 2),
        ([((1, 0),), ((0, 0),)], 2),
        ([((0, 0), (1, 1))], 2),
        ([((0, 0), (2, 1)), ((1, 0),)], 2),
        ([((0, 0), (2, 1)), ((1, 0), (3, 1))], 2),
        ([((0, 0), (1, 1)), ((2, 0), (3, 1))], 4),
        ([((0, 0),), ((2, 0),)], 2),
        ([((0, 1),), ((1, 0), (2, 1))], 3),
    ],
)
def test_neighbours_are_one_copy_and_every_column_is_read_once(asked, copies, tmp_path):
    """Columns and lanes of one port that both go up by one; inputs are written in one piece."""
    form = Form(4, 4)
    denoiser, buffers = buffers_of(tmp_path, ports=2)
    columns = np.zeros((3, form.columns, denoiser.layout.elements), np.float32)
    views = [SlotViews() for _ in range(3)]
    lanes = [lane(1, position, 0, *reads) for position, reads in enumerate(asked)]
    buffers.map_lanes(lanes, columns, form, views)
    assert [len(view.predictions) for view in views] == [0, copies, 0]
    assert [positions for positions, _, _ in views[1].inputs] == [slice(0, len(asked))]
    out = buffers.slices(0, len(asked))["out_latent"]
    out[:] = np.random.default_rng(1).standard_normal(out.shape)
    for target, source in views[1].predictions:
        target[...] = source
    halves = out.reshape(len(asked), 2, -1)
    wanted = {column: halves[n, port] for n, reads in enumerate(asked) for column, port in reads}
    for column in range(4):
        found = columns[1, form.branch(column)]
        assert np.array_equal(found, wanted.get(column, np.zeros_like(found)))


def test_neighbours_of_two_engines_are_written_apart(tmp_path):
    """Between two lanes of one engine a position may belong to the other engine."""
    _, _, views = laid(tmp_path, [lane(0, 0, 0, (0, 0)), lane(0, 2, 1, (1, 0))])
    assert [positions for positions, _, _ in views[0].inputs] == [slice(0, 1), slice(2, 3)]


def test_ports_are_slices_of_channels_by_part(tmp_path):
    layout = StateLayout((Part("image", (3, 2, 2)), Part("sound", (2, 3))))
    lanes = [lane(1, 0, 0, (1, 1))]
    buffers, columns, views = laid(tmp_path, lanes, layout=layout, ports=2)
    found = buffers.slices(0, 1)
    found["out_image"][0, 3:], found["out_sound"][0, 2:] = 1.0, 2.0
    for target, source in views[1].predictions:
        target[...] = source
    assert columns[1, FORM.branch(1)].tolist() == [1.0] * 12 + [2.0] * 6


def test_an_engine_that_is_not_asked_is_left_alone(tmp_path):
    buffers, _, views = laid(tmp_path, [])
    assert not any(view.inputs or view.predictions for view in views)
    assert not buffers.slices(0, 4)["label"].any()
