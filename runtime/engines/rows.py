"""An engine called on any number of rows: split into its buckets, padded, and put together again.

Text encoders, decoder and image encoder are called this way; the denoiser is not, its lanes stay
where they are (`devices/buffers.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from denoisert.runtime.engines.engine import Bound, Buffer, Engine, Port
from denoisert.runtime.errors import EngineError, OutOfProfile

Array = NDArray[Any]


class RowCalls:
    """The calls of one engine, for one thread at a time.

    Buffers are bound once per bucket and only for the bucket used last, so memory stays at one
    call's.

    Args:
        engine: the compiled graph; at least one row per call.
        lanes: most rows per call; the engine's smallest bucket where that is larger.
    """

    def __init__(self, engine: Engine, lanes: int) -> None:
        self._engine = engine
        smallest = engine.buckets[0]
        self._buckets = [bucket for bucket in engine.buckets if bucket <= max(lanes, smallest)]
        self._bucket = 0
        self._bound: Bound | None = None
        self._buffers: dict[str, Buffer] = {}

    @property
    def largest(self) -> int:
        """Rows that one call takes."""
        return self._buckets[-1]

    def run(self, rows: Mapping[str, Array]) -> dict[str, Array]:
        """Call the engine on 1 to `largest` rows.

        Args:
            rows: graph input -> (rows, *shape), of the input's dtype.

        Returns:
            Graph output -> (rows, *shape); views that the next call overwrites.

        Raises:
            OutOfProfile: an input is missing or has another shape.
            EngineError: the engine failed, or is closed.
        """
        count = len(next(iter(rows.values())))
        bucket = next((size for size in self._buckets if size >= count), None)
        if bucket is None or count < 1:
            raise OutOfProfile(f"{count} rows for an engine that takes 1 to {self.largest} here.")
        bound = self._bind(bucket)
        for port in self._engine.inputs:
            _fill(self._buffers[port.name], rows.get(port.name), port.name, count)
        bound.run()
        return {port.name: self._buffers[port.name][:count] for port in self._engine.outputs}

    def forget(self) -> None:
        """Drop the call that is bound and its buffers; the next `run` binds anew."""
        self._bound, self._bucket, self._buffers = None, 0, {}

    def close(self) -> None:
        """Release the engine and the buffers."""
        self.forget()
        self._engine.close()

    def _bind(self, bucket: int) -> Bound:
        if self._bound is None or self._bucket != bucket:
            ports = (*self._engine.inputs, *self._engine.outputs)
            self._bound, self._buffers = None, {}  # before the new ones exist
            self._buffers = {port.name: port.buffer(bucket) for port in ports}
            self._bound = self._engine.bind(bucket, self._buffers)
            self._bucket = bucket
        return self._bound


def check_ports(
    engine: Engine, component: str, inputs: tuple[Port, ...], outputs: Iterable[str]
) -> None:
    """Refuse a graph whose ports are not those that the card speaks of.

    Args:
        engine: the compiled graph.
        component: its name, for the message.
        inputs: exactly what it must take; the first dimension may be any.
        outputs: float32 outputs that it must give, among others.

    Raises:
        EngineError: names what differs.
    """
    takes = {port.name: (port.dtype, port.dims[1:]) for port in engine.inputs}
    gives = {port.name for port in engine.outputs if port.dtype == "float32"}
    wanted = {port.name: (port.dtype, port.dims[1:]) for port in inputs}
    if takes != wanted or not gives.issuperset(outputs):
        raise EngineError(
            f"{component!r} takes {takes} and gives {sorted(gives)}; by its card it takes {wanted} "
            f"and gives {sorted(outputs)}, all float32. Compile the model again."
        )


def _fill(buffer: Buffer, rows: Array | None, name: str, count: int) -> None:
    if rows is None or rows.shape != (count, *buffer.shape[1:]) or rows.dtype != buffer.dtype:
        found = "nothing" if rows is None else f"{rows.dtype} {rows.shape}"
        raise OutOfProfile(
            f"{name} takes {buffer.dtype} {(count, *buffer.shape[1:])}, found {found}."
        )
    buffer[:count] = rows
    buffer[count:] = rows[0]  # padding lanes are computed and never read
