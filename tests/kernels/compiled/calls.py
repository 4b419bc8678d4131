"""Calls of every launch function of kernels/, in sizes that must all take the same variants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

import torch

from denoisert.kernels.gram import launch as gram
from denoisert.kernels.lanes import launch as lanes
from denoisert.kernels.philox import launch as philox
from denoisert.kernels.quantile import launch as quantile
from denoisert.kernels.rule import launch as rule
from denoisert.kernels.step import launch as step
from denoisert.kernels.step.record import FORMS
from denoisert.kernels.step.variants import DTYPES
from tests.kernels.step_space import place


class Sizes(NamedTuple):
    """Numbers that a careless launch would specialise: 1, multiples of 16, neither."""

    slots: int
    elements: int
    channels: int
    parts: int
    seed: int


SIZES = (
    Sizes(slots=16, elements=512, channels=16, parts=16, seed=16),
    Sizes(slots=1, elements=1, channels=1, parts=1, seed=1),
    Sizes(slots=3, elements=1035, channels=3, parts=3, seed=(1 << 64) - 5),
)


class Call(NamedTuple):
    """A call of a launch function, and what its kernels must be passed by the names they use."""

    op: str
    run: Callable[[], None]
    values: Mapping[str, Any]


def calls(op: str, sizes: Sizes) -> Iterator[Call]:
    """Calls that take every variant of an op.

    Args:
        op: a folder of kernels/.
        sizes: of what is passed.
    """
    makers = {
        "gram": _gram,
        "lanes": _lanes,
        "philox": _philox,
        "quantile": _quantile,
        "rule": _rule,
        "step": _step,
    }
    for run, values in makers[op](sizes):
        yield Call(op, run, values)


Made = Iterator[tuple[Callable[[], None], Mapping[str, Any]]]
WIDE, WHOLE = torch.float64, torch.int32


def _philox(sizes: Sizes) -> Made:
    whole = torch.empty(sizes.elements + 4)
    high, low = (word - (word >> 31 << 32) for word in (sizes.seed >> 32, sizes.seed % (1 << 32)))
    for name, dtype in (("normals", whole.dtype), ("uniforms", whole.dtype), ("words", WHOLE)):
        for start, first in ((0, 64), (1, 64), (0, 66)):  # aligned, ragged by its place, by first
            out = whole.view(dtype)[start : start + sizes.elements]

            def run(name: str = name, out: torch.Tensor = out, first: int = first) -> None:
                fields = {"draw": sizes.slots, "image": sizes.parts, "loop": sizes.channels}
                getattr(philox, name)(out, sizes.seed, first=first, purpose=1, **fields)

            yield (
                run,
                {
                    "out_ptr": out,
                    "count": sizes.elements,
                    "skip": first % 4,
                    "group": 16,
                    "c1": sizes.slots,
                    "c2": 1 + 256 * sizes.channels,
                    "c3": sizes.parts,
                    "k0": low,
                    "k1": high,
                },
            )


def _lanes(sizes: Sizes) -> Made:
    """Rows that lie on 16 bytes or not; each with and without a scale."""
    widths = ((16 * sizes.elements, 0), (4 * sizes.elements - 1, 0), (16, 1))
    dtypes = (torch.float32, torch.float16, torch.bfloat16, torch.int8)
    for index_type, (width, start), dtype in product((torch.int32, torch.int64), widths, dtypes):
        index = torch.zeros(sizes.slots, dtype=index_type)
        out, source = (_rows(start, sizes.slots, width, dtype) for _ in range(2))
        unit = 4 // dtype.itemsize if start == width % 2 == 0 else 1
        yield (
            (lambda s=source, i=index, o=out: lanes.gather(s, i, out=o)),
            _row_values(out, source, index, unit),
        )
        if dtype in DTYPES:
            source = _rows(start, sizes.slots, width, torch.float32)
            scale = torch.ones(sizes.slots)
            yield (
                (lambda s=source, i=index, c=scale, o=out: lanes.gather(s, i, c, out=o)),
                _row_values(out, source, index, 1) | {"scale_ptr": scale},
            )


def _rows(start: int, rows: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    """(rows, width) that begin `start` numbers behind an aligned address."""
    return torch.zeros(start + rows * width, dtype=dtype)[start:].view(rows, width)


def _row_values(
    out: torch.Tensor, source: torch.Tensor, index: torch.Tensor, unit: int
) -> Mapping[str, Any]:
    width = out.shape[1] // unit
    sizes = {"rows": len(source), "units": width, "out_stride": width, "source_stride": width}
    return {"out_ptr": out, "source_ptr": source, "index_ptr": index, **sizes}


def _gram(sizes: Sizes) -> Made:
    slots, channels, pitch = sizes.slots, sizes.channels, 16 * sizes.elements
    elements = sizes.elements // channels * channels
    vectors = torch.zeros(slots, 4, pitch)
    counts = torch.zeros(slots + 1, dtype=WHOLE)[1:]
    out = (
        torch.zeros(slots * channels * 16 + 1, dtype=WIDE)[1:].view(slots, channels, 4, 4),
        torch.zeros(slots, channels, 4, dtype=WIDE),
    )
    workspace = torch.zeros(gram.workspace(slots, channels, elements), dtype=WIDE)

    def run() -> None:
        sized = {"elements": elements, "channels": channels}
        gram.gram(vectors, counts, **sized, out=out, workspace=workspace)

    named = {"vectors_ptr": vectors, "counts_ptr": counts, "partials_ptr": workspace}
    named |= {"products_ptr": out[0], "sums_ptr": out[1], "elements": elements}
    yield run, named | {"slot_pitch": 4 * pitch, "pitch": pitch, "splits": workspace.shape[2]}


def _rule(sizes: Sizes) -> Made:
    slots, channels = sizes.slots, sizes.channels
    rules = torch.zeros(slots + 1, dtype=WHOLE)[1:]
    products, sums = (torch.zeros(slots, channels, *s, dtype=WIDE) for s in ((4, 4), (4,)))
    args = torch.zeros(slots, 8, dtype=WIDE)
    carried = torch.zeros(slots, channels, 4, dtype=WIDE)
    out = torch.zeros(slots, channels, 4)

    def run() -> None:
        written = {"args": args, "carried": carried, "out": out}
        rule.apply(rules, products, sums, count=sizes.elements, **written)

    named = {"rules_ptr": rules, "products_ptr": products, "sums_ptr": sums, "args_ptr": args}
    yield run, named | {"carried_ptr": carried, "out_ptr": out, "count": sizes.elements}


def _quantile(sizes: Sizes) -> Made:
    workspace = torch.zeros(quantile.workspace(sizes.slots), dtype=WHOLE)
    ratios, out = torch.zeros(2, sizes.slots)
    for elements in (sizes.elements, quantile.SMALL + sizes.elements):
        pitch = -(-elements // 16) * 16
        values = torch.zeros(sizes.slots, pitch)

        def run(elements: int = elements, values: torch.Tensor = values) -> None:
            quantile.quantile(values, ratios, elements=elements, out=out, workspace=workspace)

        named = {"values_ptr": values, "ratios_ptr": ratios, "out_ptr": out}
        yield run, named | {"workspace_ptr": workspace, "pitch": pitch, "elements": elements}


def _step(sizes: Sizes) -> Made:
    for form in FORMS:
        for dtype in DTYPES:
            for is_aligned in (False, True):
                yield from _step_of(form, dtype, sizes, is_aligned=is_aligned)


def _step_of(form: Any, dtype: torch.dtype, sizes: Sizes, *, is_aligned: bool) -> Made:
    bounds = tuple(
        (part * sizes.elements, (part + 1) * sizes.elements) for part in range(sizes.parts)
    )
    space = place(
        form,
        "cpu",
        slots=sizes.slots,
        elements=bounds[-1][1],
        bounds=bounds,
        channels=sizes.channels,
        dtype=dtype,
        aligned=is_aligned,
    ).space
    named: dict[str, Any] = dict(
        zip(("registers_ptr", "lanes_ptr", "pages_ptr"), space.places, strict=False)
    )
    named |= {
        "integers_ptr": space.rows[0],
        "floats_ptr": space.rows[1],
        "states_ptr": space.states,
    }
    named |= {"weights_ptr": space.found[0], "thresholds_ptr": space.found[1]}
    named |= {"tiles_ptr": space.tiles, "pitch": space.pitch, "parts": sizes.parts}
    named |= {"channels": sizes.channels, "rule_args_ptr": space.rows[2]}
    last = sizes.slots - 1
    yield (lambda: step.step(space)), named | {"first_slot": 0}
    yield (lambda: step.step(space, slot=last)), named | {"first_slot": last}
    if is_aligned:
        return
    yield (lambda: step.feed(space)), named
    counts, rules = torch.zeros(2, sizes.slots, dtype=WHOLE)
    args, out = torch.zeros(sizes.slots, 8, dtype=WIDE), torch.zeros(sizes.slots, 4, space.pitch)
    written = {"counts": counts, "rules": rules, "args": args}
    pointers = {f"{name}_ptr": tensor for name, tensor in written.items()}
    yield (lambda: step.vectors(space, out, **written)), named | pointers | {"vectors_ptr": out}
    if not space.record.has_operations:
        return
    values, ratios = torch.zeros(sizes.slots, space.pitch), torch.zeros(sizes.slots + 1)[1:]
    for order in (0, 1):
        yield (
            (lambda order=order: step.argument(space, order, values, ratios=ratios)),
            named | {"values_ptr": values, "ratios_ptr": ratios},
        )
