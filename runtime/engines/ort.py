"""ONNX Runtime on a CPU: the default engine and the numerical oracle of every graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnxruntime

from denoisert.runtime.engines.buffers import check_bucket, check_buffer
from denoisert.runtime.engines.engine import (
    LARGEST_BUCKET,
    Buffer,
    Port,
    lane_buckets,
    sized,
)
from denoisert.runtime.errors import BuildError, EngineError, FellBack

PROVIDER = "CPUExecutionProvider"
LANES = "lanes"  # what a first dimension without a name is called

# The exceptions of ONNX Runtime's binding have no common base of their own; a kernel that fails in
# a bound call comes as a plain RuntimeError.
FAILURES = (
    RuntimeError,
    onnxruntime.capi.onnxruntime_pybind11_state.Fail,
    onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument,
    onnxruntime.capi.onnxruntime_pybind11_state.InvalidGraph,
    onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf,
    onnxruntime.capi.onnxruntime_pybind11_state.NoSuchFile,
    onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented,
    onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException,
)

DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
    "tensor(uint8)": "uint8",
}


class OrtBound:
    """One call of a session on fixed buffers."""

    is_capturable = False

    def __init__(
        self, session: onnxruntime.InferenceSession, binding: onnxruntime.IOBinding
    ) -> None:
        self._session = session
        self._binding = binding

    def run(self, stream: object | None = None) -> None:
        """Read the input buffers, write the output buffers; a CPU has no stream.

        Raises:
            EngineError: ONNX Runtime failed; the message carries its own.
        """
        try:
            self._session.run_with_iobinding(self._binding)
        except FAILURES as error:
            raise EngineError(f"ONNX Runtime failed while running: {error}") from error


class Opened:
    """The session that an engine shares with itself at other sizes; None once it is closed."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self.session: onnxruntime.InferenceSession | None = session


class OrtEngine:
    """One ONNX graph in an ONNX Runtime session.

    A graph with a dynamic first dimension is served at any lane count up to 16; one with a fixed
    first dimension at that count only. Further named dimensions are fixed by `at`.

    Args:
        graph: the ONNX file.
        weights_root: folder that the locations of external weights are relative to.
        threads: intra-op threads.

    Raises:
        BuildError: ONNX Runtime refuses the graph.
        FellBack: the session is not on the CPU provider alone.
    """

    def __init__(self, graph: Path, weights_root: Path, *, threads: int) -> None:
        options = session_options(weights_root)
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(
                graph.read_bytes(), options, providers=[PROVIDER]
            )
        except FAILURES as error:
            raise BuildError(f"ONNX Runtime refuses {graph.name}: {error}") from error
        if session.get_providers() != [PROVIDER]:
            raise FellBack(
                f"{graph.name} was asked to run on {PROVIDER} and runs on "
                f"{session.get_providers()}."
            )
        self.inputs = read_ports(session.get_inputs())
        self.outputs = read_ports(session.get_outputs())
        self._opened = Opened(session)
        self.buckets = lane_buckets(self.outputs, LARGEST_BUCKET)

    def workspace_bytes(self, bucket: int) -> int:
        """Unknown to the caller: ONNX Runtime keeps its own arena."""
        return 0

    def bind(self, bucket: int, buffers: Mapping[str, Buffer]) -> OrtBound:
        """Fix the buffers of one call; see `Engine.bind`.

        Raises:
            OutOfProfile: the bucket does not exist, a size is not fixed, or a buffer is missing or
                has another shape or dtype.
            EngineError: the engine is closed.
        """
        session = self._opened.session
        if session is None:
            raise EngineError("the engine is closed. Load it again.")
        check_bucket(bucket, self.buckets)
        binding = session.io_binding()
        for port in (*self.inputs, *self.outputs):
            check_buffer(port, bucket, buffers)
        for port in self.inputs:
            binding.bind_ortvalue_input(
                port.name, onnxruntime.OrtValue.ortvalue_from_numpy(buffers[port.name])
            )
        for port in self.outputs:
            array = buffers[port.name]
            binding.bind_output(
                port.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data
            )
        return OrtBound(session, binding)

    def at(self, sizes: Mapping[str, int]) -> OrtEngine:
        """The same session with the sizes of named axes fixed; see `Engine.at`."""
        return sized(self, sizes)

    def close(self) -> None:
        """Release the session, at every size; it goes with its last bound call."""
        self._opened.session = None


def session_options(weights_root: Path) -> onnxruntime.SessionOptions:
    """What sessions on every device have in common: where weights lie, and no warnings."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(weights_root)
    )
    return options


def read_ports(nodes: list[onnxruntime.NodeArg]) -> tuple[Port, ...]:
    """Inputs or outputs of a session.

    Raises:
        BuildError: a type that is not fed, or an open axis without a name.
    """
    ports = []
    for node in nodes:
        if node.type not in DTYPES:
            raise BuildError(f"{node.name} is a {node.type}; DenoiseRT feeds {sorted(DTYPES)}.")
        if None in node.shape[1:]:
            raise BuildError(
                f"{node.name} has shape {node.shape}; beside the first dimension only those with a "
                "name may vary. Compile the model again."
            )
        dims = (size if isinstance(size, int) else size or LANES for size in node.shape)
        ports.append(Port(node.name, DTYPES[node.type], tuple(dims)))
    return tuple(ports)
