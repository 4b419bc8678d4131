"""Half types: what stays float32, what the ports are, and that nothing wide spreads."""

import numpy as np
import pytest
import torch

from denoisert.runtime.engines.torch.precision import Precision, in_range
from denoisert.runtime.errors import BuildError
from tests.runtime.engines.torch.graphs import (
    draw,
    engine_of,
    model_of,
    node,
    outputs_of,
    relative,
    weight,
)

HALF = ["float16", "bfloat16"]


def embedded(steps=8):
    """sin(time frequency) through two layers, added to a latent: how every denoiser starts."""
    return model_of(
        [
            node("Unsqueeze", "time axis", "column"),
            node("Mul", "column frequency", "phase"),
            node("Sin", "phase", "wave"),
            node("Gemm", "wave w1", "hidden"),
            node("Sigmoid", "hidden", "gate"),
            node("Gemm", "gate w2", "shift"),
            node("Mul", "latent shift", "y"),
        ],
        {"latent": ["lanes", 4], "time": ["lanes"]},
        {"y": ["lanes", 4]},
        {
            "axis": np.array([1]),
            "frequency": np.linspace(0.5, 3.0, steps, dtype=np.float32)[None],
            "w1": weight(steps, 6),
            "w2": weight(6, 4, seed=1),
        },
    )


def dtypes_of(engine, lanes=2):
    steps = engine.plan(lanes).program.steps
    return {
        name: specimen.dtype
        for step in steps
        for name, specimen in zip(step.outputs, step.specimens, strict=True)
    }


def port_dtypes(engine):
    return {port.name: port.dtype for port in (*engine.inputs, *engine.outputs)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_whole_types_are_used_everywhere(dtype, tmp_path):
    engine = engine_of(tmp_path, embedded(), dtype=dtype)
    assert set(port_dtypes(engine).values()) == {dtype}
    assert set(dtypes_of(engine).values()) == {getattr(torch, dtype)}


@pytest.mark.parametrize("dtype", HALF)
def test_times_stay_float32_up_to_the_first_weights(dtype, tmp_path):
    engine = engine_of(tmp_path, embedded(), dtype=dtype)
    assert port_dtypes(engine) == {"latent": dtype, "time": "float32", "y": dtype}
    half, found = getattr(torch, dtype), dtypes_of(engine)
    wide = {name for name, kind in found.items() if kind == torch.float32}
    assert wide == {"column", "phase", "wave"}
    assert {kind for name, kind in found.items() if name not in wide} == {half}


@pytest.mark.parametrize("dtype", HALF)
def test_a_time_of_a_thousand_keeps_its_phase(dtype, tmp_path):
    """One rounding of the wave to half: eps 2^-11 or 2^-8, amplified by two small layers."""
    exact = engine_of(tmp_path, embedded(), dtype="float64")
    buffers = draw(exact, 16)
    buffers["time"] = torch.linspace(900.3, 999.9, 16, dtype=torch.float64)
    wanted = outputs_of(exact, 16, buffers)["y"]
    engine = engine_of(tmp_path, embedded(), dtype=dtype)
    given = {
        "time": buffers["time"].float(),
        "latent": buffers["latent"].to(getattr(torch, dtype)),
    }
    found = outputs_of(engine, 16, given)["y"]
    assert relative(found, wanted) < 16 * torch.finfo(getattr(torch, dtype)).eps
    spoiled = {"time": given["time"].half().float(), "latent": given["latent"]}
    assert relative(outputs_of(engine, 16, spoiled)["y"], wanted) > 0.1


def test_positions_of_two_dimensions_stay_float32_up_to_their_sine(tmp_path):
    nodes = [
        node("Einsum", "ids frequency", "phase", equation="bi,j->bij"),
        node("Cos", "phase", "wave"),
        node("Mul", "latent wave", "y"),
    ]
    ports = {"latent": ["lanes", 3, 4], "ids": ["lanes", 3]}, {"y": ["lanes", 3, 4]}
    engine = engine_of(tmp_path, model_of(nodes, *ports, {"frequency": weight(4)}), dtype="float16")
    assert port_dtypes(engine) == {"latent": "float16", "ids": "float32", "y": "float16"}
    assert dtypes_of(engine)["wave"] == torch.float32
    assert dtypes_of(engine)["y"] == torch.float16


def test_an_outer_product_of_positions_is_no_weight(tmp_path):
    nodes = [
        node("Cast", "i_ids", "row", to=1),
        node("Unsqueeze", "row axis", "column"),
        node("MatMul", "column frequency", "phase"),
        node("Sin", "phase", "wave"),
        node("MatMul", "wave w", "y"),
    ]
    weights = {"axis": np.array([2]), "frequency": weight(1, 4), "w": weight(4, 4)}
    ports = {"i_ids": ["lanes", 3]}, {"y": ["lanes", 3, 4]}
    found = dtypes_of(engine_of(tmp_path, model_of(nodes, *ports, weights), dtype="bfloat16"))
    assert found["phase"] == found["wave"] == torch.float32
    assert found["y"] == torch.bfloat16


@pytest.mark.parametrize("dtype", HALF)
def test_casts_to_float_do_not_drag_the_rest_along(dtype, tmp_path):
    nodes = [
        node("MatMul", "x w", "a"),
        node("Cast", "a", "b", to=1),
        node("Sigmoid", "b", "c"),
        node("MatMul", "c w", "y"),
    ]
    ports = {"x": ["lanes", 4]}, {"y": ["lanes", 4]}
    engine = engine_of(tmp_path, model_of(nodes, *ports, {"w": weight(4, 4)}), dtype=dtype)
    assert set(dtypes_of(engine).values()) == {getattr(torch, dtype)}


def root_mean_square():
    """T5's normalisation as exporters write it: squares of 300 leave float16's range."""
    return model_of(
        [
            node("Pow", "x two", "squares"),
            node("ReduceMean", "squares axis", "mean"),
            node("Add", "mean epsilon", "shifted"),
            node("Sqrt", "shifted", "root"),
            node("Reciprocal", "root", "factor"),
            node("Mul", "x factor", "y"),
        ],
        {"x": ["lanes", 4, 6]},
        {"y": ["lanes", 4, 6]},
        {"two": np.float32(2), "axis": np.array([-1]), "epsilon": np.float32(1e-9)},
    )


@pytest.mark.parametrize("is_product", [False, True])
def test_squares_leave_the_range_of_a_half_type_and_come_back(is_product, tmp_path):
    model = root_mean_square()
    if is_product:
        model.graph.node[0].CopyFrom(node("Mul", "x x", "squares"))
    engine = engine_of(tmp_path, model, dtype="float16")
    x = (700 * torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))).half()
    found = outputs_of(engine, 2, {"x": x})["y"]
    wanted = x.double() / (x.double() ** 2).mean(-1, keepdim=True).sqrt()
    assert relative(found, wanted) < 2 * torch.finfo(torch.float16).eps
    assert dtypes_of(engine)["y"] == torch.float16


