"""What the engines of a target compute in, told from their graphs before any of them is loaded.

The torch engine plans a graph from shapes alone. ONNX Runtime does not say what its arena will
hold; it is modelled by torch's plan of the same graph, and the scores of attention, which it writes
out, before and after softmax. Measured with a network of 860 M parameters at 64x64, two lanes:
2.3 GiB for 2.2 GiB that are modelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.choice import Choice
from denoisert.runtime.engines.here import installed
from denoisert.runtime.engines.loading import DENOISER
from denoisert.runtime.engines.target import FLOAT32, Torch

UNKNOWN = "unknown"
MODELLED = ("torch", "onnx")
"""Packages that modelling takes."""

SCORES = 2
"""Before and after softmax."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a component.

    Args:
        component: its name in the manifest.
        sizes: lengths of its graph's named axes.
        lanes: of the call.
    """

    component: str
    sizes: Mapping[str, int]
    lanes: int


def source_of(choice: Choice) -> str:
    """How workspaces of a target are known: "planned", "modelled" or "unknown"."""
    if not all(map(installed, MODELLED)):
        return UNKNOWN
    return "planned" if isinstance(choice.target, Torch) else "modelled"


def workspace_of(bundle: Bundle, choice: Choice, call: Call) -> int | None:
    """Bytes that a call computes in, None where that is unknown.

    Args:
        bundle: with the graph.
        choice: the target that runs it.
        call: at which size, and how much of it.

    Raises:
        BuildError: a graph that cannot be planned.
        Tampered: it differs from the manifest.
    """
    if source_of(choice) == UNKNOWN:
        return None
    from denoisert.runtime.engines.torch.workspace import workspace

    target = choice.target
    graph = bundle.verified(bundle.manifest.graphs[call.component].path)
    dtype = target.dtype if call.component == DENOISER else FLOAT32
    planned, scores = workspace(graph, bundle.root, call.sizes, call.lanes, dtype)
    return planned if isinstance(target, Torch) else planned + SCORES * scores
