"""OpenVINO on a CPU: a bundle's .xml and .bin behind the protocol of all engines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import openvino

from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.engines.blobs import Blobs
from denoisert.runtime.engines.buffers import check_bucket, check_buffer
from denoisert.runtime.engines.engine import (
    LARGEST_BUCKET,
    Buffer,
    Port,
    lane_buckets,
    sized,
)
from denoisert.runtime.engines.openvino.failures import FAILURES, words
from denoisert.runtime.engines.openvino.forms import Forms, settings
from denoisert.runtime.engines.openvino.pieces import divide, fitting
from denoisert.runtime.engines.target import INT8
from denoisert.runtime.errors import BuildError, DenoiseRTError, EngineError

INT8_GROUP: Final = 128
"""Of one token, so a lane's scales do not depend on its company. A product that is shallower than a
group is not computed in int8; the compiler gives none of those int8 weights."""

DTYPES: Final = {
    "f32": "float32",
    "f64": "float64",
    "f16": "float16",
    "i64": "int64",
    "i32": "int32",
    "u8": "uint8",
    "boolean": "bool",
}


class OpenVinoBound:
    """Infer requests on fixed buffers, one after the other."""

    is_capturable = False

    def __init__(
        self, requests: tuple[openvino.InferRequest, ...], buffers: Mapping[str, Buffer]
    ) -> None:
        self._requests = requests
        self._buffers = buffers  # requests know their addresses only

    def run(self, stream: object | None = None) -> None:
        """Read the input buffers, write the output buffers; a CPU has no stream.

        Raises:
            EngineError: OpenVINO failed; the message carries its own.
        """
        try:
            for request in self._requests:
                request.infer(share_outputs=True)
        except FAILURES as error:
            raise EngineError(f"OpenVINO failed while running: {words(error)}") from error


class OpenVinoEngine:
    """One graph of OpenVINO's own form.

    A graph with a dynamic first dimension is served at any lane count up to 16; one with a fixed
    first dimension at that count only. Further named dimensions are fixed by `at`.

    Args:
        graph: the .xml file; its .bin lies beside it.
        entry: what the manifest says about it.
        threads: of one call.
        cache: folder of the device profile, for compiled graphs; None compiles every time.
        hint: dtype that float32 operators may be computed in; "float32" keeps what is written.
        group: numbers of an activation that share a scale where OpenVINO quantises it by itself
            before a product with int8 weights; 0 keeps activations as they are, None is 128 for
            engines in int8 and 0 for others.
        lanes: numbers of lanes that the graph is compiled for when they are first bound, others
            being several calls, see `divide`; none for one form that takes any; None decides by the
            size of the weights, see `fitting`.

    Raises:
        BuildError: OpenVINO refuses the graph, or its ports are not those of the manifest.
        Tampered: somebody else could have written what is in the cache.
    """

    def __init__(
        self,
        graph: Path,
        entry: GraphEntry,
        *,
        threads: int,
        cache: Path | None = None,
        hint: str = "float32",
        group: int | None = None,
        lanes: tuple[int, ...] | None = None,
    ) -> None:
        self.inputs, self.outputs = entry.inputs, entry.outputs
        self.buckets = lane_buckets(self.outputs, LARGEST_BUCKET)
        self._blobs = Blobs(cache)
        if group is None:
            group = INT8_GROUP if entry.dtype == INT8 else 0
        try:
            self._forms = Forms(graph, settings(threads, hint, group), self._blobs)
            size = graph.with_suffix(".bin").stat().st_size
            self._lanes = fitting(size) if lanes is None else lanes
            found = self._forms.model if self._lanes else self._forms.at({})
        except DenoiseRTError:
            raise
        except (*FAILURES, OSError) as error:
            raise BuildError(f"OpenVINO refuses {graph.name}: {words(error)}") from error
        _check_ports(graph.name, self.inputs, found.inputs)
        _check_ports(graph.name, self.outputs, found.outputs)

    @property
    def note(self) -> str:
        """Why the last compiled graph could not be cached, "" where it was."""
        return self._blobs.note

    def workspace_bytes(self, bucket: int) -> int:
        """Unknown to the caller: OpenVINO keeps its own memory."""
        return 0

    def bind(self, bucket: int, buffers: Mapping[str, Buffer]) -> OpenVinoBound:
        """Fix the buffers of one call; see `Engine.bind`.

        Raises:
            OutOfProfile: the bucket does not exist, a size is not fixed, or a buffer is missing or
                has another shape or dtype.
            BuildError: OpenVINO refuses the shapes.
            EngineError: the engine is closed.
            Tampered: somebody else could have written what is in the cache.
        """
        check_bucket(bucket, self.buckets)
        ports = (*self.inputs, *self.outputs)
        for port in ports:
            check_buffer(port, bucket, buffers)
        pieces = divide(bucket, self._lanes) if len(self.buckets) > 1 else ((0, bucket),)
        try:
            requests = tuple(self._request(*piece, buffers) for piece in pieces)
        except DenoiseRTError:
            raise
        except FAILURES as error:
            raise BuildError(f"OpenVINO cannot bind {bucket} lanes: {words(error)}") from error
        return OpenVinoBound(requests, {port.name: buffers[port.name] for port in ports})

    def _request(
        self, first: int, lanes: int, buffers: Mapping[str, Buffer]
    ) -> openvino.InferRequest:
        """A call on some of the lanes of the buffers."""
        shapes = {port.name: port.shape(lanes) for port in self.inputs} if self._lanes else {}
        request = self._forms.at(shapes).create_infer_request()
        for port in (*self.inputs, *self.outputs):
            array = buffers[port.name]
            if port.dims and isinstance(port.dims[0], str):
                array = array[first : first + lanes]
            request.set_tensor(port.name, openvino.Tensor(array, shared_memory=True))
        return request

    def at(self, sizes: Mapping[str, int]) -> OpenVinoEngine:
        """The same graph with the sizes of named axes fixed; see `Engine.at`."""
        return sized(self, sizes)

    def close(self) -> None:
        """Release what was compiled, at every size; it goes with its last bound call."""
        self._forms.close()


def _check_ports(name: str, ports: Iterable[Port], found: Iterable[openvino.Output]) -> None:
    there = {
        each: (DTYPES.get(port.element_type.to_string()), port.partial_shape.rank.get_length())
        for port in found
        for each in port.names
    }
    for port in ports:
        if there.get(port.name) != (port.dtype, len(port.dims)):
            raise BuildError(
                f"{name} should have a port {port.name!r}, {port.dtype} with {len(port.dims)} "
                f"dimensions, as its manifest says; it has {there}. Compile the model again."
            )