def test_constants_beyond_the_range_stay_finite():
    lowest = torch.tensor([torch.finfo(torch.float32).min, -float("inf"), 1.5])
    found = in_range(lowest, torch.float16)
    assert found.tolist() == [-65504.0, -float("inf"), 1.5]
    assert in_range(lowest, torch.float32) is lowest


def test_a_mask_with_the_lowest_number_does_not_make_nan(tmp_path):
    nodes = [
        node("Where", "i_keep zero lowest", "mask"),
        node("Add", "x mask", "scores"),
        node("Softmax", "scores", "y", axis=-1),
    ]
    nodes[0].input[0] = "keep"
    nodes.insert(0, node("Cast", "i_keep", "keep", to=9))
    lowest = np.float32(np.finfo(np.float32).min)
    ports = {"x": ["lanes", 4], "i_keep": ["lanes", 4]}, {"y": ["lanes", 4]}
    model = model_of(nodes, *ports, {"zero": np.float32(0), "lowest": lowest})
    engine = engine_of(tmp_path, model, dtype="float16")
    buffers = draw(engine, 2) | {"i_keep": torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0]])}
    found = outputs_of(engine, 2, buffers)["y"]
    assert torch.isfinite(found).all()
    assert found[0, 1] == found[0, 3] == 0


def test_integers_are_left_alone(tmp_path):
    nodes = [node("Gather", "table i_labels", "y", axis=0)]
    ports = {"i_labels": ["lanes"]}, {"y": ["lanes", 4]}
    engine = engine_of(
        tmp_path, model_of(nodes, *ports, {"table": weight(10, 4)}), dtype="bfloat16"
    )
    assert port_dtypes(engine) == {"i_labels": "int64", "y": "bfloat16"}


def test_other_types_are_refused():
    with pytest.raises(BuildError, match="'float8' asked for"):
        Precision.named("float8")


def narrowed_by_hand():
    """A float16 product between two casts, and a float32 branch beside it."""
    return model_of(
        [
            node("Cast", "x", "x16", to=10),
            node("MatMul", "x16 w", "a16"),
            node("Sigmoid", "a16", "gate"),
            node("Mul", "a16 gate", "silu"),
            node("Cast", "silu", "b", to=1),
            node("Sin", "x", "c"),
            node("Add", "b c", "y"),
        ],
        {"x": ["lanes", 4]},
        {"y": ["lanes", 4]},
        {"w": weight(4, 4).astype(np.float16)},
    )


def test_a_graph_is_taken_as_written(tmp_path):
    engine = engine_of(tmp_path, narrowed_by_hand(), dtype="written")
    assert port_dtypes(engine) == {"x": "float32", "y": "float32"}
    found = dtypes_of(engine)
    half = {name for name, kind in found.items() if kind == torch.float16}
    assert half == {"x16", "a16", "gate", "silu"}, "nothing is fused and nothing converted"
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    w = torch.from_numpy(weight(4, 4)).half()
    a = x.half() @ w
    wanted = (a * a.sigmoid()).float() + x.sin()
    assert torch.equal(outputs_of(engine, 2, {"x": x})["y"], wanted)


def test_other_precisions_override_what_is_written(tmp_path):
    engine = engine_of(tmp_path, narrowed_by_hand(), dtype="float32")
    assert set(dtypes_of(engine).values()) == {torch.float32}
