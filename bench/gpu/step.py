"""The kernels of the step on a pool's memory, without a pool: every slot runs the same rows.

Launches use up the rows of a slot; `reset` puts its counter and its registers back, outside of what
is timed, so the timed launches are as the loop's: one kernel each, another row each time.
"""

from __future__ import annotations

import torch

from bench.gpu.memory import POISON, Launch, pitch_of
from bench.gpu.pool import VECTORS, Memory, memory
from bench.gpu.rows import of_solver, predictor_corrector
from denoisert.kernels.step import launch
from denoisert.kernels.step import record as r
from denoisert.runtime.devices.torch.rows import Rows
from denoisert.runtime.sampling.operations import DynamicThreshold
from denoisert.runtime.sampling.solvers import DPMpp2M, Euler, EulerAncestral


def euler(device: str, elements: int, slots: int, dtype: str = "float16") -> Launch:
    """Euler with guidance: the least that a step can be."""
    return _step(device, elements, slots, of_solver(Euler(), elements), dtype)


def ancestral(device: str, elements: int, slots: int, dtype: str = "float16") -> Launch:
    """Euler ancestral with guidance: a normal number an element is drawn inside."""
    return _step(device, elements, slots, of_solver(EulerAncestral(), elements), dtype)


def multistep(device: str, elements: int, slots: int, dtype: str = "float16") -> Launch:
    """DPM++ 2M with guidance: history in a register."""
    return _step(device, elements, slots, of_solver(DPMpp2M(), elements), dtype)


def corrector(device: str, elements: int, slots: int, dtype: str = "float16") -> Launch:
    """A row of the form of UniPC-3, of random numbers: four registers."""
    return _step(device, elements, slots, predictor_corrector(), dtype)


def feed(device: str, elements: int, slots: int, dtype: str = "float16") -> Launch:
    """Inputs of the next row into lanes, after a new lane map."""
    made = memory(device, elements, slots, of_solver(Euler(), elements), dtype)
    return Launch(lambda: launch.feed(made.space))


def vectors(device: str, elements: int, slots: int, dtype: str = "float16") -> Launch:
    """The vectors of guidance with rescale."""
    made = _ruled(device, elements, slots, dtype)
    out = torch.full((slots, VECTORS, pitch_of(elements)), POISON, device=device)
    counts, rules = torch.full((2, slots), -1, dtype=torch.int32, device=device)
    args = torch.full((slots, r.RULE_ARGS), POISON, dtype=torch.float64, device=device)
    return Launch(lambda: launch.vectors(made.space, out, counts=counts, rules=rules, args=args))


def argument(device: str, elements: int, slots: int, dtype: str = "float16") -> Launch:
    """The estimate whose quantile dynamic thresholding wants."""
    made = _ruled(device, elements, slots, dtype)
    out = torch.full((slots, pitch_of(elements)), POISON, device=device)
    ratios = torch.full((slots,), POISON, device=device)
    return Launch(lambda: launch.argument(made.space, 0, out, ratios=ratios))


def thresholded(device: str, elements: int, slots: int, dtype: str = "float16") -> Launch:
    """The step of such a row: rule, estimate, operation."""
    return _launch(_ruled(device, elements, slots, dtype))


def _ruled(device: str, elements: int, slots: int, dtype: str) -> Memory:
    form = r.FORMS[1]
    wanted = {"form": form, "rescale": 0.7, "operation": DynamicThreshold(maximum=2.0)}
    return memory(device, elements, slots, of_solver(DPMpp2M(), elements, **wanted), dtype, form)


def _step(device: str, elements: int, slots: int, table: Rows, dtype: str) -> Launch:
    return _launch(memory(device, elements, slots, table, dtype))


def _launch(made: Memory) -> Launch:
    changed = made.space.states, made.space.registers
    kept = [tensor.clone() for tensor in changed]

    def reset() -> None:
        for tensor, values in zip(changed, kept, strict=True):
            tensor.copy_(values)

    return Launch(lambda: launch.step(made.space), reset)
