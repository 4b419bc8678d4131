"""T5 in a card, its graphs beside CLIP's, and its networks from files of every age."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModelWithProjection, PreTrainedModel

from denoisert.export.families.family import Material
from denoisert.export.families.t5 import LENGTHS, MASK, t5_encoder, t5_width, text_graphs
from denoisert.export.families.text import clip_encoder
from denoisert.export.modules.clip import CLIPText
from denoisert.export.modules.t5 import T5Text
from denoisert.export.sources.diffusers.component import Component, Folder
from denoisert.export.sources.diffusers.networks import build_network
from denoisert.export.sources.diffusers.stored import Files
from denoisert.export.sources.diffusers.tokens import Tokens
from denoisert.runtime.bundle.condition import Cleaning, ConditionInput, Source, TextEncoder
from denoisert.runtime.errors import ExportError
from tests.export.modules.texts import PROJECTED, TOKENS, WIDTH, WORDS, clip, prompts, t5
from tests.export.networks import card_of

PIECES = Tokens(b"{}", length=512, size=50, start=(), end=(1,), pad=0)
FILE = "model.safetensors"


def component(network: PreTrainedModel, name: str = "text_encoder", **config: object) -> Component:
    settings = network.config.to_dict() | config
    return Component(name, "transformers", type(network).__name__, Path(name), settings)


@pytest.mark.parametrize("pipeline", LENGTHS)
def test_lengths_are_those_of_the_pipelines(pipeline: str) -> None:
    parameters = inspect.signature(getattr(diffusers, pipeline).__call__).parameters
    assert parameters["max_sequence_length"].default == LENGTHS[pipeline]


def test_a_text_encoder_of_the_card() -> None:
    part = component(t5(), "text_encoder_3")
    assert t5_width(part) == WIDTH
    found = t5_encoder(part, PIECES, 256)
    assert found == TextEncoder(
        "text_encoder_3", "tokenizers/text_encoder_3.json", 256, (), (1,), 0
    )
    pixart = t5_encoder(part, PIECES, 120, mask=MASK, cleaning=Cleaning.LOWER)
    assert pixart == replace(found, tokens=120, mask="token_mask", cleaning=Cleaning.LOWER)


def test_parts_of_two_models() -> None:
    with pytest.raises(ExportError, match=f"has 61 tokens, the encoder knows {WORDS}"):
        t5_encoder(component(t5()), replace(PIECES, size=61), 256)
    with pytest.raises(ExportError, match="is_decoder of text_encoder is True"):
        t5_encoder(component(t5(), is_decoder=True), PIECES, 256)


def test_clip_that_hides_padding() -> None:
    part = component(clip(), use_attention_mask=True)
    with pytest.raises(ExportError, match="text_encoder has use_attention_mask"):
        clip_encoder(part, PIECES)
    assert clip_encoder(component(clip(), use_attention_mask=False), PIECES).tokens == TOKENS


def test_each_text_encoder_gets_the_module_of_its_class() -> None:
    networks = {"text_encoder": clip(CLIPTextModelWithProjection), "text_encoder_3": t5()}
    parts = {name: component(network, name) for name, network in networks.items()}
    texts = (
        TextEncoder("text_encoder", "a.json", TOKENS),
        TextEncoder("text_encoder_3", "b.json", TOKENS + 3, mask=MASK),
    )
    read = [
        ("pooled", (PROJECTED,), "text_encoder", "projection"),
        ("states", (TOKENS + 3, WIDTH), "text_encoder_3", "hidden_states"),
    ]
    conditions = tuple(
        ConditionInput(name, Source.ENCODER_OUTPUT, "float32", shape, encoder=text, output=output)
        for name, shape, text, output in read
    )
    card = replace(card_of(conditions=()), conditions=conditions, texts=texts)
    material = Material(Folder(Path("model"), "AnyPipeline", parts, {}))
    (first, one), (second, two) = text_graphs(material, card, networks.__getitem__)
    assert isinstance(first, CLIPText)
    assert isinstance(second, T5Text)
    assert (first.outputs, second.outputs) == (("projection",), ("hidden_states",))
    assert [port.name for port in one.inputs] == ["token_ids"]
    assert [port.name for port in two.inputs] == ["token_ids", "token_mask"]
    ids = torch.nn.functional.pad(prompts(1), (0, 3), value=1)
    assert second(ids)[0].shape == (5, TOKENS + 3, WIDTH)


def built(network: PreTrainedModel, folder: Path) -> torch.nn.Module:
    return build_network(component(network), Files((folder / FILE,), "text_encoder"))


EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight")


@pytest.mark.parametrize("kept", [EMBEDDINGS[:1], EMBEDDINGS[1:], EMBEDDINGS])
def test_one_embedding_under_two_names(tmp_path: Path, kept: tuple[str, ...]) -> None:
    """transformers writes one of the names or, in older files, both."""
    network, ids = t5(), prompts(2)
    network.save_pretrained(tmp_path)
    stored = load_file(tmp_path / FILE)
    (embedding,) = (stored.pop(name) for name in EMBEDDINGS if name in stored)
    save_file(stored | {name: embedding.clone() for name in kept}, tmp_path / FILE)
    found = built(network, tmp_path)
    with torch.no_grad():
        assert torch.equal(found(ids)[0], network(ids)[0])
    assert found.shared.weight.data_ptr() == found.encoder.embed_tokens.weight.data_ptr() or (
        kept == EMBEDDINGS
    )


def test_no_embedding_at_all(tmp_path: Path) -> None:
    network = t5()
    network.save_pretrained(tmp_path)
    stored = load_file(tmp_path / FILE)
    save_file({n: x for n, x in stored.items() if n not in EMBEDDINGS}, tmp_path / FILE)
    with pytest.raises(ExportError, match="2 tensors are missing"):
        built(network, tmp_path)


def test_a_projected_text_encoder_of_an_older_file(tmp_path: Path) -> None:
    network, ids = clip(CLIPTextModelWithProjection), prompts(3)
    network.save_pretrained(tmp_path)
    stored = load_file(tmp_path / FILE)
    places = {"text_model.embeddings.position_ids": torch.arange(TOKENS)[None].float()}
    save_file(stored | places, tmp_path / FILE)
    assert all(name.startswith("text_") for name in stored)
    with torch.no_grad():
        found = built(network, tmp_path)(ids).text_embeds
        assert torch.equal(found, network(ids).text_embeds)
