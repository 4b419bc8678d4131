"""One name for each dimension that varies: "lanes", and those that a signature names.

Exporters give several symbols to one logical batch, and free height and width to graphs that a card
uses at one size. Afterwards a graph's ports have the signature's names or fixed sizes, and nothing
else; values inside may have sizes that are formulas of these names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Final

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from denoisert.export.graph.ports import graph_inputs
from denoisert.export.graph.signature import LANES, Signature

Size = int | ir.SymbolicDim

_NAME: Final = re.compile(r"[^\W\d][\w.]*")


def unify_dims(model: ir.Model, signature: Signature) -> None:
    """Rename and fix dimensions in place; call after `check_names`.

    Args:
        model: symbols of first input dimensions become "lanes", other symbols of inputs become the
            signature's sizes; fixed sizes stay as they are.
        signature: sizes of the inputs.
    """
    meaning = _meaning(model, signature)
    is_new = any(name != target for name, target in meaning.items())
    is_whole = _rename(model, meaning) if is_new else True
    _name_outputs(model, signature)
    if not is_whole or any(_has_unknown(value) for value in model.graph.outputs):
        ShapeInferencePass(check_type=False, strict_mode=False)(model)
        _name_outputs(model, signature)


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


def _rename(model: ir.Model, meaning: Mapping[str, int | str]) -> bool:
    """Apply the meaning everywhere; shapes that depend on other symbols are to be inferred again.

    Returns:
        Whether no shape was lost.
    """
    is_whole = True
    for value in _values(model):
        if value.shape is None:
            continue
        sizes = [_translate(size, meaning) for size in value.shape]
        is_known = all(isinstance(size, int) or size.value is not None for size in sizes)
        is_border = value.is_graph_input() or value.is_graph_output()
        value.shape = ir.Shape(sizes) if is_known or is_border else None
        is_whole = is_whole and is_known
    return is_whole


def _translate(size: Size, meaning: Mapping[str, int | str]) -> Size:
    """A size, or a formula of sizes, in the signature's names; without a name where it has none."""
    if isinstance(size, int) or size.value is None:
        return size
    target = meaning.get(size.value)
    if isinstance(target, int):
        return target
    names = set(_NAME.findall(size.value))
    if not names or any(not isinstance(meaning.get(name), str) for name in names):
        return ir.SymbolicDim(target)
    return ir.SymbolicDim(_NAME.sub(lambda found: str(meaning[found[0]]), size.value))


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from graph.inputs
        for node in graph:
            yield from node.outputs


def _has_unknown(value: ir.Value) -> bool:
    sizes = tuple(value.shape or ())
    return not sizes or any(isinstance(size, ir.SymbolicDim) and not size.value for size in sizes)


def _name_outputs(model: ir.Model, signature: Signature) -> None:
    """Call the free dimensions of outputs what the signature calls them; the first is the lanes."""
    wanted = {port.name: port.dims for port in signature.outputs}
    for value in model.graph.outputs:
        sizes = tuple(value.shape or ())
        dims = wanted[str(value.name)]
        named = dims if len(dims) == len(sizes) else (LANES,)
        pairs = zip_longest(sizes, named[: len(sizes)])
        if sizes:
            value.shape = ir.Shape([_named_size(size, name) for size, name in pairs])


def _named_size(size: Size, name: int | str | None) -> Size:
    is_free = isinstance(size, ir.SymbolicDim) and isinstance(name, str)
    return ir.SymbolicDim(name) if is_free else size
