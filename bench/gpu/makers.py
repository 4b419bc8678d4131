"""Who is timed on which kernel: ours, a formula in torch, the same compiled, a scheduler's step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from bench.gpu import eager, launch, scheduler, step
from bench.gpu.eager import Formula
from bench.gpu.memory import Launch

OURS = "denoisert"
Maker = Callable[[str, int, int], Launch]

STEPS = {
    "step euler cfg": (step.euler, eager.euler, 1, scheduler.euler),
    "step dpmpp2m cfg": (step.multistep, eager.multistep, 2, scheduler.multistep),
    "step unipc3 cfg": (step.corrector, eager.corrector, 4, None),
    "step euler ancestral cfg": (step.ancestral, eager.ancestral, 1, scheduler.ancestral),
}
OTHERS: dict[str, tuple[Maker, Callable[..., Formula]]] = {
    "philox normals": (launch.philox, eager.philox),
    "gram 2 vectors": (launch.gram_2, eager.gram(2)),
    "gram 4 vectors": (launch.gram_4, eager.gram(4)),
    "rule cfg rescale": (launch.rule, eager.rule),
    "quantile 0.995": (launch.quantile, eager.quantile),
    "lanes gather": (launch.lanes, eager.lanes),
}
WIDE = " float32"


def makers(kernel: str, device: str) -> dict[str, Maker]:
    """Provider -> what makes its launch.

    Args:
        kernel: its name in the roofline.
        device: "cpu" or "cuda"; elsewhere than there, nothing is compiled for real.
    """
    if kernel in OTHERS:
        ours, formula = OTHERS[kernel]
        return {OURS: ours, **_torch(formula, device)}
    dtype = "float32" if kernel.endswith(WIDE) else "float16"
    of_step, function, registers, of_scheduler = STEPS[kernel.removesuffix(WIDE)]
    found: dict[str, Maker] = {OURS: partial(of_step, dtype=dtype)}
    if of_scheduler is not None:
        found["scheduler"] = partial(of_scheduler, dtype=dtype)
    return {**found, **_torch(eager.step(function, registers, dtype), device)}


def _torch(formula: Callable[..., Formula], device: str) -> dict[str, Maker]:
    def plain(*size: object) -> Launch:
        function, arguments = formula(*size)
        return Launch(lambda: function(*arguments))

    def compiled(*size: object) -> Launch:
        function, arguments = formula(*size)
        torch.compiler.reset()  # every size is compiled as if it were the only one
        backend = "inductor" if device == "cuda" else "eager"
        call = torch.compile(function, fullgraph=True, dynamic=False, backend=backend)
        return Launch(lambda: call(*arguments))

    return {"torch": plain, "torch.compile": compiled}
