"""From prompts to the values of each lane: text encoders, their masks, nulls and templates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from denoisert.runtime.bundle.condition import ConditionInput, Source, TextEncoder
from denoisert.runtime.conditioning import plan_conditions
from denoisert.runtime.conditions import Conditions
from denoisert.runtime.errors import EngineError, InvalidInput
from denoisert.runtime.request import Condition
from denoisert.runtime.text.tokenizer import Prompt, Tokenizer
from tests.runtime.coders import MASK, POOLED, TEXT, TOKENS, TOLD, WIDTH, WORDS, tokenizer_json

LABEL = ConditionInput("label", Source.CLASS_LABEL, "int64", (), 10, 10.0)
ZEROS = ConditionInput("unused", Source.ZEROS, "float32", (4,))
SECOND = replace(TEXT, name="text_encoder_2", null=None)
OTHER = replace(POOLED, name="other", encoder=SECOND.name)
RED, GREEN, APPLE, PEAR = (WORDS.index(word) for word in ("red", "green", "apple", "pear"))


def told(
    inputs: tuple[ConditionInput, ...], condition: Condition, count: int = 1, *texts: TextEncoder
) -> Conditions:
    """The plan of a network that reads text, by default with one encoder."""
    texts = texts or (TEXT,)
    tokenizers = {text.name: Tokenizer(tokenizer_json(), text) for text in texts}
    return plan_conditions(inputs, texts, tokenizers, condition, count)


def encoded(prompt: Prompt) -> dict[str, np.ndarray]:
    """Values that tell which prompt they are of, in place of an engine."""
    ids = np.array(prompt.token_ids, np.float32)
    h = np.broadcast_to(ids[:, None], (TOKENS, WIDTH))
    return {"h": h, "pool": np.full(WIDTH, ids.sum() + len(prompt.encoder), np.float32)}


def test_a_prompt_is_tokenised_and_its_lane_waits_for_the_encoder() -> None:
    plan = told((TOLD,), Condition("red apple"))
    assert plan.prompts == (Prompt(TEXT.name, (1, RED, APPLE, 2, 0, 0), 4),)
    (lane,) = plan.fill(encoded)
    assert lane["hidden_states"][:, 3].tolist() == [1, RED, APPLE, 2, 0, 0]
    assert plan.notes == ()


def test_the_uncond_lane_is_the_null_prompt() -> None:
    plan = told((TOLD,), Condition("red"), 2)
    assert [prompt.token_ids[1] for prompt in plan.prompts] == [RED, 2]
    cond, uncond = plan.fill(encoded)
    assert cond["hidden_states"][1, 0] == RED
    assert uncond["hidden_states"][:, 0].tolist() == [1, 2, 0, 0, 0, 0]


def test_a_negative_prompt_takes_its_place() -> None:
    _, uncond = told((TOLD,), Condition("red", negative="green"), 2).fill(encoded)
    assert uncond["hidden_states"][1, 0] == GREEN


def test_a_negative_prompt_that_nothing_is_guided_by_is_noted() -> None:
    plan = told((TOLD,), Condition("red", negative="green"), 1)
    assert len(plan.lanes) == 1
    assert plan.notes == (
        "the negative condition is not used, for no second branch runs: guide with a scale above "
        "1, or beside a scale that the network is told with one of its own (--beside)",
    )
    assert told((TOLD,), Condition("red"), 1).notes == ()


def test_a_null_of_the_input_goes_before_the_null_prompt() -> None:
    """As where a model is fed zeros instead of an empty prompt."""
    plan = told((replace(TOLD, null=0.0), replace(POOLED, null=0.5)), Condition("red"), 2)
    assert len(plan.prompts) == 1
    _, uncond = plan.fill(encoded)
    assert not uncond["hidden_states"].any()
    assert uncond["hidden_states"].shape == (TOKENS, WIDTH)
    assert (uncond["pooled"] == 0.5).all()


def test_a_model_without_null_prompt_needs_a_negative_one() -> None:
    text = replace(TEXT, null=None)
    with pytest.raises(InvalidInput, match="negative="):
        told((TOLD,), Condition("red"), 2, text)
    assert told((TOLD,), Condition("red", negative=""), 2, text).fill(encoded)


def test_one_prompt_feeds_every_input_and_is_encoded_once() -> None:
    seen = []
    plan = told((TOLD, POOLED, MASK), Condition("red", negative="red"), 2)
    cond, uncond = plan.fill(lambda prompt: seen.append(prompt) or encoded(prompt))
    assert len(seen) == 1
    assert set(cond) == {"hidden_states", "pooled", "mask"}
    for name, values in cond.items():
        np.testing.assert_array_equal(values, uncond[name])


@pytest.mark.parametrize(("prompt", "filled"), [("", 2), ("red", 3), ("red " * 9, 6)])
@pytest.mark.parametrize("shape", [(TOKENS,), (1, TOKENS), (1, 1, TOKENS)])
def test_the_mask_is_1_for_tokens_that_are_no_padding(
    prompt: str, filled: int, shape: tuple[int, ...]
) -> None:
    entry = replace(MASK, shape=shape, dtype="int64")
    (lane,) = told((TOLD, entry), Condition(prompt)).fill(encoded)
    assert lane["mask"].shape == shape
    assert lane["mask"].dtype == np.int64
    assert lane["mask"].ravel().tolist() == [1] * filled + [0] * (TOKENS - filled)


def test_a_cut_prompt_is_noted_with_what_it_lost() -> None:
    long = " ".join(["apple"] * 83)
    plan = told((TOLD,), Condition(long, negative="red green red green red"), 2)
    assert plan.notes == (
        "prompt truncated: 79 of 83 tokens dropped",
        "negative prompt truncated: 1 of 5 tokens dropped",
    )
    assert not any("apple" in note for note in plan.notes)


def test_one_prompt_goes_to_all_text_encoders() -> None:
    plan = told((TOLD, OTHER), Condition("red"), 1, TEXT, SECOND)
    assert [prompt.encoder for prompt in plan.prompts] == [TEXT.name, SECOND.name]
    assert plan.prompts[0].token_ids == plan.prompts[1].token_ids
    long = told((TOLD, OTHER), Condition("red " * 5), 1, TEXT, SECOND)
    assert long.notes[1] == "prompt truncated for text_encoder_2: 1 of 5 tokens dropped"


def test_each_text_encoder_may_have_its_own_prompt() -> None:
    said = {TEXT.name: "red", SECOND.name: "green"}
    plan = told((TOLD, OTHER), Condition(said, negative="apple"), 2, TEXT, SECOND)
    assert [prompt.token_ids[1] for prompt in plan.prompts] == [RED, GREEN, APPLE, APPLE]
    with pytest.raises(InvalidInput, match=r"'text_encoder_2'.* are missing"):
        told((TOLD, OTHER), Condition({TEXT.name: "red"}), 1, TEXT, SECOND)


def test_a_prompt_for_all_encoders_but_those_with_their_own() -> None:
    said = {"prompt": "red", SECOND.name: "green"}
    plan = told((TOLD, OTHER), Condition(said, {"prompt": "pear"}), 2, TEXT, SECOND)
    assert [prompt.token_ids[1] for prompt in plan.prompts] == [RED, GREEN, PEAR, PEAR]
    with pytest.raises(InvalidInput, match=r"'prompt'.* are unknown"):
        plan_conditions((LABEL,), (), {}, Condition({"prompt": "red", "label": 1}), 1)


def test_every_encoder_feeds_its_own_inputs() -> None:
    """Hidden layer, pooled and mask of two encoders, each from the prompt that it was given."""
    layer = replace(TOLD, name="layer", source=Source.HIDDEN_LAYER)
    second = [replace(e, name=f"{e.name}_2", encoder=SECOND.name) for e in (layer, POOLED, MASK)]
    said = {TEXT.name: "red", SECOND.name: "green apple"}
    (lane,) = told((layer, POOLED, MASK, *second), Condition(said), 1, TEXT, SECOND).fill(encoded)
    assert lane["layer"][:, 0].tolist() == [1, RED, 2, 0, 0, 0]
    assert lane["layer_2"][:, 0].tolist() == [1, GREEN, APPLE, 2, 0, 0]
    assert lane["mask"].tolist() == [1, 1, 1, 0, 0, 0]
    assert lane["mask_2"].tolist() == [1, 1, 1, 1, 0, 0]
    assert lane["pooled_2"][0] - lane["pooled"][0] == GREEN + APPLE - RED + 2  # the longer name


def test_a_template_is_of_one_encoder() -> None:
    template = replace(SECOND, template="a {} of", null="")
    plan = told((TOLD, OTHER), Condition("red"), 2, TEXT, template)
    ids = [prompt.token_ids[:4] for prompt in plan.prompts]
    of, a = WORDS.index("of"), WORDS.index("a")
    assert ids == [(1, RED, 2, 0), (1, a, RED, of), (1, 2, 0, 0), (1, a, of, 2)]


def test_one_encoder_may_have_zeros_for_its_null_and_another_a_prompt() -> None:
    inputs = (replace(TOLD, null=0.0), replace(OTHER, encoder=SECOND.name))
    plan = told(inputs, Condition("red"), 2, TEXT, replace(SECOND, null="green"))
    _, uncond = plan.fill(encoded)
    assert not uncond["hidden_states"].any()
    assert uncond["other"][0] == 1 + GREEN + 2 + len(SECOND.name)


def test_text_beside_a_label_needs_a_mapping() -> None:
    with pytest.raises(InvalidInput, match="told 2 things, 'text_encoder', 'label'"):
        told((TOLD, LABEL), Condition("red"))
    plan = told((TOLD, LABEL, ZEROS), Condition({"text_encoder": "red", "label": 4}), 2)
    cond, uncond = plan.fill(encoded)
    assert (cond["label"], uncond["label"]) == (4, 10)
    assert set(uncond) == {"hidden_states", "label", "unused"}


@pytest.mark.parametrize("said", [None, 3, ["red"], "\ud800"])
def test_what_is_no_prompt_is_refused(said: object) -> None:
    with pytest.raises(InvalidInput, match="prompt"):
        told((TOLD,), Condition(said))  # type: ignore[arg-type]


def test_a_name_that_is_no_text_is_still_named() -> None:
    with pytest.raises(InvalidInput, match=r"'3'.* are unknown"):
        told((TOLD,), Condition({3: "red", TEXT.name: "red"}))  # type: ignore[dict-item]


def test_outputs_become_the_type_that_the_denoiser_takes() -> None:
    (lane,) = told((replace(TOLD, dtype="float16"),), Condition("red")).fill(encoded)
    assert lane["hidden_states"].dtype == np.float16


@pytest.mark.parametrize(
    "entry",
    [replace(TOLD, shape=(TOKENS, WIDTH + 1)), replace(POOLED, shape=(1, WIDTH))],
)
def test_an_output_of_another_shape_is_an_error_of_the_bundle(entry: ConditionInput) -> None:
    plan = told((entry,), Condition("red"))
    with pytest.raises(EngineError, match="Compile the model again"):
        plan.fill(encoded)


def test_a_mask_of_another_length_is_too() -> None:
    with pytest.raises(EngineError, match="6 tokens"):
        told((TOLD, replace(MASK, shape=(TOKENS + 1,))), Condition("red"))
