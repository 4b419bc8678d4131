"""Whether a lane's answer depends on which others run beside it: stated per target and dtype.

A picture is the same alone and in a batch where it does not. No library promises it, and no
statement holds for machines that nobody tried: `denoisert verify --parity` measures a bundle here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from denoisert.runtime.engines.target import (
    BFLOAT16,
    FLOAT32,
    INT8,
    OnnxRuntime,
    OpenVino,
    Target,
    is_cuda,
)


class Bits(Enum):
    """What the bits of a lane do when its batch changes."""

    SAME = "bit for bit the same alone and in a batch"
    UNKNOWN = "perhaps not bit for bit the same alone and in a batch"


@dataclass(frozen=True, slots=True)
class Statement:
    """What is known about one target and dtype.

    Args:
        bits: of a lane.
        basis: what that rests on.
    """

    bits: Bits
    basis: str

    def __str__(self) -> str:
        return f"{self.bits.value} ({self.basis})"


MEASURED: Final = Statement(Bits.SAME, "measured on CPUs, promised by no library")
BY_TOKEN: Final = Statement(
    Bits.SAME, "every token has a scale of its own and whole numbers add exactly; measured on CPUs"
)
UNTRIED: Final = Statement(
    Bits.UNKNOWN, "kernels depend on the shape, and nobody measured it; a fixed batch helps"
)

STATEMENTS: Final[Mapping[tuple[str, str], Statement]] = MappingProxyType(
    {
        (OnnxRuntime.name, FLOAT32): MEASURED,
        (OnnxRuntime.name, INT8): BY_TOKEN,
        (OpenVino.name, FLOAT32): MEASURED,
        (OpenVino.name, BFLOAT16): MEASURED,
        (OpenVino.name, INT8): BY_TOKEN,
    }
)
"""(name of a target, dtype) -> what is known on a CPU; the tests measure each of them."""


def statement(target: Target) -> Statement:
    """What is known about a target's lanes.

    Args:
        target: with its dtype and device.
    """
    if is_cuda(target.device):
        return UNTRIED
    return STATEMENTS.get((target.name, target.dtype), UNTRIED)
