"""Attention in its 3-D form: rewritten where the heads come from channels, left alone elsewhere."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from denoisert.export.graph.attention_3d import lower_attention
from denoisert.export.graph.signature import denoiser_signature
from denoisert.export.graph.trace import trace
from denoisert.runtime.layout import Part
from tests.export.networks import card_of
from tests.export.running import Arrays, kinds, run_model

TOKENS, WIDTH, HEADS = 5, 12, 3
CARD = card_of((Part("latent", (TOKENS, WIDTH)),), conditions=())


class Packed(nn.Module):
    """One projection for queries, keys and values, split the way that vision transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)

    def split(self, latent: Tensor) -> tuple[Tensor, ...]:
        return self.qkv(latent).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, latent: Tensor, time: Tensor) -> Tensor:
        query, key, value = self.split(latent * time[:, None, None])
        attended = functional.scaled_dot_product_attention(query, key, value)
        return attended.transpose(1, 2).flatten(2)


class Normed(Packed):
    """Queries are normalised for each head: they come from no (B, L, channels) value."""

    def split(self, latent: Tensor) -> tuple[Tensor, ...]:
        query, key, value = super().split(latent)
        return functional.layer_norm(query, query.shape[-1:]), key, value


class Masked(nn.Module):
    """Separate projections with other numbers of keys than queries, and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.rest = nn.Linear(WIDTH, 2 * WIDTH)
        self.mask = nn.Parameter(torch.randn(1, 1, TOKENS, 3))

    def forward(self, latent: Tensor, time: Tensor) -> Tensor:
        query = self.query(latent * time[:, None, None])
        key, value = self.rest(latent[:, :3]).chunk(2, -1)
        split = (x.unflatten(-1, (HEADS, -1)).transpose(1, 2) for x in (query, key, value))
        attended = functional.scaled_dot_product_attention(*split, attn_mask=self.mask, scale=0.7)
        return attended.transpose(1, 2).flatten(2)


def exported(kind: type[nn.Module]) -> ir.Model:
    torch.manual_seed(4)
    return trace(kind(), denoiser_signature(CARD))


def drawn(lanes: int, seed: int) -> Arrays:
    generator = np.random.default_rng(seed)
    latent = generator.standard_normal((lanes, TOKENS, WIDTH)).astype(np.float32)
    return {"latent": latent, "time": generator.random(lanes, np.float32) + 0.5}


def assert_equal_results(before: ir.Model, after: ir.Model, inputs: Arrays) -> None:
    expected, found = run_model(before, inputs), run_model(after, inputs)
    for name, value in expected.items():
        assert found[name].shape == value.shape
        assert np.abs(found[name] - value).max() <= 2e-6 * np.abs(value).max()


@pytest.fixture(scope="module")
def packed() -> ir.Model:
    return exported(Packed)


@pytest.mark.parametrize("lanes", [1, 4])
def test_packed_projections_are_rewritten(packed: ir.Model, lanes: int) -> None:
    lowered = packed.clone()
    assert lower_attention(lowered) == 1
    attention = next(node for node in lowered.graph if node.op_type == "Attention")
    assert [len(value.shape) for value in attention.outputs] == [3]
    assert attention.attributes["q_num_heads"].as_int() == HEADS
    assert attention.attributes["kv_num_heads"].as_int() == HEADS
    assert "Transpose" not in kinds(lowered)
    assert_equal_results(packed, lowered, drawn(lanes, lanes))


def test_the_three_operands_keep_their_order(packed: ir.Model) -> None:
    """Were queries and keys swapped, softmax rows would become columns."""
    lowered = packed.clone()
    lower_attention(lowered)
    attention = next(node for node in lowered.graph if node.op_type == "Attention")
    starts = []
    for value in attention.inputs[:3]:
        cut = value.producer()
        assert cut.op_type == "Slice"
        starts.append(int(cut.inputs[1].const_value.numpy()[0]))
    assert starts == [0, WIDTH, 2 * WIDTH]


def test_separate_projections_mask_and_scale_are_rewritten() -> None:
    model = exported(Masked)
    lowered = model.clone()
    assert lower_attention(lowered) == 1
    attention = next(node for node in lowered.graph if node.op_type == "Attention")
    assert attention.attributes["scale"].as_float() == pytest.approx(0.7)
    assert attention.inputs[3] is not None
    assert_equal_results(model, lowered, drawn(3, 5))


def test_separate_projections_in_a_convolutional_network(traced: ir.Model) -> None:
    lowered = traced.clone()
    assert lower_attention(lowered) == 1
    assert kinds(lowered).count("Slice") == 0


def test_normalised_heads_are_left_alone() -> None:
    model = exported(Normed)
    lowered = model.clone()
    assert "Attention" in kinds(model)
    assert lower_attention(lowered) == 0
    assert kinds(lowered) == kinds(model)


@pytest.mark.parametrize("permutation", [(0, 2, 3, 1), (0, 1, 2, 3)])
def test_another_permutation_behind_attention_is_left_alone(
    packed: ir.Model, permutation: tuple[int, ...]
) -> None:
    model = packed.clone()
    for node in model.graph:
        if node.op_type == "Transpose" and node.inputs[0].producer().op_type == "Attention":
            node.attributes["perm"] = ir.AttrInt64s("perm", permutation)
    assert lower_attention(model) == 0


def test_an_attention_whose_heads_are_used_elsewhere_is_left_alone(packed: ir.Model) -> None:
    model = packed.clone()
    attention = next(node for node in model.graph if node.op_type == "Attention")
    model.graph.outputs.append(attention.outputs[0])
    assert lower_attention(model) == 0


def test_a_graph_without_attention_and_a_second_run_change_nothing(packed: ir.Model) -> None:
    lowered = packed.clone()
    lower_attention(lowered)
    before = kinds(lowered)
    assert lower_attention(lowered) == 0
    assert kinds(lowered) == before


def test_the_pass_copies_no_weights(packed: ir.Model) -> None:
    lowered = packed.clone()
    lower_attention(lowered)
    for name, value in lowered.graph.initializers.items():
        if value.const_value.nbytes > 64:
            assert value.const_value is packed.graph.initializers[name].const_value
