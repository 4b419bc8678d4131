"""What a failed build means: the library's words, read once, with the layer and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from denoisert.export.targets.job import EngineJob
from denoisert.runtime.engines.tensorrt.binding import Binding
from denoisert.runtime.engines.tensorrt.log import Log
from denoisert.runtime.errors import BuildError, DenoiseRTError, OutOfMemory, OutOfProfile

Names = Iterable[str]


@dataclass(frozen=True, slots=True)
class Meaning:
    """One kind of failure.

    Args:
        words: of the library, as a pattern.
        error: of ours.
        reason: what it means.
        remedy: what to do.
    """

    words: re.Pattern[str]
    error: type[DenoiseRTError]
    reason: str
    remedy: str


MEANINGS: Final = (
    Meaning(
        re.compile(
            r"bad_alloc|OutOfMemory|could not be allocated|[Cc]annot allocate memory"
            r"|Resource temporarily unavailable"
        ),
        OutOfMemory,
        "the build ran out of memory",
        "Give it more, build fewer engines at a time, or compile in a half type.",
    ),
    Meaning(
        re.compile(r"not self-consistent|violate shape constraints|must be equal"),
        OutOfProfile,
        "the graph does not take every shape of its profiles",
        "Compile for sizes and lanes that the model takes, or export it without fixed shapes.",
    ),
    Meaning(
        re.compile(r"HW-specific datatypes|Cannot compile operation"),
        BuildError,
        "not all of the GPUs compute every operation in its type",
        "Leave out the older capabilities, or compile all of it in float16.",
    ),
    Meaning(
        re.compile(r"CUDA (initialization failure|driver)|Cuda Runtime|no CUDA-capable device"),
        BuildError,
        "it wants a GPU",
        "Compile on a machine with the GPU that the engine is for.",
    ),
    Meaning(
        re.compile(r"runtime allocation|data-dependent"),
        BuildError,
        "a shape in it depends on values",
        "Export the model with shapes that follow from those of its inputs.",
    ),
)
"""Kinds of failure, what is most telling first."""

UNKNOWN: Final = Meaning(
    re.compile(""),
    BuildError,
    "the library refuses the graph",
    "Report the layer, or compile for another target.",
)

SHAPES_DIFFER: Final = re.compile(r"not self-consistent")
"""A warning that leaves an engine which fails when it runs."""


def explain(binding: Binding, job: EngineJob, log: Log, layers: Names) -> DenoiseRTError:
    """The error for a build that gave nothing.

    Args:
        binding: of the library.
        job: what was built.
        log: what the library said.
        layers: names of the network's.
    """
    text = log.text()
    found = next((meaning for meaning in MEANINGS if meaning.words.search(text)), UNKNOWN)
    return _error(found, binding, job, text, layers)


def explain_shapes(
    binding: Binding, job: EngineJob, log: Log, layers: Names
) -> DenoiseRTError | None:
    """The error for an engine whose profiles contradict the graph, None where they do not.

    The library warns and builds; such an engine would fail at the shapes that it warned of.
    """
    warned = [text for _, text in log.lines if SHAPES_DIFFER.search(text)]
    if not warned:
        return None
    return _error(MEANINGS[1], binding, job, "; ".join(dict.fromkeys(warned)), layers)


def _error(
    meaning: Meaning, binding: Binding, job: EngineJob, text: str, layers: Names
) -> DenoiseRTError:
    named = sorted(set(_named(text, layers)))
    where = f", at the layer {', '.join(named)}" if named else ""
    return meaning.error(
        f"{job.component} cannot be compiled for {binding.target} with {_profiles(job)}: "
        f"{meaning.reason}{where}. {meaning.remedy} {binding.title} {binding.version} says: {text}"
    )


def _profiles(job: EngineJob) -> str:
    shapes = " and ".join(f"({profile})" for profile in job.profiles)
    return f"the profiles {shapes}" if len(job.profiles) > 1 else f"the profile {shapes or '()'}"


def _named(text: str, layers: Names) -> Iterator[str]:
    """Layers that the text speaks of: their name, then a colon, or in quotes."""
    spoken = {*re.findall(r"([^\s():]+):", text), *re.findall(r"'([^']+)'", text)}
    for name in layers:
        if name in spoken:
            yield name
