"""Text encoder, decoder and image encoder of a compiled model, against diffusers itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.image_processor import VaeImageProcessor

from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.codec.coder import Coder
from denoisert.runtime.codec.decoder import Decoder
from denoisert.runtime.codec.encoder import PictureEncoder
from denoisert.runtime.conditioning import plan_conditions
from denoisert.runtime.engines.choice import choose
from denoisert.runtime.engines.engine import Engine
from denoisert.runtime.engines.loading import load
from denoisert.runtime.request import Condition
from denoisert.runtime.text.cache import PromptCache
from denoisert.runtime.text.encoder import PromptEncoder, Texts, outputs_of
from denoisert.runtime.text.tokenizer import Tokenizer

PROMPTS = ("red apple", "a green car", "", "two cats, smiling", "apple " * 40)


@pytest.fixture(scope="module")
def bundle(text_bundle: Path) -> Bundle:
    return Bundle.open(text_bundle)


@pytest.fixture(scope="module")
def component(bundle: Bundle) -> Callable[[str], Engine]:
    return lambda name: load(bundle, choose(bundle), name, 1)


@pytest.fixture(scope="module")
def vae(tiny_text_folder: Path) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(tiny_text_folder / "vae").eval()


def drawn(count: int, bundle: Bundle) -> np.ndarray:
    shape = (count, *bundle.card.layout.parts[0].shape)
    return np.random.default_rng(count).standard_normal(shape).astype(np.float32)


def test_prompts_become_what_the_denoiser_is_told(
    bundle: Bundle, component: Callable[[str], Engine]
) -> None:
    card = bundle.card
    tokenizers = {t.name: Tokenizer(bundle.verified(t.tokenizer), t) for t in card.texts}
    encoders = {
        t.name: PromptEncoder(component(t.name), t, outputs_of(t, card.conditions))
        for t in card.texts
    }

    def lanes(prompt: str, texts: Texts) -> tuple:
        told = Condition(prompt, negative="blue")
        plan = plan_conditions(card.conditions, card.texts, tokenizers, told, 2)
        return plan.fill(texts.encode(plan.prompts).__getitem__)

    together = Texts(encoders, PromptCache())
    together.encode(tokenizers[t.name].encode(p) for t in card.texts for p in PROMPTS)
    misses = together.cache.misses
    for prompt in PROMPTS:
        batched, alone = lanes(prompt, together), lanes(prompt, Texts(encoders, PromptCache(0)))
        for one, other in zip(batched, alone, strict=True):
            assert set(one) == {entry.name for entry in card.conditions}
            assert all(np.array_equal(one[name], other[name]) for name in one)
    assert together.cache.misses == misses + 1  # the negative one


def test_pixels_are_those_of_diffusers(
    bundle: Bundle, component: Callable[[str], Engine], vae: AutoencoderKL
) -> None:
    latents = drawn(5, bundle)
    decoder = Decoder(component("decoder"), bundle.card)
    found = decoder.decode(latents)
    scaled = torch.from_numpy(latents) / vae.config.scaling_factor
    with torch.no_grad():
        values = vae.decode(scaled).sample
    wanted = VaeImageProcessor().postprocess(values, output_type="pil")
    difference = found.astype(int) - np.stack([np.asarray(image) for image in wanted])
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 1e-3
    assert found.std() > 10
    for latent, pixels in zip(latents, found, strict=True):
        np.testing.assert_array_equal(decoder.decode(latent[None])[0], pixels)


def test_moments_are_those_of_diffusers(
    bundle: Bundle, component: Callable[[str], Engine], vae: AutoencoderKL
) -> None:
    encoder = PictureEncoder(component("encoder"), bundle.card)
    size = Coder.of(bundle.card).picture_shape
    picture = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    found = encoder.encode(picture)
    values = torch.from_numpy(picture.transpose(2, 0, 1)[None]).float() / 127.5 - 1.0
    with torch.no_grad():
        wanted = vae.encode(values).latent_dist
    for ours, theirs in ((found.mean, wanted.mean), (found.std, wanted.std)):
        scaled = theirs[0].numpy() * vae.config.scaling_factor
        assert np.abs(ours - scaled).max() < 1e-4 * np.abs(scaled).max()
