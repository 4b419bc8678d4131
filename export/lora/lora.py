"""A LoRA as the user asks for it: a file and how much of it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from denoisert.runtime.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA file that is merged into the model.

    Args:
        path: a safetensors file, in the names of diffusers, peft or kohya.
        weight: factor of its change; 1 as it was trained, 0 none, negative the other way.

    Raises:
        InvalidInput: a weight that is no finite number.
    """

    path: str | os.PathLike[str]
    weight: float = 1.0

    def __post_init__(self) -> None:
        is_number = type(self.weight) in (int, float)
        if not is_number or not math.isfinite(self.weight):
            raise InvalidInput(
                f"the weight of LoRA {os.fspath(self.path)!r} is {self.weight!r}; give a finite "
                "number, 1 for the LoRA as it was trained."
            )

    @property
    def name(self) -> str:
        """Of the file, as errors and notes say it."""
        return Path(self.path).name

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return Path(self.path).stem


def read_lora(text: str) -> Lora:
    """A LoRA as the command line says it.

    Args:
        text: FILE or FILE:WEIGHT, such as style.safetensors:0.8.

    Raises:
        InvalidInput: no file, or a weight that is no finite number.
    """
    path, colon, weight = text.rpartition(":")
    if not colon or os.path.exists(text):
        path, weight = text, "1"
    if not path:
        raise InvalidInput(f"{text!r} names no LoRA file; write FILE or FILE:WEIGHT.")
    try:
        return Lora(path, float(weight))
    except ValueError as error:
        raise InvalidInput(
            f"{weight!r} is no weight of a LoRA; write FILE or FILE:WEIGHT, such as {path}:0.8."
        ) from error
