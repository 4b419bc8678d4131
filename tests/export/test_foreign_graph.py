"""Foreign files that draw random numbers, give too much, or were exported wrongly."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from denoisert.export.compile import compile_bundle
from denoisert.export.graph.ports import read_ports
from denoisert.export.parity import draw_trials, measure
from denoisert.export.sources.onnx_file import OnnxFile
from denoisert.export.targets.session import open_graph
from denoisert.runtime import Request, Runtime
from denoisert.runtime.bundle.card import Card, OutputSlice
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part
from tests.export.foreign import CHANNELS, SIZE, VECTOR_CARD, denoiser, save
from tests.export.networks import card_of
from tests.export.running import run_model

NOISE = ConditionInput("random_1", Source.EXTERNAL_ARRAY, "float32", (CHANNELS, SIZE))
NOISE_CARD = card_of(VECTOR_CARD.layout.parts, VECTOR_CARD.network.ports, conditions=(NOISE,))


def noisy() -> onnx.ModelProto:
    """`denoiser` with a tenth of normal noise on what it mixes; its width is free."""
    model = denoiser(opset=22, size="w")
    nodes = model.graph.node
    nodes[1].input[0] = "disturbed"
    more = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"], scale=0.1),
        helper.make_node("Add", ["mixed", "noise"], ["disturbed"]),
    ]
    rest = list(nodes[1:])
    del nodes[1:]
    nodes.extend([*more, *rest])
    return model


def with_more_outputs() -> onnx.ModelProto:
    """`denoiser` that gives its hidden values away, and with them what a further input adds."""
    model = denoiser()
    model.graph.node.append(helper.make_node("Add", ["mixed", "offset"], ["hidden"]))
    model.graph.input.append(
        helper.make_tensor_value_info("offset", TensorProto.FLOAT, ["N", 1, 1])
    )
    for name in ("hidden", "bounded"):
        shape = ["N", CHANNELS, SIZE]
        model.graph.output.insert(0, helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return model


def test_random_numbers_without_an_entry_in_the_card_are_refused_with_that_entry(
    tmp_path: Path,
) -> None:
    path = save(noisy(), tmp_path / "model.onnx")
    with pytest.raises(InvalidInput) as caught:
        OnnxFile(path, VECTOR_CARD).load()
    text = str(caught.value)
    entry = json.loads(text[text.index("Add {") + 4 : text.index('} to its "conditions"') + 1])
    card = VECTOR_CARD.to_dict() | {"conditions": [entry]}
    assert Card.from_dict(card).conditions == (NOISE,)


def test_lifted_random_numbers_are_fed_from_the_card(tmp_path: Path) -> None:
    path = save(noisy(), tmp_path / "model.onnx", location="weights.bin")
    (loaded,) = OnnxFile(path, NOISE_CARD).load().components
    assert "random numbers of the graph, now inputs" in loaded.notes[0]
    generator = np.random.default_rng(0)
    trials = draw_trials(
        loaded.signature, read_ports(loaded.graph.graph.inputs), loaded.evaluate, generator
    )
    graph = open_graph(ir.to_proto(loaded.graph).SerializeToString(), tmp_path, "lifted")
    figures = measure("denoiser", "graph", trials, graph)
    assert all(figure.relative_error < 2e-6 for figure in figures)
    out = tmp_path / "noisy.bundle"
    compile_bundle(path, out, card=NOISE_CARD)
    drawn = generator.standard_normal((2, CHANNELS, SIZE)).astype(np.float32)
    with Runtime.open(out) as runtime:
        one, again, other = (
            runtime.generate(Request(values, steps=2)).latents["x"]
            for values in (drawn[0], drawn[0], drawn[1])
        )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3


def test_outputs_that_the_card_does_not_read_go(tmp_path: Path) -> None:
    path = save(with_more_outputs(), tmp_path / "model.onnx")
    (loaded,) = OnnxFile(path, VECTOR_CARD).load().components
    assert [value.name for value in loaded.graph.graph.outputs] == ["eps"]
    assert [value.name for value in loaded.graph.graph.inputs] == ["x", "time"]
    assert loaded.notes == (
        "outputs 'bounded', 'hidden' left out, for the card has no use for them",
        "inputs 'offset' left out, for the card has no use for them",
    )
    fed = {"x": np.ones((2, CHANNELS, SIZE), np.float32), "time": np.ones(2, np.float32)}
    expected = run_model(loaded.graph, fed)
    np.testing.assert_allclose(loaded.evaluate(fed)["eps"], expected["eps"], rtol=1e-5)


def test_outputs_alone_leave_the_reference_as_its_author_left_it(tmp_path: Path) -> None:
    model = with_more_outputs()
    del model.graph.output[1], model.graph.node[-1], model.graph.input[-1]
    path = save(model, tmp_path / "model.onnx")
    (loaded,) = OnnxFile(path, VECTOR_CARD).load().components
    assert len(loaded.notes) == 1
    fed = {"x": np.ones((2, CHANNELS, SIZE), np.float32), "time": np.ones(2, np.float32)}
    assert set(loaded.evaluate(fed)) == {"eps"}


class Squeezing(nn.Module):
    """torch leaves the axis of 3 as it is; its exporter writes a Squeeze all the same."""

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return torch.tanh(x.squeeze(1)) * time[:, None, None]


class Masking(nn.Module):
    """Tokens with a negative first channel are padding."""

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        mask = (x[:, :, 0] > -0.5)[:, None, None, :]
        row = x[:, None]
        found = nn.functional.scaled_dot_product_attention(row, row, row, attn_mask=mask)
        return found[:, 0] + time[:, None, None]


@pytest.mark.parametrize(
    ("module", "words"), [(Squeezing(), "1 squeezes of axes"), (Masking(), "1 masks of one row")]
)
def test_faults_of_torch_s_exporter_are_mended(
    tmp_path: Path, module: Callable[..., Tensor], words: str
) -> None:
    parts = (Part("x", (CHANNELS, SIZE)),)
    card = card_of(parts, ((OutputSlice("eps", 0, CHANNELS),),), conditions=())
    example = (torch.randn(2, CHANNELS, SIZE), torch.rand(2))
    lanes = torch.export.Dim("lanes", min=1, max=63)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            dynamic_shapes={"x": {0: lanes}, "time": {0: lanes}},
            input_names=["x", "time"],
            output_names=["eps"],
            opset_version=23,
            verbose=False,
        )
    path = tmp_path / "model.onnx"
    path.write_bytes(program.model_proto.SerializeToString())
    (loaded,) = OnnxFile(path, card).load().components
    assert loaded.notes[0].startswith(words)
    x, time = torch.randn(5, CHANNELS, SIZE), torch.rand(5)
    x[:, 0, 0] = 1.0
    expected = module(x, time).numpy()
    fed = {"x": x.numpy(), "time": time.numpy()}
    for found in (loaded.evaluate(fed), run_model(loaded.graph, fed)):
        np.testing.assert_allclose(found["eps"], expected, rtol=1e-5, atol=1e-6)


def test_a_sound_file_has_no_notes(tmp_path: Path) -> None:
    path = save(denoiser(), tmp_path / "model.onnx")
    assert OnnxFile(path, VECTOR_CARD).load().components[0].notes == ()
