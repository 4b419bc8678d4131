"""What a context is given, in which order, and every answer that is a refusal.

No context exists without a GPU: one that notes its calls stands in, and what it is asked for is
compared with the library's own names in test_names.py.
"""

import pytest
import torch

from denoisert.runtime.engines.tensorrt.binding import RTX
from denoisert.runtime.engines.tensorrt.bound import Call, ready, stream_of
from denoisert.runtime.engines.tensorrt.log import ERROR, Log
from denoisert.runtime.engines.torch.buffers import Buffers
from denoisert.runtime.errors import EngineError, OutOfProfile

STREAM = 77


class Noted:
    """An engine and a context that note what they are asked, and refuse one thing."""

    binding = RTX

    def __init__(self, refused=None, lacking=()):
        self.calls, self.log, self._refused, self._lacking = [], Log(), refused, lacking
        self.log.add(ERROR, "its own words")

    def _answer(self, *call):
        self.calls.append(call)
        return call[0] != self._refused

    def set_optimization_profile_async(self, index, stream):
        return self._answer("profile", index, stream)

    def set_input_shape(self, name, shape):
        return self._answer("shape", name, tuple(shape))

    def set_device_memory(self, address, size):
        self._answer("memory", address, size)

    def set_tensor_address(self, name, address):
        return self._answer("address", name, address)

    def infer_shapes(self):
        if not self._answer("infer"):
            raise RuntimeError("shapes contradict")
        return list(self._lacking)


@pytest.fixture
def call():
    tensors = {"x": torch.zeros(2, 3), "label": torch.zeros(2, dtype=torch.int64)}
    tensors["y"] = torch.zeros(2, 4)
    scratch = torch.zeros(512, dtype=torch.uint8)
    return Call(1, ("x", "label"), Buffers(tensors, (), ()), scratch)


def test_a_context_is_given_everything_once_and_in_order(call):
    noted = Noted()
    ready(noted, noted, call, STREAM)
    tensors = call.buffers.tensors
    assert noted.calls == [
        ("profile", 1, STREAM),
        ("shape", "x", (2, 3)),
        ("shape", "label", (2,)),
        ("memory", call.scratch.data_ptr(), 512),
        *(("address", name, tensor.data_ptr()) for name, tensor in tensors.items()),
        ("infer",),
    ]


@pytest.mark.parametrize(
    ("refused", "says"),
    [
        ("profile", "refuses its profile"),
        ("shape", r"refuses x of shape \(2, 3\)"),
        ("address", "refuses the buffer of x"),
        ("infer", "refuses these shapes: shapes contradict"),
    ],
)
def test_every_refusal_is_an_error_with_the_librarys_words(refused, says, call):
    noted = Noted(refused)
    with pytest.raises(EngineError, match=rf"TensorRT for RTX {says}.*its own words"):
        ready(noted, noted, call, STREAM)
    assert noted.calls[-1][0] == refused


def test_inputs_without_shapes_are_named(call):
    noted = Noted(lacking=("x", "label"))
    with pytest.raises(EngineError, match="without shapes of x, label"):
        ready(noted, noted, call, STREAM)


@pytest.mark.parametrize("stream", [7, "stream"])
def test_only_torch_streams_are_taken(stream):
    with pytest.raises(OutOfProfile, match=r"no torch\.cuda\.Stream"):
        stream_of(stream, torch.device("cpu"))
