"""One name for the one dimension that varies: every batch symbol becomes "lanes".

Exporters give several symbols to one logical batch, and free height and width to graphs that a card
uses at one size. Afterwards a graph has "lanes" or fixed sizes, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from denoisert.export.graph.ports import graph_inputs
from denoisert.export.graph.signature import LANES, Signature

Size = int | ir.SymbolicDim


def unify_dims(model: ir.Model, signature: Signature) -> None:
    """Rename and fix dimensions in place; call after `check_names`.

    Args:
        model: symbols of first input dimensions become "lanes", other symbols of inputs become the
            signature's sizes; fixed sizes stay as they are.
        signature: sizes of the inputs.
    """
    meaning = _meaning(model, signature)
    if set(meaning) - {LANES} or any(_has_unknown(value) for value in model.graph.outputs):
        _rename(model, meaning)
        ShapeInferencePass(check_type=False, strict_mode=False)(model)
    for value in model.graph.outputs:
        _name_first(value)


def _meaning(model: ir.Model, signature: Signature) -> dict[str, int | str]:
    """What each symbol of the inputs stands for."""
    wanted = {port.name: port.dims for port in signature.inputs}
    found: dict[str, int | str] = {}
    for value in graph_inputs(model):
        sizes = tuple(value.shape or ())
        dims = wanted.get(str(value.name), ())
        named = _named(value, sizes)
        targets = dims if len(dims) == len(sizes) else (LANES,)
        found.update({name: targets[axis] for axis, name in named.items() if axis < len(targets)})
    return found


def _named(value: ir.Value, sizes: tuple[Size, ...]) -> dict[int, str]:
    """Axis -> symbol; an unnamed free dimension is given a name of its own."""
    named = {}
    for axis, size in enumerate(sizes):
        if not isinstance(size, ir.SymbolicDim):
            continue
        named[axis] = size.value or f"{value.name}.{axis}"
    if named:
        value.shape = ir.Shape([named.get(axis, size) for axis, size in enumerate(sizes)])
    return named


def _rename(model: ir.Model, meaning: Mapping[str, int | str]) -> None:
    """Apply the meaning everywhere; shapes that depend on other symbols are inferred again."""
    for value in _values(model):
        if value.shape is None:
            continue
        sizes = [_translate(size, meaning) for size in value.shape]
        is_known = all(isinstance(size, int) or size == LANES for size in sizes)
        is_border = value.is_graph_input() or value.is_graph_output()
        value.shape = ir.Shape(sizes) if is_known or is_border else None


def _translate(size: Size, meaning: Mapping[str, int | str]) -> Size:
    if isinstance(size, int):
        return size
    target = meaning.get(size.value) if size.value is not None else None
    return target if isinstance(target, int) else ir.SymbolicDim(target)


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from graph.inputs
        for node in graph:
            yield from node.outputs


def _has_unknown(value: ir.Value) -> bool:
    sizes = tuple(value.shape or ())
    return not sizes or any(not isinstance(size, int) and size != LANES for size in sizes)


def _name_first(value: ir.Value) -> None:
    """Name an output's first dimension where inference could not."""
    if value.shape is not None and len(value.shape) and not isinstance(value.shape[0], int):
        value.shape = ir.Shape([ir.SymbolicDim(LANES), *tuple(value.shape)[1:]])
