"""What a graph computes in: the most that its intermediate values take at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from denoisert.runtime.engines.torch.engine import TorchEngine
from denoisert.runtime.engines.torch.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from denoisert.runtime.engines.torch.program import Step

ATTENTION = "_attend"
FLOAT_BYTES = 4


def workspace(
    graph: Path, root: Path, sizes: Mapping[str, int], lanes: int, dtype: str = "float32"
) -> tuple[int, int]:
    """Plan a graph, without its weights in memory.

    Args:
        graph: the ONNX file.
        root: folder that the locations of external weights are relative to.
        sizes: lengths of its named axes.
        lanes: of a call.
        dtype: that it computes in.

    Returns:
        Bytes of the arena and of what torch's allocator serves beside it, at the worst step; and
        bytes of the largest scores of attention, which only engines without a kernel for it write.

    Raises:
        BuildError: the torch engine cannot plan it.
        OutOfProfile: lanes or sizes that the graph does not take.
    """
    engine = TorchEngine(graph, root, dtype=dtype)
    try:
        view = engine.at(sizes)
        bucket = next(size for size in view.buckets if size >= min(lanes, view.buckets[-1]))
        found = view.plan(bucket)
        return found.arena_bytes + _late_peak(found), _scores(found)
    finally:
        engine.close()


def _late_peak(plan: Plan) -> int:
    """The most that late values take together; a view costs nothing."""
    alive: dict[str, int] = {}
    peak = 0
    for step, ended in zip(plan.program.steps, plan.releases, strict=True):
        alive.update(_late(step, plan))
        peak = max(peak, sum(alive.values()))
        for name in ended:
            alive.pop(name, None)
    return peak


def _late(step: Step, plan: Plan) -> dict[str, int]:
    """Results of a step that torch's allocator serves -> bytes."""
    if step.call.kind.name == "VIEW":
        return {}
    named = zip(step.outputs, step.specimens, strict=False)
    return {name: x.numel() * x.element_size() for name, x in named if name in plan.late}


def _scores(plan: Plan) -> int:
    """Bytes of q k of the largest attention, (B, heads, L, L of the keys)."""
    shapes = {name: tuple(x.shape) for name, x in plan.program.inputs.items()}
    sizes = [0]
    for step in plan.program.steps:
        shapes.update(
            {n: tuple(x.shape) for n, x in zip(step.outputs, step.specimens, strict=False)}
        )
        if step.call.function.__name__ == ATTENTION:
            query, key = shapes[step.inputs[0]], shapes[step.inputs[1]]
            given = step.call.keywords["heads"]
            heads = given[0] if isinstance(given, tuple) and given[0] else query[1]
            sizes.append(FLOAT_BYTES * query[0] * heads * query[-2] * key[-2])
    return max(sizes)
