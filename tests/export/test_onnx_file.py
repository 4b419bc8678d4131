"""Foreign ONNX files: opsets 17 to 23 as they are, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from denoisert.export.graph.ports import check_ports, read_ports
from denoisert.export.graph.signature import denoiser_signature
from denoisert.export.sources.onnx_file import OnnxFile
from denoisert.runtime.bundle.card import Card, TimeShape
from denoisert.runtime.errors import DenoiseRTError, ExportError, InvalidInput, UnsupportedOperator
from denoisert.runtime.layout import Part
from tests.export import foreign
from tests.export.foreign import CHANNELS, SCALAR_CARD, SIZE, VECTOR_CARD, denoiser, save
from tests.export.networks import card_of
from tests.export.running import run_model

Change = Callable[[onnx.ModelProto], None]


def drawn(lanes: int, times: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(lanes)
    x = generator.standard_normal((lanes, CHANNELS, SIZE)).astype(np.float32)
    return {"x": x, "time": generator.random(times, np.float32)}


def refuse(model: onnx.ModelProto, folder: Path, card: Card = VECTOR_CARD) -> str:
    """The text of the error that compiling this file ends with."""
    path = save(model, folder / "model.onnx")
    with pytest.raises(DenoiseRTError) as caught:
        OnnxFile(path, card).load()
    return f"{type(caught.value).__name__}: {caught.value}"


@pytest.mark.parametrize("opset", range(17, 24))
def test_opsets_17_to_23_are_taken_as_they_are(tmp_path: Path, opset: int) -> None:
    model = denoiser(opset=opset)
    loaded = OnnxFile(save(model, tmp_path / "model.onnx"), VECTOR_CARD).load().components[0]
    assert loaded.graph.graph.opset_imports[""] == opset
    assert loaded.notes == ()
    inputs = drawn(3, 3)
    reference = foreign.evaluate(model, inputs["x"], inputs["time"])
    for found in (loaded.evaluate(inputs), run_model(loaded.graph, inputs)):
        assert np.abs(found["eps"] - reference).max() < 2e-6 * np.abs(reference).max()


def test_every_free_dimension_becomes_lanes(tmp_path: Path) -> None:
    path = save(denoiser(batch="N", time_dims=["another"]), tmp_path / "model.onnx")
    graph = OnnxFile(path, VECTOR_CARD).load().components[0].graph.graph
    shapes = {value.name: [str(size) for size in value.shape] for value in graph.inputs}
    assert shapes == {"x": ["lanes", "3", "20"], "time": ["lanes"]}
    assert [str(size) for size in graph.outputs[0].shape] == ["lanes", "3", "20"]


def test_unnamed_dimensions_and_free_sizes_are_fixed_by_the_card(tmp_path: Path) -> None:
    model = denoiser(batch=None, size="width", time_dims=[None])
    graph = (
        OnnxFile(save(model, tmp_path / "model.onnx"), VECTOR_CARD).load().components[0].graph.graph
    )
    assert [str(size) for size in graph.inputs[0].shape] == ["lanes", "3", "20"]
    assert [str(size) for size in graph.inputs[1].shape] == ["lanes"]


@pytest.mark.parametrize("dims", [(), (1,)])
def test_a_scalar_time_is_kept_and_noted(tmp_path: Path, dims: tuple[int, ...]) -> None:
    model = denoiser(time_dims=dims)
    loaded = OnnxFile(save(model, tmp_path / "model.onnx"), SCALAR_CARD).load().components[0]
    assert tuple(loaded.graph.graph.inputs[1].shape) == dims
    assert len(loaded.notes) == 1
    assert "one time per call" in loaded.notes[0]
    inputs = drawn(3, 1)
    reference = foreign.evaluate(model, inputs["x"], inputs["time"])
    found = loaded.evaluate({**inputs, "time": inputs["time"].reshape(())})["eps"]
    np.testing.assert_allclose(found, reference, rtol=2e-6, atol=2e-6)


def test_a_fixed_batch_is_kept(tmp_path: Path) -> None:
    model = denoiser(batch=4, time_dims=[4])
    loaded = OnnxFile(save(model, tmp_path / "model.onnx"), VECTOR_CARD).load().components[0]
    assert tuple(loaded.graph.graph.inputs[0].shape) == (4, CHANNELS, SIZE)


def test_weights_that_are_also_inputs_become_constants(tmp_path: Path) -> None:
    model = denoiser()
    model.graph.input.append(
        helper.make_tensor_value_info("W", TensorProto.FLOAT, [SIZE, SIZE]),
    )
    loaded = OnnxFile(save(model, tmp_path / "model.onnx"), VECTOR_CARD).load().components[0]
    assert [value.name for value in loaded.graph.graph.inputs] == ["x", "time"]


@pytest.mark.parametrize("opset", [16, 24])
def test_other_opsets_are_refused(tmp_path: Path, opset: int) -> None:
    text = refuse(denoiser(opset=opset), tmp_path)
    assert text.startswith("UnsupportedOperator: model.onnx uses ONNX opset")
    assert str(opset) in text
    assert "17 to 23" in text


def custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[1].domain = "com.stranger"
    model.opset_import.append(helper.make_opsetid("com.stranger", 1))


def custom_operator_inside_a_branch(model: onnx.ModelProto) -> None:
    branch = helper.make_graph(
        [helper.make_node("Secret", ["mixed"], ["inner"], domain="com.stranger")],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    yes = numpy_helper.from_array(np.array(True), "yes")
    model.graph.initializer.append(yes)
    node = helper.make_node("If", ["yes"], ["unused"], then_branch=branch, else_branch=branch)
    model.graph.node.insert(1, node)
    model.opset_import.append(helper.make_opsetid("com.stranger", 1))


def local_function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Tanh", ["a"], ["b"])
    imports = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("com.stranger", "F", ["a"], ["b"], [node], imports))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (custom_operator, "com.stranger::Tanh"),
        (custom_operator_inside_a_branch, "com.stranger::Secret"),
        (local_function, "com.stranger::F"),
    ],
)
def test_custom_operators_are_refused_by_name(tmp_path: Path, change: Change, name: str) -> None:
    model = denoiser()
    change(model)
    text = refuse(model, tmp_path)
    assert text.startswith("UnsupportedOperator")
    assert name in text


def test_sparse_weights_are_refused(tmp_path: Path) -> None:
    model = denoiser()
    model.graph.sparse_initializer.add().values.name = "S"
    assert "sparse" in refuse(model, tmp_path)


def test_an_operator_that_breaks_the_standard_is_refused(tmp_path: Path) -> None:
    model = denoiser()
    model.graph.node[1].op_type = "Tanhh"
    assert refuse(model, tmp_path).startswith("ExportError: model.onnx breaks the ONNX standard")


@pytest.mark.parametrize("size", [0, 1, 10, 300])
def test_a_cut_file_is_refused(tmp_path: Path, size: int) -> None:
    path = save(denoiser(), tmp_path / "model.onnx")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ExportError, match=r"model\.onnx is damaged or no ONNX file"):
        OnnxFile(path, VECTOR_CARD)


def test_random_bytes_and_flipped_bits_never_end_in_a_foreign_error(tmp_path: Path) -> None:
    whole = save(denoiser(), tmp_path / "model.onnx").read_bytes()
    generator = np.random.default_rng(11)
    path = tmp_path / "damaged.onnx"
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 3):
            damaged[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        try:
            OnnxFile(path, VECTOR_CARD).load()
        except DenoiseRTError:
            refused += 1
    assert refused > 10


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be read"):
        OnnxFile(tmp_path / "absent.onnx", VECTOR_CARD)


def rename_time(model: onnx.ModelProto) -> None:
    model.graph.input[1].name = "t"
    model.graph.node[2].input[0] = "t"


def rename_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = model.graph.node[-1].output[0] = "noise"


def widen_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    model.graph.node[-1].output[0] = "single"
    model.graph.node.append(helper.make_node("Cast", ["single"], ["eps"], to=TensorProto.DOUBLE))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rename_time, r"missing ['time'], not in the card ['t']"),
        (rename_output, "missing ['eps'], not in the card ['noise']"),
        (widen_output, "is float64; what is read is float32"),
    ],
)
def test_other_names_and_dtypes_than_the_card_s_are_refused(
    tmp_path: Path, change: Change, words: str
) -> None:
    model = denoiser()
    change(model)
    assert words in refuse_at_ports(model, tmp_path, VECTOR_CARD)


def load_and_compare(path: Path, card: Card) -> None:
    graph = OnnxFile(path, card).load().components[0].graph.graph
    check_ports(denoiser_signature(card), read_ports(graph.inputs), read_ports(graph.outputs))


def refuse_at_ports(model: onnx.ModelProto, folder: Path, card: Card) -> str:
    """As `refuse`, with the comparison of ports that follows loading."""
    path = save(model, folder / "model.onnx")
    with pytest.raises(InvalidInput) as caught:
        load_and_compare(path, card)
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "card", "words"),
    [
        (denoiser(time_dims=["M"]), SCALAR_CARD, 'set "time_shape" to "lanes"'),
        (denoiser(time_dims=[]), VECTOR_CARD, 'set "time_shape" to "scalar"'),
        (denoiser(time_dtype=TensorProto.INT64), VECTOR_CARD, "float32 by the card and int64"),
        (
            denoiser(batch=2, time_dims=["M"]),
            VECTOR_CARD,
            "export the graph with one time per lane",
        ),
        (
            denoiser(),
            card_of((Part("x", (CHANNELS, SIZE + 1)),), VECTOR_CARD.network.ports, conditions=()),
            "correct the card's shape",
        ),
    ],
)
def test_other_shapes_than_the_card_s_are_refused(
    tmp_path: Path, model: onnx.ModelProto, card: Card, words: str
) -> None:
    assert words in refuse_at_ports(model, tmp_path, card)


def test_an_integer_time_is_taken_when_the_card_says_so(tmp_path: Path) -> None:
    card = card_of(
        VECTOR_CARD.layout.parts,
        VECTOR_CARD.network.ports,
        conditions=(),
        time_dtype="int64",
        time_shape=TimeShape.LANES,
    )
    path = save(denoiser(time_dtype=TensorProto.INT64), tmp_path / "model.onnx")
    found = (
        OnnxFile(path, card)
        .load()
        .components[0]
        .evaluate({**drawn(2, 2), "time": np.array([0, 1])})
    )
    assert found["eps"].dtype == np.float32


def test_the_opset_error_is_an_export_error() -> None:
    assert issubclass(UnsupportedOperator, ExportError)
