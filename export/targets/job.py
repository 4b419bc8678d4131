"""What the compiler of one engine is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from denoisert.runtime.engines.profile import Profile

PORTABLE: tuple[str, ...] = ()
"""No compute capability by name: an engine for every GPU that the library supports."""

Report = Callable[[str, int, int], None]
"""Called with the name of a step, how many are done and how many there are."""


@dataclass(frozen=True, slots=True)
class EngineJob:
    """One engine to build.

    Args:
        component: what the graph is in the model, for messages.
        target: name of the target, for example "tensorrt-rtx".
        graph: the ONNX file, already in the dtypes that it is to compute in.
        root: the folder that the locations of its weights are relative to.
        out: the file to write; further files lie beside it, under the same stem.
        profiles: shapes to compile for; at least one.
        capabilities: of GPUs, for example "8.9"; none for a portable engine.
    """

    component: str
    target: str
    graph: Path
    root: Path
    out: Path
    profiles: tuple[Profile, ...] = ()
    capabilities: tuple[str, ...] = PORTABLE
