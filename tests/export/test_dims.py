"""Names of dimensions: lanes and named axes by the signature, formulas of them inside."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir
import pytest

from denoisert.export.graph.dims import unify_dims
from denoisert.export.graph.ports import check_ports, read_ports
from denoisert.export.graph.signature import Signature, denoiser_signature
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout
from tests.export.networks import card_of

CARD = card_of(conditions=())
SIZED = replace(CARD, further=(StateLayout((Part("latent", (2, 8, 4)),)),))


def model(batch: str = "s7", *, height: int | str = "s3", width: int | str = "s4") -> ir.Model:
    """velocity = relu(doubled latent, halved again) * time; its inner value has a formula."""
    shape = ir.Shape([batch, 2, height, width])
    latent = ir.Value(name="latent", shape=shape, type=ir.TensorType(ir.DataType.FLOAT))
    time = ir.Value(name="time", shape=ir.Shape([batch]), type=ir.TensorType(ir.DataType.FLOAT))
    doubled = ir.node("Concat", [latent, latent], {"axis": 2})
    doubled.outputs[0].shape = ir.Shape([batch, 2, f"2*{height}", width])
    doubled.outputs[0].type = latent.type
    halves = ir.node("Split", [doubled.outputs[0]], {"axis": 2, "num_outputs": 2}, num_outputs=2)
    axes = ir.Value(name="axes", const_value=ir.tensor([1, 2, 3], name="axes"))
    factor = ir.node("Unsqueeze", [time, axes])
    result = ir.node("Mul", [halves.outputs[0], factor.outputs[0]])
    output = result.outputs[0]
    output.name, output.type = "velocity", latent.type
    output.shape = ir.Shape([batch, 2, f"(2*{height})//2", width])
    nodes = [doubled, halves, factor, result]
    graph = ir.Graph(
        [latent, time],
        [output],
        nodes=nodes,
        initializers=[axes],
        opset_imports={"": 23},
        name="test",
    )
    return ir.Model(graph, ir_version=10)


def unified(signature: Signature, **sizes: int | str) -> ir.Model:
    made = model(**sizes)
    unify_dims(made, signature)
    return made


def inner(made: ir.Model) -> list[int | str | None]:
    shape = made.graph[0].outputs[0].shape
    assert shape is not None
    return [size if isinstance(size, int) else size.value for size in shape]


def test_named_axes_take_the_names_of_the_signature() -> None:
    signature = denoiser_signature(SIZED)
    made = unified(signature)
    ports = read_ports([*made.graph.inputs, *made.graph.outputs])
    wanted = ("lanes", 2, "height", "width")
    assert [port.dims for port in ports] == [wanted, ("lanes",), wanted]
    check_ports(signature, ports[:2], ports[2:])


def test_formulas_inside_are_of_these_names() -> None:
    assert inner(unified(denoiser_signature(SIZED))) == ["lanes", 2, "2*height", "width"]


def test_one_size_leaves_numbers_alone() -> None:
    made = unified(denoiser_signature(CARD))
    ports = read_ports([*made.graph.inputs, *made.graph.outputs])
    assert [port.dims[1:] for port in ports] == [(2, 6, 6), (), (2, 6, 6)]
    assert inner(made) == ["lanes", 2, 12, 6], "inferred again"


def test_a_graph_of_one_size_is_refused_where_the_card_has_several() -> None:
    signature = denoiser_signature(SIZED)
    made = unified(signature, height=6, width=6)
    inputs, outputs = read_ports(made.graph.inputs), read_ports(made.graph.outputs)
    with pytest.raises(InvalidInput, match=r"'latent' is .*'height', 'width'"):
        check_ports(signature, inputs, outputs)
