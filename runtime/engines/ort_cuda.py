"""ONNX Runtime on CUDA: its CUDA or TensorRT provider, and never its CPU in their place.

Not run on a GPU yet. What ONNX Runtime does where a provider is missing, which is to say so in its
log and compute on the CPU, is switched off and checked once more. Calls run on the stream of the
pool that they are bound in, on its own buffers; they are not captured.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
import torch

from denoisert.runtime.engines.engine import LARGEST_BUCKET, Port, lane_buckets, sized
from denoisert.runtime.engines.ort import FAILURES, read_ports, session_options
from denoisert.runtime.engines.target import OnnxRuntime
from denoisert.runtime.engines.torch.buffers import AnyBuffer, Buffers, place_buffers
from denoisert.runtime.errors import BuildError, EngineError, FellBack, OutOfProfile

PROVIDERS: Final = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
NO_WAIT: Final = "disable_synchronize_execution_providers"
"""Option of a run: queue it on the stream and return."""


class OrtCudaBound:
    """One call of a session on buffers of a GPU; work is queued on the stream it was bound in."""

    is_capturable = False

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        binding: onnxruntime.IOBinding,
        placed: Buffers,
    ) -> None:
        self._session = session
        self._binding = binding
        self._placed = placed
        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry(NO_WAIT, "1")

    def run(self, stream: object | None = None) -> None:
        """Queue the call; the stream is the one it was bound in.

        Raises:
            EngineError: ONNX Runtime failed; the message carries its own.
        """
        try:
            for fetch in self._placed.fetch:
                fetch()
            self._session.run_with_iobinding(self._binding, self._options)
            for store in self._placed.store:
                store()
        except FAILURES as error:
            raise EngineError(f"ONNX Runtime failed while running: {error}") from error


class Sessions:
    """The sessions of one graph, one for each stream; empty once closed."""

    def __init__(self, graph: Path, root: Path, target: OnnxRuntime) -> None:
        self._what = graph, root, target
        self._found: dict[int, onnxruntime.InferenceSession] = {}
        self._is_closed = False

    def on(self, stream: int) -> onnxruntime.InferenceSession:
        """The session of a stream, made when it is first asked for.

        Raises:
            EngineError: the engine is closed.
            BuildError: ONNX Runtime refuses the graph.
            FellBack: it would not run on the provider that is asked for.
        """
        if self._is_closed:
            raise EngineError("the engine is closed. Load it again.")
        if stream not in self._found:
            self._found[stream] = open_session(*self._what, stream=stream)
        return self._found[stream]

    def close(self) -> None:
        """Release all of them."""
        self._is_closed = True
        self._found.clear()


class OrtCudaEngine:
    """One ONNX graph in ONNX Runtime sessions on a GPU.

    Args:
        graph: the ONNX file.
        root: folder that the locations of external weights are relative to.
        target: device and provider.

    Raises:
        BuildError: ONNX Runtime refuses the graph.
        FellBack: it would not run on the provider that is asked for.
    """

    def __init__(self, graph: Path, root: Path, target: OnnxRuntime) -> None:
        self._device = torch.empty(0, device=target.device).device  # with its number
        self._sessions = Sessions(graph, root, target)
        session = self._sessions.on(self._stream())
        self.inputs, self.outputs = map(read_ports, (session.get_inputs(), session.get_outputs()))
        self.buckets = lane_buckets(self.outputs, LARGEST_BUCKET)

    def workspace_bytes(self, bucket: int) -> int:
        """Unknown to the caller: ONNX Runtime keeps its own arena."""
        return 0

    def bind(self, bucket: int, buffers: Mapping[str, AnyBuffer]) -> OrtCudaBound:
        """Fix the buffers of one call, on the stream that is current; see `Engine.bind`.

        Raises:
            OutOfProfile: the bucket does not exist, a size is not fixed, or a buffer is missing or
                has another shape, dtype or device.
            EngineError: the engine is closed.
        """
        if bucket not in self.buckets:
            raise OutOfProfile(
                f"{bucket} lanes asked for, the engine is compiled for {self.buckets}."
            )
        session = self._sessions.on(self._stream())
        binding = session.io_binding()
        placed = place_buffers(self.inputs, self.outputs, bucket, buffers, self._device)
        for port in self.inputs:
            binding.bind_input(*_spot(port, placed.tensors))
        for port in self.outputs:
            binding.bind_output(*_spot(port, placed.tensors))
        return OrtCudaBound(session, binding, placed)

    def at(self, sizes: Mapping[str, int]) -> OrtCudaEngine:
        """The same sessions with the sizes of named axes fixed; see `Engine.at`."""
        return sized(self, sizes)

    def close(self) -> None:
        """Release the sessions, at every size."""
        self._sessions.close()

    def _stream(self) -> int:
        return int(torch.cuda.current_stream(self._device).cuda_stream)


def _spot(
    port: Port, buffers: Mapping[str, torch.Tensor]
) -> tuple[str, str, int, type[np.generic], tuple[int, ...], int]:
    """A buffer as ONNX Runtime's bindings take it."""
    buffer = buffers[port.name]
    number, dtype = buffer.device.index or 0, np.dtype(port.dtype).type
    return port.name, "cuda", number, dtype, tuple(buffer.shape), buffer.data_ptr()


def open_session(
    graph: Path, root: Path, target: OnnxRuntime, stream: int
) -> onnxruntime.InferenceSession:
    """A session that runs on the provider that is asked for, or none.

    Args:
        graph: the ONNX file.
        root: folder that the locations of external weights are relative to.
        target: device and provider.
        stream: that it computes on, as CUDA's own handle.

    Raises:
        BuildError: ONNX Runtime refuses the graph.
        FellBack: the provider cannot be used here.
    """
    provider = PROVIDERS[target.provider]
    options = session_options(root)
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    settings = {
        "device_id": target.device.partition(":")[2] or "0",
        "has_user_compute_stream": "1",
        "user_compute_stream": str(stream),
    }
    names = dict.fromkeys((provider, PROVIDERS["cuda"]))
    missing = [name for name in names if name not in onnxruntime.get_available_providers()]
    if missing:
        raise FellBack(
            f"{graph.name} was asked to run on {provider}, and ONNX Runtime has no "
            f"{' and no '.join(missing)} here. Run: pip install 'denoisert[gpu]'"
        )
    try:
        session = onnxruntime.InferenceSession(
            graph.read_bytes(), options, providers=[(name, settings) for name in names]
        )
    except FAILURES as error:
        raise BuildError(f"ONNX Runtime refuses {graph.name} on {provider}: {error}") from error
    if session.get_providers()[0] != provider:
        raise FellBack(
            f"{graph.name} was asked to run on {provider} and runs on {session.get_providers()}. "
            "Install the CUDA libraries that ONNX Runtime's log names."
        )
    return session
