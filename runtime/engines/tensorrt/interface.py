"""What is called of the library to run an engine: the names and types that a test compares.

Whatever can fail answers None or False and logs; nothing here raises. Names that only the
just-in-time library has stand in classes of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, SupportsBytes


class Member(Protocol):
    """One of an enumeration."""

    @property
    def name(self) -> str:
        """As the library spells it."""
        ...


class IExecutionContext(Protocol):
    """One call in the making: a profile, shapes, addresses and scratch memory."""

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        """Take a profile; copies may run on the stream."""
        ...

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        """Fix the dimensions of an input."""
        ...

    def set_tensor_address(self, name: str, address: int) -> bool:
        """Fix where an input or output lies."""
        ...

    def set_device_memory(self, address: int, size: int) -> None:
        """Give it scratch memory, aligned to 256 bytes."""
        ...

    def get_tensor_shape(self, name: str) -> Sequence[int]:
        """Dimensions, after those of the inputs are fixed."""
        ...

    def infer_shapes(self) -> list[str]:
        """Names of inputs that lack dimensions; raises RuntimeError where shapes contradict."""
        ...

    def execute_async_v3(self, stream: int) -> bool:
        """Launch."""
        ...


class JustInTimeContext(IExecutionContext, Protocol):
    """What a just-in-time library's context has beside."""

    def is_stream_capturable(self, stream: int) -> bool:
        """Whether a launch can be recorded."""
        ...


class IRuntimeCache(Protocol):
    """Kernels that were compiled on this device."""

    def deserialize(self, blob: bytes) -> bool:
        """Read; False where they are of another device or version."""
        ...

    def serialize(self) -> SupportsBytes:
        """A buffer that holds them."""
        ...


class IRuntimeConfig(Protocol):
    """How contexts are made; of just-in-time libraries."""

    dynamic_shapes_kernel_specialization_strategy: object
    cuda_graph_strategy: object

    def set_execution_context_allocation_strategy(self, strategy: object) -> None:
        """Who owns scratch memory."""
        ...

    def create_runtime_cache(self) -> IRuntimeCache:
        """An empty cache."""
        ...

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        """Use a cache in every context that is made."""
        ...


class ICudaEngine(Protocol):
    """A deserialised engine with its weights on the device."""

    num_io_tensors: int
    num_optimization_profiles: int

    def get_tensor_name(self, index: int) -> str:
        """Of an input or output."""
        ...

    def get_tensor_dtype(self, name: str) -> Member:
        """A member of `DataType`."""
        ...

    def get_device_memory_size_for_profile_v2(self, profile: int) -> int:
        """Bytes of scratch memory."""
        ...

    def create_execution_context(self, strategy: object) -> JustInTimeContext | None:
        """Take an allocation strategy or an `IRuntimeConfig`."""
        ...


class JustInTimeEngine(ICudaEngine, Protocol):
    """What a just-in-time library's engine has beside."""

    def create_runtime_config(self) -> IRuntimeConfig:
        """The ordinary one."""
        ...


class Runtime(Protocol):
    """Deserialises engines."""

    def deserialize_cuda_engine(self, plan: object) -> JustInTimeEngine | None:
        """Read a buffer; weights go to the current device."""
        ...


class JustInTimeRuntime(Runtime, Protocol):
    """What a just-in-time library's runtime has beside."""

    def get_engine_validity(self, plan: object) -> tuple[Member, int]:
        """A member of `EngineValidity`, and bits of `EngineInvalidityDiagnostics`."""
        ...
