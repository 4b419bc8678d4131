"""What crosses between host and device, and whose error it is when it does not."""

import numpy as np
import pytest
import torch

from denoisert.runtime.devices.torch import TorchDevice
from denoisert.runtime.devices.torch.stage import Stage
from denoisert.runtime.errors import (
    CaptureError,
    DeviceLost,
    EngineError,
    Incompatible,
    OutOfMemory,
)


@pytest.fixture
def stage(kernel_device):
    return Stage(torch.device(kernel_device))


@pytest.mark.parametrize(
    "values",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.arange(12, dtype=np.int64)[::3],
        np.float64(2.5),
        np.zeros((0, 4), np.int32),
    ],
    ids=["plain", "transposed", "strided", "scalar", "empty"],
)
def test_what_goes_up_comes_down(stage, values):
    with stage.active():
        there = stage.upload(np.asarray(values))
        assert there.device.type == stage.device.type
        found = stage.download(there)
    assert found.dtype == values.dtype
    assert np.array_equal(found, values)


def test_a_read_only_array_goes_up_without_a_warning(stage):
    values = np.arange(3.0)
    values.setflags(write=False)
    with stage.active():
        assert stage.download(stage.upload(values)).tolist() == [0, 1, 2]


def test_its_owner_may_change_an_array_at_once(stage):
    values = np.arange(1000)
    with stage.active():
        there = stage.upload(values)
        values[:] = -1
        assert stage.download(there).tolist() == list(range(1000))


def test_a_reading_is_what_was_there_when_it_began(stage):
    with stage.active():
        there = stage.upload(np.arange(1000))
        reading = stage.read(there)
        there.zero_()
        assert reading.wait().tolist() == list(range(1000))


def test_views_are_downloaded_as_they_look(stage):
    """Registers are longer than the state, lanes lie apart."""
    values = np.arange(60).reshape(3, 4, 5)
    with stage.active():
        there = stage.upload(values)
        assert np.array_equal(stage.download(there[1, :2, :3]), values[1, :2, :3])
        assert np.array_equal(stage.download(there[:, 1]), values[:, 1])
        found = stage.download(there[2])
        there.zero_()
    assert np.array_equal(found, values[2])


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (torch.OutOfMemoryError("injected"), OutOfMemory, "a thing found no memory on"),
        (RuntimeError("injected"), EngineError, "a thing failed on"),
    ],
)
def test_errors_of_the_device_are_ours(stage, error, kind, message):
    with pytest.raises(kind, match=message) as caught, stage.guarded("a thing"):
        raise error
    assert type(caught.value) is kind
    assert "injected" in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [CaptureError("mine"), EngineError("mine"), OutOfMemory("mine"), KeyError("mine")]
)
def test_other_errors_pass_as_they_are(stage, error):
    with pytest.raises(type(error)) as caught, stage.guarded("a thing"):
        raise error
    assert caught.value is error


class Broken:
    """A stream of a context that is lost."""

    def synchronize(self):
        raise RuntimeError("injected: an illegal memory access was encountered")


class Whole:
    """A stream that has nothing to say."""

    def synchronize(self):
        return None


def test_a_device_that_fails_again_is_lost():
    """An error that stays is found by asking its stream once more."""
    stage = Stage(torch.device("cpu"))
    stage.stream = Broken()
    lost = stage._failure("a tick", RuntimeError("first"))
    assert isinstance(lost, DeviceLost)
    assert "illegal memory access" in str(lost)
    assert "start a new process" in str(lost)
    stage.stream = Whole()
    passing = stage._failure("a tick", RuntimeError("first"))
    assert type(passing) is EngineError
    assert "first" in str(passing)


@pytest.mark.skipif(torch.cuda.is_available(), reason="wants a machine without CUDA")
def test_cuda_is_refused_where_there_is_none():
    with pytest.raises(Incompatible, match="finds no CUDA device"):
        TorchDevice("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a CUDA device")
def test_uploads_do_not_wait_for_the_stream():
    """A stream that is busy for a while is still busy when the upload returns."""
    stage = Stage(torch.device("cuda"))
    busy = torch.empty(4096, 4096, device="cuda")
    with stage.active():  # the first time, pinned memory comes into being
        stage.upload(np.zeros(1000))
        stage.read(busy[0, :8]).wait()
    torch.cuda.synchronize()
    with stage.active():
        for _ in range(50):
            busy @ busy
        stage.upload(np.zeros(1000))
        reading = stage.read(busy[0, :8])
        assert not stage.stream.query()
        reading.wait()
