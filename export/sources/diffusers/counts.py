"""Numbers of layers that a configuration may ask for: no more than the weights have tensors.

A network is built before it is compared with its weights. That costs nothing for layers of any
width, as they have no memory, but time and memory for each of absurdly many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.runtime.errors import ExportError

_COUNTS: Final = re.compile(r".*(?:layers|layers_per_block|blocks)")


def check_counts(component: Component, tensors: int) -> None:
    """Refuse a configuration with more layers than its weights can have.

    Args:
        component: whose configuration.
        tensors: in its weights; every layer has one at least.

    Raises:
        ExportError: names the key and both numbers.
    """
    for key, value in component.config.items():
        if _COUNTS.fullmatch(key) and max(_numbers(value), default=0) > tensors:
            raise ExportError(
                f"the configuration of {component.name} has {key} = {shown(value)}, and its "
                f"weights have {tensors} tensors in all. Use the configuration that the model was "
                "saved with."
            )


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int | float):
        yield value
