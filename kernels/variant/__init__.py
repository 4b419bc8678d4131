"""One specialisation of a Triton kernel, as its launch and the compile-only tests share it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Variant"]


@dataclass(frozen=True, slots=True)
class Variant:
    """What the compiler is told before any launch.

    Args:
        name: says how it differs from its siblings, for example "small fp16".
        kernel: name of the `@triton.jit` function in the folder's `kernel.py`.
        types: run-time argument -> Triton type, for example "*fp32" or "i32", in their order.
        constants: compile-time argument -> value; a launch passes exactly these.
        aligned: run-time arguments that are multiples of 16 (bytes for a pointer).
        warps: warps of one program.
    """

    name: str
    kernel: str
    types: Mapping[str, str]
    constants: Mapping[str, object]
    aligned: tuple[str, ...] = ()
    warps: int = 4
