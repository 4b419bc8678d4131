"""The two libraries that share one interface, and everything in which they differ."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from denoisert.runtime.engines.here import EXTRAS, PACKAGES, installed
from denoisert.runtime.engines.target import TensorRt, TensorRtRtx
from denoisert.runtime.errors import BuildError

Library = Any
"""The imported module of a binding: a C++ interface without types of its own."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One library.

    Args:
        target: name of the target that it is.
        title: what people call it.
        module: that Python imports.
        major: version that this code is written for.
        capabilities: of GPUs that can be compiled for by name; none where it compiles for the GPU
            that it finds.
        flags: names of `BuilderFlag` that every build sets.
        levels: names of `HardwareCompatibilityLevel` for a portable engine and for one of the
            GPU's own capability; none where capabilities are set by name.
        is_just_in_time: whether kernels are compiled on the device that runs them. Then an engine
            is built without a GPU, says whether it is valid, keeps a cache of its kernels and
            knows whether a call can be captured.
    """

    target: str
    title: str
    module: str
    major: int
    capabilities: tuple[str, ...]
    flags: tuple[str, ...]
    levels: tuple[str, ...]
    is_just_in_time: bool

    @property
    def version(self) -> str | None:
        """Of the installed distribution, told without importing it; None where there is none."""
        return next(filter(None, map(installed, PACKAGES[self.target])), None)

    def load(self) -> Library:
        """Import the library.

        Raises:
            BuildError: it is not installed, of another major version, or cannot be imported.
        """
        found = self.version
        install = f"Run: pip install 'denoisert[{EXTRAS[self.target]}]'"
        if found is None:
            raise BuildError(f"{self.title} is wanted and {self.module} not installed. {install}")
        if found.partition(".")[0] != str(self.major):
            raise BuildError(f"{self.title} {self.major} is wanted, {found} installed. {install}")
        try:
            return importlib.import_module(self.module)
        except ImportError as error:
            raise BuildError(
                f"{self.title} {found} is installed and cannot be imported: {error}. {install}"
            ) from error

    def check_capabilities(self, wanted: tuple[str, ...]) -> None:
        """Refuse capabilities that cannot be compiled for.

        Args:
            wanted: for example ("8.9", "12.0"); none for a portable engine.

        Raises:
            BuildError: one that the library does not know, or one given twice.
        """
        unknown = [name for name in wanted if self.capabilities and name not in self.capabilities]
        if unknown:
            raise BuildError(
                f"compute capability {', '.join(unknown)} asked for; {self.title} compiles for "
                f"{', '.join(self.capabilities)}. Take one of these, or none for a portable engine."
            )
        if len(set(wanted)) < len(wanted):
            raise BuildError(f"capabilities {', '.join(wanted)}: give each of them once.")
        if not self.capabilities and len(wanted) > 1:
            raise BuildError(
                f"capabilities {', '.join(wanted)} asked for; {self.title} compiles for the GPU "
                "that it finds. Compile on each of them, or give none for a portable engine."
            )


RTX = Binding(
    target=TensorRtRtx.name,
    title="TensorRT for RTX",
    module="tensorrt_rtx",
    major=1,
    capabilities=("7.5", "8.0", "8.6", "8.9", "12.0", "12.1"),
    flags=("REQUIRE_USER_ALLOCATION",),
    levels=(),
    is_just_in_time=True,
)
"""Compiles for named capabilities, or for all from 8.0 on, without a GPU."""

TENSORRT = Binding(
    target=TensorRt.name,
    title="TensorRT",
    module="tensorrt",
    major=11,
    capabilities=(),
    flags=(),
    levels=("AMPERE_PLUS", "SAME_COMPUTE_CAPABILITY"),
    is_just_in_time=False,
)
"""Compiles on the GPU that it finds, for that one or for all from 8.0 on."""

BINDINGS: Mapping[str, Binding] = MappingProxyType(
    {binding.target: binding for binding in (RTX, TENSORRT)}
)
"""Name of a target -> its library."""
