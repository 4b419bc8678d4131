"""torch -> ONNX: names, dimensions, opset, and what is refused."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from denoisert.export.graph.signature import LANES, denoiser_signature
from denoisert.export.graph.trace import evaluating, trace
from denoisert.runtime.bundle.card import TimeShape
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.errors import ExportError, InvalidInput
from denoisert.runtime.layout import Part
from tests.export.networks import TWO_PARTS_CARD, ConvDenoiser, TwoParts, card_of
from tests.export.running import run_model


def test_inputs_and_outputs_have_the_names_of_the_card(traced: ir.Model) -> None:
    assert {value.name for value in traced.graph.inputs} == {"latent", "time", "label"}
    assert [value.name for value in traced.graph.outputs] == ["velocity"]


def test_every_input_has_the_one_free_dimension_in_front(traced: ir.Model) -> None:
    for value in (*traced.graph.inputs, *traced.graph.outputs):
        first, *others = value.shape
        assert first == LANES
        assert all(isinstance(size, int) for size in others)


def test_opset_is_23_and_attention_is_one_operator(traced: ir.Model) -> None:
    assert traced.graph.opset_imports[""] == 23
    kinds = [node.op_type for node in traced.graph]
    assert kinds.count("Attention") == 1
    assert kinds.count("GroupNormalization") == 1


@pytest.mark.parametrize("lanes", [1, 2, 7])
def test_graph_equals_the_module_at_any_number_of_lanes(
    traced: ir.Model, conv_module: ConvDenoiser, lanes: int
) -> None:
    generator = np.random.default_rng(lanes)
    inputs = {
        "latent": generator.standard_normal((lanes, 2, 6, 6)).astype(np.float32),
        "time": generator.random(lanes, np.float32),
        "label": generator.integers(0, 4, lanes),
    }
    with evaluating(conv_module):
        expected = conv_module(**{key: torch.from_numpy(x) for key, x in inputs.items()}).numpy()
    found = run_model(traced, inputs)["velocity"]
    assert np.abs(found - expected).max() < 2e-6 * np.abs(expected).max()
    moved = run_model(traced, {**inputs, "label": (inputs["label"] + 1) % 4})["velocity"]
    assert np.abs(moved - expected).max() > 0.1 * np.abs(expected).max(), "a dead input"


def test_two_parts_and_two_outputs() -> None:
    torch.manual_seed(1)
    module = TwoParts()
    model = trace(module, denoiser_signature(TWO_PARTS_CARD))
    generator = np.random.default_rng(2)
    inputs = {
        "sound": generator.standard_normal((3, 3)).astype(np.float32),
        "picture": generator.standard_normal((3, 2, 4, 4)).astype(np.float32),
        "time": generator.random(3, np.float32),
    }
    found = run_model(model, inputs)
    with evaluating(module):
        expected = module(**{key: torch.from_numpy(x) for key, x in inputs.items()})
    for name, value in zip(("mixed", "scaled"), expected, strict=True):
        np.testing.assert_allclose(found[name], value.numpy(), rtol=2e-6, atol=2e-6)


def test_tracing_says_nothing_and_changes_no_mode(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    module = TwoParts().train()
    module.mix.eval()
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "`isinstance", FutureWarning)  # raised outside of ours
        trace(module, denoiser_signature(TWO_PARTS_CARD))
    assert (module.training, module.mix.training) == (True, False)
    assert not [record for record in caplog.records if "torchvision" in record.getMessage()]
    assert "torch.onnx" not in "".join(capfd.readouterr())


def test_dropout_is_off_in_the_graph() -> None:
    class Dropping(nn.Module):
        def forward(self, latent: Tensor, time: Tensor) -> Tensor:
            return nn.functional.dropout(latent, 0.5, self.training) * time[:, None]

    card = card_of((Part("latent", (2,)),), conditions=())
    model = trace(Dropping().train(), denoiser_signature(card))
    assert "Dropout" not in {node.op_type for node in model.graph}


class FixedBatch(nn.Module):
    def forward(self, latent: Tensor, time: Tensor) -> Tensor:
        return latent.reshape(2, 2) * time[:, None]


class ValueDependent(nn.Module):
    def forward(self, latent: Tensor, time: Tensor) -> Tensor:
        return latent if latent.sum() > 0 else -latent * time[:, None]


class ThreeOutputs(nn.Module):
    def forward(self, latent: Tensor, time: Tensor) -> tuple[Tensor, ...]:
        return latent, latent * time[:, None], time


@pytest.mark.parametrize("kind", [FixedBatch, ValueDependent, ThreeOutputs])
def test_modules_that_torch_cannot_export_for_any_batch_are_refused(kind: type[nn.Module]) -> None:
    card = card_of((Part("latent", (2,)),), conditions=())
    with pytest.raises(ExportError, match=kind.__name__):
        trace(kind(), denoiser_signature(card))


def test_a_forward_with_other_names_is_refused(conv_module: ConvDenoiser) -> None:
    tokens = ConditionInput("tokens", Source.EXTERNAL_ARRAY, "float32", (4, 8))
    with pytest.raises(InvalidInput, match=r"tokens.*forward takes \['latent', 'time', 'label'\]"):
        trace(conv_module, denoiser_signature(card_of(conditions=(tokens,))))


def test_a_scalar_time_is_refused_for_modules(conv_module: ConvDenoiser) -> None:
    with pytest.raises(InvalidInput, match="one time per lane"):
        trace(conv_module, denoiser_signature(card_of(time_shape=TimeShape.SCALAR)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ExportError, match=r"enter.weight is torch\..*module.float"):
        trace(ConvDenoiser().to(dtype), denoiser_signature(card_of()))
