"""Prompts through the graph of a text encoder, several at a time and behind a cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from denoisert.runtime.errors import EngineError
from denoisert.runtime.text.cache import PromptCache
from denoisert.runtime.text.encoder import PromptEncoder, Texts, outputs_of
from denoisert.runtime.text.tokenizer import Prompt
from tests.runtime.coders import MASK, POOLED, TEXT, TOKENS, TOLD, WIDTH, WORDS, Graph, text_graph
from tests.runtime.networks import OPSET
from tests.runtime.spies import Spy

OUTPUTS = outputs_of(TEXT, (TOLD, POOLED, MASK))


def drawn(count: int, seed: int = 0) -> list[Prompt]:
    ids = np.random.default_rng(seed).integers(0, len(WORDS), (count, TOKENS)).tolist()
    return [Prompt(TEXT.name, tuple(row), TOKENS) for row in ids]


def masked_graph() -> Graph:
    """h = token_ids token_mask."""
    nodes = [
        helper.make_node("Mul", ["token_ids", "token_mask"], ["kept"]),
        helper.make_node("Cast", ["kept"], ["h"], to=TensorProto.FLOAT),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["lanes", TOKENS])
        for name in ("token_ids", "token_mask")
    ]
    outputs = [helper.make_tensor_value_info("h", TensorProto.FLOAT, ["lanes", TOKENS])]
    graph = helper.make_graph(nodes, "masked", inputs, outputs)
    opset = [helper.make_opsetid("", OPSET)]
    return Graph(helper.make_model(graph, opset_imports=opset, ir_version=9))


@pytest.fixture
def spy(tmp_path: Path) -> Spy:
    return Spy(text_graph().engine(tmp_path))


@pytest.fixture
def encoder(spy: Spy) -> PromptEncoder:
    return PromptEncoder(spy, TEXT, OUTPUTS)


def test_only_outputs_that_the_denoiser_is_fed_from_are_kept() -> None:
    assert OUTPUTS == ("h", "pool")
    assert outputs_of(TEXT, (TOLD, replace(TOLD, name="again"))) == ("h",)
    assert outputs_of(replace(TEXT, name="other"), (TOLD,)) == ()


def test_values_are_those_of_the_formula(encoder: PromptEncoder) -> None:
    rng = np.random.default_rng(0)
    table, w = rng.standard_normal((len(WORDS), WIDTH)), rng.standard_normal((WIDTH, WIDTH))
    prompts = drawn(3)
    for prompt, found in zip(prompts, encoder.encode(prompts), strict=True):
        x = table[list(prompt.token_ids)]
        scores = np.exp(x @ x.T)
        h = scores / scores.sum(1, keepdims=True) @ x @ w
        np.testing.assert_allclose(found["h"], h, rtol=0, atol=1e-5)
        np.testing.assert_allclose(found["pool"], h[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 35])
def test_a_prompt_alone_and_in_a_batch_is_the_same_bit_for_bit(
    encoder: PromptEncoder, spy: Spy, count: int
) -> None:
    prompts = drawn(count, seed=count)
    together = encoder.encode(prompts)
    assert len(spy.runs) == -(-count // 16)
    for prompt, found in zip(prompts, together, strict=True):
        (alone,) = encoder.encode([prompt])
        for name in OUTPUTS:
            np.testing.assert_array_equal(found[name], alone[name])


def test_the_mask_is_fed_where_the_card_names_one(tmp_path: Path) -> None:
    text = replace(TEXT, mask="token_mask")
    masked = PromptEncoder(masked_graph().engine(tmp_path, "masked"), text, ("h",))
    (drawn_one,) = drawn(1)
    for filled in (1, 3, TOKENS):
        (found,) = masked.encode([replace(drawn_one, filled=filled)])
        wanted = np.where(np.arange(TOKENS) < filled, drawn_one.token_ids, 0)
        np.testing.assert_array_equal(found["h"], wanted.astype(np.float32))


def test_a_graph_with_or_without_a_mask_against_its_card(tmp_path: Path, spy: Spy) -> None:
    with pytest.raises(EngineError, match="token_mask"):
        PromptEncoder(spy, replace(TEXT, mask="token_mask"), OUTPUTS)
    with pytest.raises(EngineError, match="token_mask"):
        PromptEncoder(masked_graph().engine(tmp_path, "masked"), TEXT, ("h",))


def test_a_later_call_leaves_earlier_values_alone(encoder: PromptEncoder) -> None:
    (first,) = encoder.encode(drawn(1, seed=1))
    before = first["h"].copy()
    encoder.encode(drawn(1, seed=2))
    np.testing.assert_array_equal(first["h"], before)


def test_no_prompts_no_call(encoder: PromptEncoder, spy: Spy) -> None:
    assert encoder.encode([]) == []
    assert not spy.runs


def test_a_fixed_batch_is_filled_up(tmp_path: Path, encoder: PromptEncoder) -> None:
    fixed = PromptEncoder(text_graph(lanes=4).engine(tmp_path, "fixed"), TEXT, OUTPUTS)
    prompts = drawn(6)
    for one, other in zip(encoder.encode(prompts), fixed.encode(prompts), strict=True):
        np.testing.assert_array_equal(one["h"], other["h"])


@pytest.mark.parametrize("change", [{"tokens": TOKENS + 1}, {"tokens": TOKENS - 1}])
def test_a_graph_of_another_length_is_refused(spy: Spy, change: dict[str, int]) -> None:
    with pytest.raises(EngineError, match="token_ids"):
        PromptEncoder(spy, replace(TEXT, **change), OUTPUTS)


def test_a_graph_without_the_output_is_refused(spy: Spy) -> None:
    with pytest.raises(EngineError, match="other_layer"):
        PromptEncoder(spy, TEXT, ("h", "other_layer"))


def test_each_prompt_is_encoded_once_and_then_remembered(encoder: PromptEncoder, spy: Spy) -> None:
    texts = Texts({TEXT.name: encoder}, PromptCache())
    a, b, c = drawn(3)
    first = texts.encode([a, b, a])
    assert (len(spy.runs), texts.cache.misses, texts.cache.hits) == (1, 2, 0)
    second = texts.encode([b, c])
    assert (spy.runs, texts.cache.misses, texts.cache.hits) == ([2, 1], 3, 1)
    assert second[b]["h"] is first[b]["h"]
    assert set(second) == {b, c}
    texts.encode([a, b, c])
    assert len(spy.runs) == 2


def test_each_text_encoder_gets_its_own_prompts(tmp_path: Path, encoder: PromptEncoder) -> None:
    other = replace(TEXT, name="text_encoder_2")
    second = PromptEncoder(text_graph(1).engine(tmp_path, "second"), other, ("pool",))
    texts = Texts({TEXT.name: encoder, other.name: second}, PromptCache())
    mine = drawn(1)[0]
    theirs = replace(mine, encoder=other.name)
    found = texts.encode([theirs, mine])
    assert set(found[mine]) == {"h", "pool"}
    assert set(found[theirs]) == {"pool"}
    assert not np.array_equal(found[mine]["pool"], found[theirs]["pool"])


def test_a_failed_call_leaves_nothing_half_done(tmp_path: Path) -> None:
    spy = Spy(text_graph().engine(tmp_path), failing=(1,))
    texts = Texts({TEXT.name: PromptEncoder(spy, TEXT, OUTPUTS)}, PromptCache())
    with pytest.raises(EngineError, match="injected"):
        texts.encode(drawn(2))
    assert len(texts.cache) == 0
    assert len(texts.encode(drawn(2))) == 2


def test_closing_closes_the_engines(encoder: PromptEncoder, spy: Spy) -> None:
    Texts({TEXT.name: encoder}, PromptCache()).close()
    assert spy.is_closed
    with pytest.raises(EngineError, match="closed"):
        encoder.encode(drawn(1))
