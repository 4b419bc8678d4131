"""The buffers that a request gives its solver to read, as the loop takes them.

What a solver reads beside registers and noise are the externals of its table: pages of one state
each. The latent of a start is one of them, "source"; the others are the request's buffers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.plan import FLOAT_BYTES
from denoisert.runtime.sampling.table import SamplerTable
from denoisert.runtime.values import converted, numbers

Array = NDArray[Any]


def checked_buffers(
    buffers: Mapping[str, Array], table: SamplerTable, layout: StateLayout
) -> dict[str, NDArray[np.float32]]:
    """Buffers as pages of flat states.

    Solvers that write or make several buffers may fill pages that nobody reads, so that each may
    have as many as the longest of them.

    Args:
        buffers: name -> (pages, elements) or (pages, *shape), or one page without the first
            dimension; names that the table reads.
        table: says how many pages it reads.
        layout: shape of the state.

    Returns:
        name -> (pages, elements), not to be written.

    Raises:
        InvalidInput: another shape or number of pages, no numbers, or values that are not finite.
    """
    read = table.external_index.max(axis=0, initial=-1) + 1
    pages = dict(zip(table.externals, read.tolist(), strict=True))
    most = max(pages.values(), default=0)
    return {
        name: _pages(f"buffer {name!r}", value, layout, (pages[name], most))
        for name, value in buffers.items()
    }


def page_bytes(
    buffers: Mapping[str, Array],
    table: SamplerTable,
    layout: StateLayout,
    images: int,
    previews: int,
) -> int:
    """Memory of what a request reads and writes in pages.

    Args:
        buffers: checked; held once.
        table: says how many pages each picture writes.
        layout: shape of the state.
        images: pictures.
        previews: as of `Sampler`; their tape is not kept.
    """
    written = sum(table.tape_pages[: -1 if previews else None])
    given = sum(buffer.nbytes for buffer in buffers.values())
    return images * written * layout.elements * FLOAT_BYTES + given


def _pages(
    name: str, value: object, layout: StateLayout, bounds: tuple[int, int]
) -> NDArray[np.float32]:
    array, (low, high) = numbers(value, name), bounds
    shapes = [(layout.elements,), *(part.shape for part in layout.parts if len(layout.parts) == 1)]
    pages = len(array) if array.shape[1:] in shapes else int(array.shape in shapes)
    if not low <= pages <= high or not pages:
        count = str(low) if low == high else f"{low} to {high}"
        raise InvalidInput(
            f"{name} has shape {array.shape}; the solver reads {count} page(s) of it, each of "
            f"{' or '.join(map(str, shapes))}. Take the buffer of a run with the same steps, "
            "schedule and strength."
        )
    flat = converted(array.reshape(pages, layout.elements), "float32", name)
    flat.setflags(write=False)
    return flat
