"""What the configurations of a FLUX folder mean, and those that are refused; no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from denoisert.export.families.family import Material
from denoisert.export.families.flux import Flux
from denoisert.export.families.table import family_of
from denoisert.export.options import CompileOptions
from denoisert.export.sources.diffusers.component import Component, Folder
from denoisert.export.sources.diffusers.readme import Readme
from denoisert.export.sources.diffusers.tokens import Tokens
from denoisert.runtime import Request
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import Source
from denoisert.runtime.errors import ExportError, InvalidInput
from denoisert.runtime.sampler import Sampler
from denoisert.runtime.sampling.guidance import EmbeddedGuidance, Unguided
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Flow, Growth, ResolutionShifted, Trailing
from denoisert.runtime.sampling.solvers import FlowEuler

CLIP = Tokens(b"{}", length=77, size=49408, start=(49406,), end=(49407,), pad=49407)
T5 = Tokens(b"{}", length=512, size=32100, start=(), end=(1,), pad=0)
SHIFTED = {
    "shift": 3.0,
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
}
PUBLISHED = {
    "scheduler": ("FlowMatchEulerDiscreteScheduler", SHIFTED),
    "text_encoder": ("CLIPTextModel", {"hidden_size": 768, "projection_dim": 768}),
    "text_encoder_2": ("T5EncoderModel", {"d_model": 4096, "vocab_size": 32128}),
    "tokenizer": ("CLIPTokenizer", {}),
    "tokenizer_2": ("T5TokenizerFast", {}),
    "transformer": (
        "FluxTransformer2DModel",
        {
            "attention_head_dim": 128,
            "axes_dims_rope": [16, 56, 56],
            "guidance_embeds": True,
            "in_channels": 64,
            "joint_attention_dim": 4096,
            "out_channels": None,
            "patch_size": 1,
            "pooled_projection_dim": 768,
        },
    ),
    "vae": (
        "AutoencoderKL",
        {
            "block_out_channels": [128, 256, 512, 512],
            "latent_channels": 16,
            "scaling_factor": 0.3611,
            "shift_factor": 0.1159,
            "use_post_quant_conv": False,
            "use_quant_conv": False,
        },
    ),
}
"""The published configurations of dev, as far as anything reads them."""

SCHNELL = {
    "scheduler": {"use_dynamic_shifting": False, "shift": 1.0},
    "transformer": {"guidance_embeds": False},
}


def material(
    readme: Readme | None = None, pipeline: str = "FluxPipeline", **changes: object
) -> Material:
    """The published dev, with other values in some of its components."""
    kinds = changes.pop("kinds", {})
    options = changes.pop("options", CompileOptions())
    parts = {
        name: Component(name, "", kinds.get(name, kind), Path(name), config | changes.get(name, {}))
        for name, (kind, config) in PUBLISHED.items()
    }
    folder = Folder(Path("painter"), pipeline, parts, {})
    tokens = {"text_encoder": CLIP, "text_encoder_2": T5}
    return Material(folder, readme or Readme(), tokens, options)


def card_of(given: Material) -> Card:
    family = Flux()
    return family.card(given, family.sampling(given))


@pytest.mark.parametrize("name", ["FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"])
def test_the_family_of_a_pipeline(name: str) -> None:
    assert isinstance(family_of(name), Flux)


def test_dev() -> None:
    card = card_of(material())
    states, pooled = card.conditions
    assert (states.name, states.shape, states.encoder) == (
        *("hidden_states", (512, 4096)),
        "text_encoder_2",
    )
    assert (pooled.name, pooled.shape, pooled.encoder, pooled.output) == (
        *("pooled", (768,)),
        *("text_encoder", "pooled"),
    )
    assert [entry.source for entry in card.conditions] == [Source.ENCODER_OUTPUT, Source.POOLED]
    assert [(text.name, text.tokens) for text in card.texts] == [
        ("text_encoder", 77),
        ("text_encoder_2", 512),
    ]
    assert card.layout.parts[0].shape == (16, 128, 128)
    assert (card.network.scalars, card.network.guidance) == (("guidance",), "guidance")
    assert card.training.parametrisation is Parametrisation.FLOW
    assert card.training.schedule == Flow(3.0, 1000.0)
    advice = card.sampler
    assert (advice.solver, advice.steps) == (FlowEuler(), 28)
    assert advice.guidance == EmbeddedGuidance(3.5)
    assert advice.spacing == ResolutionShifted(Trailing(), 4096, edge=2)
    assert card.autoencoder is not None
    assert card.autoencoder.factor == 8
    assert not Flux().sampling(material()).notes


def test_schnell() -> None:
    card = card_of(material(**SCHNELL))
    assert (card.network.scalars, card.network.guidance) == ((), "")
    assert [text.tokens for text in card.texts] == [77, 256]
    assert card.conditions[0].shape == (256, 4096)
    advice = card.sampler
    assert (advice.solver, advice.spacing, advice.steps) == (FlowEuler(), Trailing(), 4)
    assert advice.guidance == Unguided()


def test_neither_of_the_two() -> None:
    """A model that is not told its guidance and runs on dev's times is no student of few steps."""
    card = card_of(material(transformer={"guidance_embeds": False}))
    assert (card.sampler.steps, card.sampler.guidance) == (28, Unguided())
    assert card.texts[1].tokens == 512
    told = card_of(material(scheduler={"use_dynamic_shifting": False}))
    assert (told.sampler.steps, told.sampler.guidance) == (28, EmbeddedGuidance(3.5))


