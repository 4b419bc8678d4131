"""An engine that comes into memory when it is first bound, and can leave it until the next time.

Its ports are those that the manifest lists, so plans and refusals need no weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter_ns

from denoisert.runtime.engines.engine import Bound, Buffer, Engine, Port, sized
from denoisert.runtime.engines.profile import Profile, buckets_at
from denoisert.runtime.errors import BuildError, EngineError

NS_PER_MS = 1e6

Ports = tuple[tuple[Port, ...], tuple[Port, ...]]
"""Inputs and outputs."""


class Resident:
    """One engine in memory, or not yet, or no more; for one thread at a time.

    Attributes:
        component: its name in the manifest.
        weight_bytes: of its weight files.
        loads: how often it came into memory.
        releases: how often it left it before the end.
        load_ns: time that loading took, verification included.

    Args:
        component: see there.
        weight_bytes: see there.
        load: verifies and loads it.
    """

    def __init__(self, component: str, weight_bytes: int, load: Callable[[], Engine]) -> None:
        self.component = component
        self.weight_bytes = weight_bytes
        self.loads = self.releases = self.load_ns = 0
        self._load = load
        self._engine: Engine | None = None
        self._is_closed = False

    @property
    def is_loaded(self) -> bool:
        """Whether it is in memory now."""
        return self._engine is not None

    def engine(self) -> Engine:
        """The engine, loaded where it is not.

        Raises:
            EngineError: it is closed.
            BuildError: it cannot be loaded.
            Tampered: a file differs from the manifest.
        """
        if self._is_closed:
            raise EngineError(f"{self.component!r} is closed. Open the bundle again.")
        if self._engine is None:
            start = perf_counter_ns()
            self._engine = self._load()
            self.load_ns += perf_counter_ns() - start
            self.loads += 1
        return self._engine

    def release(self) -> None:
        """Give its memory back; calls that are bound are dead, the next `bind` loads it again."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
            self.releases += 1

    def close(self) -> None:
        """Give its memory back for good."""
        self._is_closed = True
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def memory_counts(residents: Iterable[Resident]) -> dict[str, float]:
    """What engines did and hold, by the names of `Runtime.stats`.

    Args:
        residents: of one thread; others may ask.
    """
    found = tuple(residents)
    return {
        "loads": sum(each.loads for each in found),
        "releases": sum(each.releases for each in found),
        "load_ms": sum(each.load_ns for each in found) / NS_PER_MS,
        "weight_bytes": sum(each.weight_bytes for each in found if each.is_loaded),
    }


class DeferredEngine:
    """What stands for an engine that may not be in memory: an `Engine` like any other.

    Args:
        resident: the engine, shared with this one at other sizes.
        ports: inputs and outputs that it will have.
        profiles: shapes that it was compiled for; none where it takes all that its ports allow.

    Raises:
        BuildError: outputs that no engine could have.
    """

    def __init__(self, resident: Resident, ports: Ports, profiles: Sequence[Profile] = ()) -> None:
        self.resident = resident
        self.inputs, self.outputs = ports
        self.buckets = buckets_at(self.outputs, profiles, {})
        self._profiles = tuple(profiles)
        self._promised = ports
        self._sizes: Mapping[str, int] = {}

    def workspace_bytes(self, bucket: int) -> int:
        """See `Engine.workspace_bytes`; 0 while it is not loaded."""
        return self._view().workspace_bytes(bucket) if self.resident.is_loaded else 0

    def bind(self, bucket: int, buffers: Mapping[str, Buffer]) -> Bound:
        """Load it where it is not, then fix the buffers of one call; see `Engine.bind`.

        Raises:
            BuildError: it cannot be loaded, or its ports are not those that the manifest lists.
            Tampered: a file differs from the manifest.
        """
        return self._view().bind(bucket, buffers)

    def at(self, sizes: Mapping[str, int]) -> DeferredEngine:
        """See `Engine.at`.

        Raises:
            OutOfProfile: the engine was not compiled for these sizes.
        """
        view = sized(self, sizes)
        if view is self:
            return self
        view._sizes = {**self._sizes, **sizes}
        view.buckets = buckets_at(view.outputs, self._profiles, view._sizes)
        return view

    def close(self) -> None:
        """See `Engine.close`."""
        self.resident.close()

    def _view(self) -> Engine:
        engine = self.resident.engine()
        found = engine.inputs, engine.outputs
        if found != self._promised:
            raise BuildError(
                f"{self.resident.component!r} has the ports {found}; by the manifest it has "
                f"{self._promised}. Compile the model again."
            )
        return engine.at(self._sizes)
