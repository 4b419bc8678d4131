"""Text encoders equal transformers' own, layer for layer."""

from __future__ import annotations

import pytest
import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection, PreTrainedModel

from denoisert.export.modules.clip import CLIPText
from denoisert.export.modules.t5 import T5Text, distance_buckets
from denoisert.export.modules.text import Reading, hidden, normed, reading_of
from denoisert.runtime.errors import ExportError, InvalidInput
from tests.export.modules.texts import (
    END,
    LAYERS,
    OLD_END,
    TOKENS,
    clip,
    masks,
    prompts,
    relative,
    t5,
)

BOUND = 1e-5
"""float32 twice, in torch: sums in another order at most."""


@pytest.mark.parametrize("end", [END, OLD_END])
@pytest.mark.parametrize("kind", [CLIPTextModel, CLIPTextModelWithProjection])
@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_clip_equals_its_library(kind: type[PreTrainedModel], end: int, act: str) -> None:
    network, ids = clip(kind, eos_token_id=end, hidden_act=act), prompts(1)
    is_projected = kind is CLIPTextModelWithProjection
    names = ["hidden_states", *map(hidden, range(LAYERS + 1)), "pooled"]
    names += ["projection"] if is_projected else []
    with torch.no_grad():
        wanted = network(ids, output_hidden_states=True)
        found = dict(zip(names, CLIPText(network, names)(ids), strict=True))
    expected = {hidden(n): states for n, states in enumerate(wanted.hidden_states)}
    expected["hidden_states"] = wanted.last_hidden_state
    pooled = "projection" if is_projected else "pooled"
    expected[pooled] = wanted.text_embeds if is_projected else wanted.pooler_output
    for name, states in expected.items():
        assert relative(found[name], states) < BOUND, name


def test_where_a_prompt_ends_counts() -> None:
    """The first end, or the largest id where the configuration is an early one."""
    ids = prompts(2)
    network = clip()
    with torch.no_grad():
        pooled, states = CLIPText(network, ["pooled", "hidden_states"])(ids)
        for lane, place in enumerate([4, 3, 0, 0, TOKENS - 1]):  # without any end, the first
            torch.testing.assert_close(pooled[lane], states[lane, place])
        network.config.eos_token_id = OLD_END
        early, _ = CLIPText(network, ["pooled", "hidden_states"])(ids)
        torch.testing.assert_close(early[2], states[2, int(ids[2].argmax())])
    assert relative(early[2], pooled[2]) > 0.1


@pytest.mark.parametrize("skip", [1, 2])
def test_states_that_pipelines_take_with_clip_skip(skip: int) -> None:
    """Stable Diffusion norms an earlier state; SDXL and SD3 take one layer earlier, as it is."""
    network, ids = clip(), prompts(3)
    names = [normed(LAYERS - skip), hidden(LAYERS - 1 - skip)]
    with torch.no_grad():
        states = network(ids, output_hidden_states=True).hidden_states
        first, second = CLIPText(network, names)(ids)
        assert relative(first, network.final_layer_norm(states[-(skip + 1)])) < BOUND
        assert relative(second, states[-(skip + 2)]) < BOUND


def test_a_state_does_not_see_what_comes_after_it() -> None:
    network, ids = clip(), prompts(4)
    other = ids.clone()
    other[:, 7:] = ids[:, 7:].flip(0)
    with torch.no_grad():
        (one,), (two,) = CLIPText(network)(ids), CLIPText(network)(other)
    torch.testing.assert_close(one[:, :7], two[:, :7])
    assert relative(two[:, 7:], one[:, 7:]) > 0.1


@pytest.mark.parametrize("activation", ["gated-gelu", "relu", "gated-silu"])
@pytest.mark.parametrize("is_masked", [False, True])
def test_t5_equals_its_library(activation: str, is_masked: bool) -> None:
    network, ids = t5(feed_forward_proj=activation), prompts(5)
    mask = masks(5) if is_masked else None
    names = ["hidden_states", *map(hidden, range(LAYERS))]
    with torch.no_grad():
        wanted = network(ids, attention_mask=mask, output_hidden_states=True)
        found = dict(zip(names, T5Text(network, TOKENS, names)(ids, mask), strict=True))
    assert relative(found["hidden_states"], wanted.last_hidden_state) < BOUND
    for layer, states in enumerate(wanted.hidden_states[:LAYERS]):
        assert relative(found[hidden(layer)], states) < BOUND
    if is_masked:
        with torch.no_grad():
            (without,) = T5Text(network, TOKENS)(ids)
        assert relative(without, found["hidden_states"]) > 0.1


@pytest.mark.parametrize(
    ("tokens", "buckets", "longest"), [(20, 12, 15), (300, 32, 128), (512, 32, 128), (64, 8, 16)]
)
def test_buckets_are_those_of_the_library(tokens: int, buckets: int, longest: int) -> None:
    config = {"relative_attention_num_buckets": buckets, "relative_attention_max_distance": longest}
    attention = t5(**config).encoder.block[0].layer[0].SelfAttention
    with torch.no_grad():
        attention.relative_attention_bias.weight[:] = torch.arange(buckets)[:, None].float()
        wanted = attention.compute_bias(tokens, tokens)[0, 0]
    assert torch.equal(distance_buckets(tokens, buckets, longest), wanted.long())
    assert len(wanted.unique()) == buckets - 1  # distance 0 has no second bucket


def test_only_layers_that_are_read_are_in_the_path() -> None:
    network, ids = clip(), prompts(6)
    calls: list[int] = []
    for n, layer in enumerate(network.encoder.layers):
        layer.mlp.register_forward_hook(lambda *_, n=n: calls.append(n))
    with torch.no_grad():
        CLIPText(network, [hidden(LAYERS - 1)])(ids)
    assert calls == list(range(LAYERS - 1))


def test_names_of_outputs() -> None:
    assert reading_of("hidden_0", 3) == Reading(0, is_normed=False)
    assert reading_of(normed(3), 3) == reading_of("pooled", 3) == Reading(3, is_normed=True)
    for name in ("hidden_4", "hidden_-1", "hidden_01", "states", "", "normed_", "hidden"):
        with pytest.raises(InvalidInput, match="hidden_0 to hidden_3"):
            reading_of(name, 3)
    with pytest.raises(InvalidInput, match="name at least one"):
        CLIPText(clip(), [])
    with pytest.raises(InvalidInput, match="has no projection"):
        CLIPText(clip(), ["projection"])
    with pytest.raises(InvalidInput, match="T5 has states only"):
        T5Text(t5(), TOKENS, ["pooled"])
    with pytest.raises(ExportError, match="eos_token_id"):
        CLIPText(clip(eos_token_id=[1, 2]))