@pytest.mark.parametrize(
    ("pipeline", "scale"),
    [("FluxPipeline", 3.5), ("FluxImg2ImgPipeline", 7.0), ("FluxInpaintPipeline", 7.0)],
)
def test_what_each_pipeline_tells_by_itself(pipeline: str, scale: float) -> None:
    card = card_of(material(pipeline=pipeline))
    assert card.sampler.guidance == EmbeddedGuidance(scale)


def test_the_readme_knows_better() -> None:
    said = Readme(steps=50, guidance_scale=2.0)
    advice = card_of(material(said)).sampler
    assert (advice.steps, advice.guidance) == (50, EmbeddedGuidance(2.0))
    schnell = card_of(material(Readme(steps=2, guidance_scale=0.0), **SCHNELL)).sampler
    assert (schnell.steps, schnell.guidance) == (2, Unguided())


def test_every_size_has_its_own_shift() -> None:
    sizes = ((1024, 1024), (512, 768))
    card = card_of(material(options=CompileOptions(sizes=sizes)))
    assert [layout.parts[0].shape[1:] for layout in card.layouts] == [(128, 128), (64, 96)]
    found = [Sampler.of(Request("a cup", size=size), card).spacing for size in sizes]
    assert [spacing.tokens for spacing in found] == [4096, 1536]
    assert [spacing.mu for spacing in found] == pytest.approx([1.15, 0.5 + 0.65 * 1280 / 3840])


def test_the_growth_of_a_shift() -> None:
    changed = {"time_shift_type": "linear", "base_shift": 0.25, "max_shift": 1.6}
    spacing = card_of(material(scheduler=changed)).sampler.spacing
    assert spacing == ResolutionShifted(Trailing(), 4096, 0.25, 1.6, growth=Growth.LINEAR, edge=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transformer": {"in_channels": 384}}, r"384 channels.* are 64: it is FLUX\.1 Fill"),
        ({"transformer": {"in_channels": 128}}, r"128 channels.*FLUX\.1 Control .*Canny, Depth"),
        ({"transformer": {"in_channels": 16}}, r"16 channels, .* 2x2 are 64\. FLUX\.1 dev and"),
        ({"vae": {"latent_channels": 4}}, "64 channels, 4 channels of the autoencoder .* are 16"),
        ({"transformer": {"out_channels": 128}}, "out_channels 128 and patch_size 1"),
        ({"transformer": {"patch_size": 2}}, "out_channels None and patch_size 2"),
        (
            {"text_encoder_2": {"d_model": 2048}},
            "joint_attention_dim 4096, text_encoder_2 gives 2048; the folder mixes",
        ),
        (
            {"text_encoder": {"hidden_size": 1024}},
            "pooled_projection_dim 768, text_encoder gives 1024; the folder mixes",
        ),
        ({"transformer": {"encoder_hid_dim_type": "ip_image_proj"}}, "an IP adapter is loaded"),
        (
            {"transformer": {"axes_dims_rope": [16, 56, 48]}},
            r"\[16, 56, 48\] for heads of 128 numbers",
        ),
        ({"transformer": {"axes_dims_rope": 128}}, "axes_dims_rope 128 for heads of 128"),
        ({"text_encoder_2": {"vocab_size": 32000}}, "has 32100 tokens, the encoder knows 32000"),
        ({"kinds": {"scheduler": "EulerDiscreteScheduler"}}, "reads a network of eps; that of"),
    ],
)
def test_parts_that_do_not_fit(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        card_of(material(**changes))


@pytest.mark.parametrize("name", ["FluxFillPipeline", "FluxControlPipeline", "FluxKontextPipeline"])
def test_pipelines_that_are_fed_pictures_are_refused_by_name(name: str) -> None:
    from denoisert.export.sources.diffusers.classes import check_pipeline

    with pytest.raises(ExportError, match=f"{name}.*FluxPipeline"):
        check_pipeline(name)


@pytest.mark.parametrize("size", [(1000, 1024), (1024, 1032)])
def test_a_size_that_no_token_divides(size: tuple[int, int]) -> None:
    given = replace(material(), options=CompileOptions(sizes=(size,)))
    with pytest.raises(InvalidInput, match="multiples of 16 pixels"):
        card_of(given)
