"""What is done to a graph that someone else wrote, before it is compared with its card.

Known faults of exporters are mended, random numbers become inputs, and outputs that the card does
not read go. Each is noted, for the result is no longer the file that its author ran.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import onnx_ir as ir

from denoisert.export.graph.attention_masks import spread_masks
from denoisert.export.graph.dead_outputs import drop_dead_outputs
from denoisert.export.graph.lift_random import lift_random
from denoisert.export.graph.signature import Signature
from denoisert.export.graph.squeezes import mend_squeezes
from denoisert.runtime.bundle.condition import Source
from denoisert.runtime.errors import InvalidInput


class Settled(NamedTuple):
    """What became of a foreign graph.

    Args:
        notes: what the user should know, one sentence each.
        is_other: whether it takes other inputs or computes something else than the file.
    """

    notes: tuple[str, ...]
    is_other: bool


def settle_graph(model: ir.Model, signature: Signature) -> Settled:
    """Mend, lift and drop in place.

    Args:
        model: fresh from its file.
        signature: what the card says.

    Raises:
        InvalidInput: it draws random numbers and the card does not feed them; gives the entries.
        UnsupportedOperator: it draws random numbers that cannot become inputs.
    """
    mended = (*_mend(model),)
    lifted = lift_random(model)
    _check_fed(model, signature, lifted)
    fed = [port.name for port in signature.inputs]
    dropped = drop_dead_outputs(model, signature.output_names, fed)
    drawn = [f"{_list(lifted)}: random numbers of the graph, now inputs"] if lifted else []
    left = [
        f"{kind} {_names(names)} left out, for the card has no use for them"
        for kind, names in zip(("outputs", "inputs"), dropped, strict=True)
        if names
    ]
    notes = (*mended, *drawn, *left)
    return Settled(notes, bool(mended or lifted or dropped.inputs))


def _mend(model: ir.Model) -> list[str]:
    squeezes, masks = mend_squeezes(model), spread_masks(model)
    notes = []
    if squeezes:
        notes.append(f"{squeezes} squeezes of axes longer than 1, a fault of torch's exporter, go")
    if masks:
        notes.append(f"{masks} masks of one row are repeated for every query")
    return notes


def _check_fed(model: ir.Model, signature: Signature, lifted: Sequence[ir.Value]) -> None:
    known = {port.name for port in signature.inputs}
    lengths = _lengths(model, signature)
    missing = [_entry(value, lengths) for value in lifted if value.name not in known]
    if missing:
        entries = ", ".join(json.dumps(entry) for entry in missing)
        raise InvalidInput(
            f"the graph draws random numbers by itself, so no request would give the same picture "
            f"twice; they become inputs, which the card does not feed. Add {entries} to its "
            '"conditions", and pass an array of that shape with each request: standard normal for '
            "RandomNormal, uniform in 0 .. 1 otherwise."
        )


def _entry(value: ir.Value, lengths: Mapping[str, int | str]) -> dict[str, Any]:
    """The card's condition that feeds an input."""
    sizes = tuple(value.shape or ())[1:]
    shape = [size if isinstance(size, int) else lengths.get(str(size), str(size)) for size in sizes]
    source = Source.EXTERNAL_ARRAY.value
    return {"name": value.name, "source": source, "dtype": "float32", "shape": shape}


def _lengths(model: ir.Model, signature: Signature) -> dict[str, int | str]:
    """What the card says about the symbols of the graph's inputs."""
    wanted = {port.name: port.dims for port in signature.inputs}
    found = {}
    for value in model.graph.inputs:
        for size, length in zip(value.shape or (), wanted.get(str(value.name), ()), strict=False):
            found[str(size)] = length
    return found


def _list(values: Sequence[ir.Value]) -> str:
    return _names([str(value.name) for value in values])


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
