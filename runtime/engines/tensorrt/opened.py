"""One deserialised engine: its file, its weights on the device, its contexts and its kernels."""

from __future__ import annotations

import hashlib
import mmap
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, get_ident

import torch
from torch import Tensor

from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.tensorrt.binding import Binding, Library
from denoisert.runtime.engines.tensorrt.interface import (
    IRuntimeCache,
    JustInTimeContext,
    JustInTimeEngine,
    Member,
)
from denoisert.runtime.engines.tensorrt.kernel_cache import (
    kernel_file,
    read_kernels,
    write_kernels,
)
from denoisert.runtime.engines.tensorrt.log import Log
from denoisert.runtime.engines.tensorrt.validity import check_validity
from denoisert.runtime.errors import BuildError, EngineError, Incompatible

DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "INT64": "int64",
    "INT32": "int32",
    "INT8": "int8",
    "UINT8": "uint8",
    "BOOL": "bool",
}
"""Name of a `DataType` -> NumPy's."""

Ports = tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Kernels:
    """What the just-in-time library compiled so far.

    Args:
        cache: of the library.
        path: of the file, None where none is kept.
        known: what the file held when it was read.
    """

    cache: IRuntimeCache
    path: Path | None
    known: bytes | None


class Opened:
    """An engine that is shared with itself at other sizes.

    Args:
        plan: its file.
        device: where it runs.
        binding: of its library.
        cache: folder of the device profile, where kernels are kept.

    Raises:
        Incompatible: there is no CUDA device, or the library does not take the engine here.
        BuildError: the library is missing, or cannot deserialise the file.
    """

    def __init__(
        self, plan: Path, device: torch.device, binding: Binding, cache: Path | None
    ) -> None:
        self.binding, self.device, self.log = binding, device, Log()
        self._plan, self._lock = plan, Lock()
        self._library: Library = binding.load()
        self._memory: dict[tuple[int, Ports, int], Tensor] = {}
        self._runtime = self._library.Runtime(self.log.logger(self._library))
        self._engine: JustInTimeEngine | None = self._deserialise(plan)
        with torch.cuda.device(device):
            self._kernels, self._making = self._configure(self._engine, cache)

    def _deserialise(self, plan: Path) -> JustInTimeEngine:
        with mapped(plan) as content, torch.cuda.device(self.device):
            check_validity(self.binding, self._library, self._runtime, content, self.log)
            found: JustInTimeEngine | None = self._runtime.deserialize_cuda_engine(content)
        if found is None:
            raise BuildError(
                f"{self.binding.title} {self.binding.version} cannot load {plan.name}: "
                f"{self.log.text()}. Compile the model again with this version."
            )
        return found

    def _configure(
        self, engine: JustInTimeEngine, cache: Path | None
    ) -> tuple[Kernels | None, object]:
        """How contexts are made: scratch memory is ours, every shape has kernels of its own."""
        library = self._library
        strategy = library.ExecutionContextAllocationStrategy.USER_MANAGED
        if not self.binding.is_just_in_time:
            return None, strategy
        making = engine.create_runtime_config()
        making.set_execution_context_allocation_strategy(strategy)
        # A capture of ours would hold kernels that a lazy specialisation replaces later.
        making.dynamic_shapes_kernel_specialization_strategy = (
            library.DynamicShapesKernelSpecializationStrategy.EAGER
        )
        making.cuda_graph_strategy = library.CudaGraphStrategy.DISABLED
        kernels = self._read_kernels(making.create_runtime_cache(), cache)
        if not making.set_runtime_cache(kernels.cache):
            raise BuildError(f"{self.binding.title} takes no kernel cache: {self.log.text()}.")
        return kernels, making

    def _read_kernels(self, made: IRuntimeCache, cache: Path | None) -> Kernels:
        if cache is None:
            return Kernels(made, None, None)
        with self._plan.open("rb") as file:
            engine = hashlib.file_digest(file, "sha256").hexdigest()
        library = f"{self.binding.module} {self.binding.version}"
        path = kernel_file(cache, engine, torch.cuda.get_device_name(self.device), library)
        known = read_kernels(path)
        is_taken = known is not None and made.deserialize(known)
        return Kernels(made, path, known if is_taken else None)

    @property
    def engine(self) -> JustInTimeEngine:
        """The library's engine.

        Raises:
            EngineError: it is closed.
        """
        if self._engine is None:
            raise EngineError("the engine is closed. Load it again.")
        return self._engine

    def context(self) -> JustInTimeContext:
        """A new context, without scratch memory.

        Raises:
            EngineError: the engine is closed, or the library makes none.
        """
        with torch.cuda.device(self.device):
            found = self.engine.create_execution_context(self._making)
        if found is None:
            raise EngineError(
                f"{self.binding.title} makes no context of {self._plan.name}: {self.log.text()}."
            )
        return found

    def scratch_bytes(self, profile: int) -> int:
        """Memory that one call of a profile computes in."""
        return int(self.engine.get_device_memory_size_for_profile_v2(profile))

    def scratch(self, sizes: Ports, profile: int) -> Tensor:
        """Scratch memory of the calls that this thread binds at one size and profile.

        They run one after the other; pools of two sizes may overlap on a device.
        """
        key = get_ident(), sizes, profile
        with self._lock:
            if key not in self._memory:
                size = max(1, self.scratch_bytes(profile))
                self._memory[key] = torch.empty(size, dtype=torch.uint8, device=self.device)
            return self._memory[key]

    def check_ports(self, ports: Ports) -> None:
        """Refuse an engine whose inputs and outputs are not those of its manifest.

        Raises:
            BuildError: a name or a dtype differs.
        """
        engine = self.engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        found = {name: dtype_name(engine.get_tensor_dtype(name)) for name in names}
        wanted = {port.name: port.dtype for port in ports}
        if found != wanted:
            raise BuildError(
                f"{self._plan.name} has the inputs and outputs {found}; by the manifest it has "
                f"{wanted}. Compile the model again."
            )

    def save_kernels(self) -> None:
        """Write kernels that are new to the cache; a cache that cannot be written is left."""
        kernels = self._kernels
        if kernels is None or kernels.path is None:
            return
        content = bytes(kernels.cache.serialize())
        if content and content != kernels.known:
            with suppress(OSError):
                write_kernels(kernels.path, content)

    def close(self) -> None:
        """Keep new kernels and let the engine go; it goes with its last bound call."""
        if self._engine is not None:
            self.save_kernels()
        self._engine = None
        self._kernels = None
        self._making = None
        self._memory.clear()


def dtype_name(dtype: Member) -> str:
    """NumPy's name of a library's dtype, its own where NumPy has none."""
    return DTYPES.get(dtype.name, dtype.name)


def mapped(path: Path) -> mmap.mmap:
    """A file as a buffer that is read when it is looked at.

    Raises:
        BuildError: it is empty or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise BuildError(
            f"the engine {path.name} cannot be read: {error}. Fetch the bundle again."
        ) from error


def cuda_device(name: str) -> torch.device:
    """A CUDA device with its number, if torch finds it.

    No library of TensorRT's is asked before: without a driver some of them crash.

    Args:
        name: "cuda" or "cuda:1".

    Raises:
        Incompatible: torch finds no such device.
    """
    if not torch.cuda.is_available():
        raise Incompatible(
            f"{name} was asked for, and torch {torch.__version__} finds no CUDA device. "
            "Install a CUDA build of torch and a driver, or open the bundle on a CPU target."
        )
    try:
        return torch.empty(0, device=name).device
    except RuntimeError as error:
        raise Incompatible(
            f"{name} was asked for; torch finds {torch.cuda.device_count()} CUDA devices: {error}"
        ) from error
