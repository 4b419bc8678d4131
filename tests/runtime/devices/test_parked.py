"""What leaves with a parked work, what comes back, and what the slot keeps of it: nothing."""

import numpy as np
import pytest

from denoisert.kernels.step.form import Form
from denoisert.runtime.devices.numpy import NumpyDevice
from denoisert.runtime.loop.arena import Arena
from denoisert.runtime.loop.lanes import LaneMap
from denoisert.runtime.loop.slot import Slot
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.solvers import DPMpp2M
from tests.runtime.networks import perceptron
from tests.runtime.samplers import flow_table, wide_table
from tests.runtime.spies import work


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory):
    return perceptron(seed=12).denoiser(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def memory(denoiser):
    return NumpyDevice().memory(denoiser.layout, [denoiser], slots=3, rows=64)


def admitted(memory, index, each):
    lease, _ = Arena(64).acquire(each.table)
    memory.write_rows(lease)
    slot = Slot(index, each, lease.offset)
    memory.admit(slot)
    slot.counter = 1
    return slot


def lanes_of(memory, slot):
    """What the slot's next row feeds the engine, by input name."""
    memory.map_lanes(LaneMap.of([slot], 1), [slot])
    found = memory.buffers(0, 0, len(slot.asks))
    return {name: values.copy() for name, values in found.items() if not name.startswith("out_")}


GUIDED = flow_table(DPMpp2M(), 6, CFG(2.0))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_next_evaluation_is_the_same_in_any_slot(memory, index):
    slot = admitted(memory, 1, work(GUIDED, (4, 5), seed=3))
    before = lanes_of(memory, slot)
    parked = memory.park(slot)
    for place in range(3):
        admitted(memory, place, work(GUIDED, (8, 9), seed=place))
    back = Slot(index, slot.work, slot.offset, parked.counter)
    memory.resume(back, parked)
    after = lanes_of(memory, back)
    assert before["label"].tolist() == [4, 5]
    for name, values in before.items():
        assert np.array_equal(values, after[name])


def test_what_is_parked_is_a_copy(memory):
    slot = admitted(memory, 0, work(GUIDED, seed=3))
    parked = memory.park(slot)
    kept = parked.registers.copy()
    admitted(memory, 0, work(GUIDED, seed=4))
    assert np.array_equal(parked.registers, kept)
    memory.resume(slot, parked)
    assert np.array_equal(memory.latent(slot), kept[0])
    memory.latent(slot)[:] = 0
    admitted(memory, 0, work(GUIDED, seed=5))
    assert np.array_equal(parked.registers, kept)


def test_only_the_registers_of_the_table_are_kept(memory, denoiser):
    memory.grow(Form(8, 2))
    parked = memory.park(admitted(memory, 0, work(GUIDED)))
    assert GUIDED.form.registers == 2
    assert parked.registers.shape == (2, denoiser.layout.elements)
    assert parked.nbytes == parked.registers.nbytes + parked.carried.nbytes


def test_carried_scalars_return_with_their_work(memory):
    """Of the slot and of every channel; they are written from outside."""
    slot = admitted(memory, 2, work(GUIDED))
    kept = [[1.5, -2.0, 0.0, 1e300]] * len(memory._carried[2])
    assert len(kept) == 1 + memory._layout.channels > 2
    kept[-1] = [3.0, 4.0, 5.0, 6.0]
    memory._carried[2] = kept
    parked = memory.park(slot)
    other = admitted(memory, 2, work(GUIDED, seed=1))
    assert not memory._carried[2].any()
    memory._carried[2] = 7.0
    assert parked.carried.tolist() == kept
    memory.resume(Slot(0, slot.work, slot.offset, 1), parked)
    assert memory._carried[0].tolist() == kept
    assert memory._carried[other.index].tolist() == [[7.0] * 4] * len(kept)


def test_registers_that_a_table_lacks_are_empty_after_its_return(memory):
    slot = admitted(memory, 0, work(GUIDED))
    parked = memory.park(slot)
    memory._columns[1, :4] = np.nan
    memory.resume(Slot(1, slot.work, slot.offset, 1), parked)
    assert not memory._columns[1, 2:4].any()
    assert np.isfinite(memory._columns[1, :2]).all()


def test_tapes_move_and_are_not_shared(memory):
    memory.grow(Form(4, 2, 0, 2))
    slot = admitted(memory, 0, work(wide_table(3, taps=2), (1, 2)))
    tapes = memory.tapes(slot)
    parked = memory.park(slot)
    other = admitted(memory, 0, work(wide_table(3, taps=2), (1, 2)))
    assert parked.tapes is tapes
    assert not any(np.shares_memory(a, b) for a in memory.tapes(other) for b in tapes)
    assert parked.nbytes > sum(tape.nbytes for tape in tapes)
    memory.resume(Slot(1, slot.work, slot.offset, 1), parked)
    assert memory.tapes(Slot(1, slot.work, slot.offset, 1)) is tapes
