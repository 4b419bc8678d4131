"""What the configurations of a PixArt folder mean, and those that are refused; no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from denoisert.export.families.family import Material
from denoisert.export.families.pixart import ALPHA, CLEANING_NOTE, SIGMA, PixArt
from denoisert.export.families.table import family_of
from denoisert.export.options import CompileOptions
from denoisert.export.sources.diffusers.component import Component, Folder
from denoisert.export.sources.diffusers.readme import Readme
from denoisert.export.sources.diffusers.tokens import Tokens
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import Cleaning, Source
from denoisert.runtime.bundle.measure import Measure, Quantity
from denoisert.runtime.errors import ExportError, InvalidInput
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Distilled, DropLast, Linear, Linspace
from denoisert.runtime.sampling.solvers import LCM, DPMpp2M

TOKENS = Tokens(b"{}", length=512, size=32100, start=(), end=(1,), pad=0)
PUBLISHED = {
    "scheduler": ("DPMSolverMultistepScheduler", {"beta_schedule": "linear"}),
    "text_encoder": ("T5EncoderModel", {"d_model": 4096, "vocab_size": 32128}),
    "tokenizer": ("T5Tokenizer", {}),
    "transformer": (
        "PixArtTransformer2DModel",
        {
            "attention_head_dim": 72,
            "attention_type": "default",
            "caption_channels": 4096,
            "cross_attention_dim": 1152,
            "double_self_attention": False,
            "in_channels": 4,
            "norm_type": "ada_norm_single",
            "num_attention_heads": 16,
            "num_vector_embeds": None,
            "only_cross_attention": False,
            "out_channels": 8,
            "patch_size": 2,
            "sample_size": 128,
        },
    ),
    "vae": ("AutoencoderKL", {"block_out_channels": [128, 256, 512, 512]}),
}
"""The published configurations of alpha, as far as anything reads them."""

SIZES = (Quantity.HEIGHT, Quantity.WIDTH, Quantity.RATIO)
LEARNED = {"kinds": {"scheduler": "DDPMScheduler"}, "scheduler": {"variance_type": "learned_range"}}


def material(pipeline: str = ALPHA, readme: Readme | None = None, **changes) -> Material:
    """The published alpha of 1024 pixels, with other values in some of its components."""
    kinds = changes.pop("kinds", {})
    parts = {
        name: Component(name, "", kinds.get(name, kind), Path(name), config | changes.get(name, {}))
        for name, (kind, config) in PUBLISHED.items()
    }
    folder = Folder(Path("painter"), pipeline, parts, {})
    return Material(folder, readme or Readme(), {"text_encoder": TOKENS}, CompileOptions())


def sigma(**changes) -> Material:
    transformer = {"use_additional_conditions": False} | changes.pop("transformer", {})
    return material(SIGMA, transformer=transformer, **changes)


def card_of(given: Material) -> Card:
    family = PixArt()
    return family.card(given, family.sampling(given))


@pytest.mark.parametrize("name", [ALPHA, SIGMA])
def test_the_family_of_a_pipeline(name: str) -> None:
    assert isinstance(family_of(name), PixArt)


def test_alpha_of_1024_pixels_is_told_sizes() -> None:
    card = card_of(material())
    states, mask, sizes = card.conditions
    assert (states.source, states.shape, states.output) == (
        *(Source.ENCODER_OUTPUT, (120, 4096)),
        "hidden_states",
    )
    assert (mask.source, mask.shape, mask.dtype) == (Source.TOKEN_MASK, (120,), "int64")
    assert states.encoder == mask.encoder == "text_encoder"
    assert sizes.measures == tuple(Measure(quantity) for quantity in SIZES)
    assert [measure.of(1024, 512) for measure in sizes.measures] == [1024, 512, 2]
    assert card.layout.parts[0].shape == (4, 128, 128)


def test_alpha_of_512_pixels_is_not() -> None:
    card = card_of(material(transformer={"sample_size": 64}))
    assert [entry.name for entry in card.conditions] == ["hidden_states", "token_mask"]
    assert card.layout.parts[0].shape == (4, 64, 64)


@pytest.mark.parametrize(("said", "count"), [(None, 3), (True, 3), (False, 2)])
def test_the_transformer_knows_better(said: bool | None, count: int) -> None:
    told = {"use_additional_conditions": said}
    assert len(card_of(material(transformer=told)).conditions) == count


def test_sigma() -> None:
    card = card_of(sigma())
    assert [entry.shape for entry in card.conditions] == [(300, 4096), (300,)]
    (text,) = card.texts
    assert (text.tokens, text.mask, text.cleaning) == (300, "token_mask", Cleaning.LOWER)
    assert (text.start, text.end, text.pad, text.null) == ((), (1,), 0, "")


def test_the_sampler_of_the_pipelines() -> None:
    card = card_of(material())
    advice = card.sampler
    assert advice.solver == DPMpp2M(lower_order_below=15)
    assert (advice.spacing, advice.guidance) == (DropLast(Linspace()), CFG(4.5))
    assert card.training.parametrisation is Parametrisation.EPS
    assert card.training.schedule == Linear(0.0001, 0.02, 1000)
    assert PixArt().sampling(material()).notes == (CLEANING_NOTE,)


def test_the_learned_variance_is_dropped() -> None:
    (port,) = card_of(material()).network.ports
    assert [(entry.first, entry.channels) for entry in port] == [(0, 4)]


def test_no_solver_reads_the_learned_variance() -> None:
    with pytest.raises(ExportError, match=r"learned_range' needs a network .* second output"):
        card_of(material(**LEARNED))


def test_a_consistency_student() -> None:
    given = material(kinds={"scheduler": "LCMScheduler"})
    advice = card_of(given).sampler
    assert (advice.solver, advice.spacing) == (LCM(), Distilled(50))
    assert (advice.steps, advice.guidance) == (4, Unguided())


def test_the_readme_knows_better() -> None:
    advice = card_of(material(readme=Readme(steps=14, guidance_scale=3.0))).sampler
    assert (advice.steps, advice.guidance) == (14, CFG(3.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_encoder": {"d_model": 2048}}, "width 4096 .caption_channels., .* gives 2048"),
        ({"transformer": {"caption_channels": None}}, "captions of width None"),
        ({"transformer": {"cross_attention_dim": 1024}}, "1024 .* 16 heads of 72, 1152 in all"),
        (
            {"transformer": {"double_self_attention": True}},
            "double_self_attention = True; .* False",
        ),
        ({"transformer": {"attention_type": "gated"}}, "attention_type = 'gated'"),
        ({"transformer": {"in_channels": 9}}, "takes 9 channels"),
        ({"transformer": {"sample_size": [128, 96]}}, "sample_size of transformer is .128, 96."),
        ({"text_encoder": {"vocab_size": 1000}}, "has 32100 tokens, the encoder knows 1000"),
        ({"vae": {"latent_channels": 16}}, "the autoencoder has 16"),
    ],
)
def test_parts_that_do_not_fit(changes: dict[str, dict[str, object]], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        card_of(material(**changes))


@pytest.mark.parametrize("said", [None, True])
def test_sigmas_pipeline_tells_no_sizes(said: bool | None) -> None:
    with pytest.raises(ExportError, match="which a PixArtSigmaPipeline does not do"):
        card_of(sigma(transformer={"use_additional_conditions": said}))
    large = {"use_additional_conditions": None, "sample_size": 256}
    assert len(card_of(sigma(transformer=large)).conditions) == 2


def test_the_sizes_asked_for() -> None:
    asked = replace(material(), options=CompileOptions(sizes=((1024, 768), (512, 512))))
    card = card_of(asked)
    assert [layout.parts[0].shape for layout in card.layouts] == [(4, 128, 96), (4, 64, 64)]
    with pytest.raises(InvalidInput, match="1024x776 must be positive multiples of 16 pixels"):
        card_of(replace(asked, options=CompileOptions(sizes=((1024, 776),))))
