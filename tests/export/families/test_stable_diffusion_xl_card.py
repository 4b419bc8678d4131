"""What the configurations of an SDXL folder mean, and those that are refused; no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from denoisert.export.families.family import Material
from denoisert.export.families.stable_diffusion_xl import StableDiffusionXL
from denoisert.export.families.table import family_of
from denoisert.export.options import CompileOptions
from denoisert.export.sources.diffusers.component import Component, Folder
from denoisert.export.sources.diffusers.readme import Readme
from denoisert.export.sources.diffusers.tokens import Tokens
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import Source
from denoisert.runtime.bundle.measure import Measure, Quantity
from denoisert.runtime.errors import ExportError
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.schedules import Leading, Trailing
from denoisert.runtime.sampling.solvers import Euler, EulerAncestral

TOKENS = Tokens(b"{}", length=77, size=49408, start=(49406,), end=(49407,), pad=49407)
LEADING = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "timestep_spacing": "leading",
}
PUBLISHED = {
    "scheduler": ("EulerDiscreteScheduler", LEADING),
    "text_encoder": ("CLIPTextModel", {"hidden_size": 768, "num_hidden_layers": 12}),
    "text_encoder_2": (
        "CLIPTextModelWithProjection",
        {"hidden_size": 1280, "num_hidden_layers": 32, "projection_dim": 1280},
    ),
    "tokenizer": ("CLIPTokenizer", {}),
    "tokenizer_2": ("CLIPTokenizer", {}),
    "unet": (
        "UNet2DConditionModel",
        {
            "sample_size": 128,
            "cross_attention_dim": 2048,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
    ),
    "vae": ("AutoencoderKL", {"block_out_channels": [128, 256, 512, 512]}),
}
"""The published configurations, as far as anything reads them."""

REFINER_UNET = {"cross_attention_dim": 1280, "projection_class_embeddings_input_dim": 2560}


def material(readme: Readme | None = None, without: tuple[str, ...] = (), **changes) -> Material:
    """The published base, with other values in some of its components; "settings" in the index."""
    settings = changes.pop("settings", {})
    kinds = changes.pop("kinds", {})
    parts = {
        name: Component(name, "", kinds.get(name, kind), Path(name), config | changes.get(name, {}))
        for name, (kind, config) in PUBLISHED.items()
        if name not in without
    }
    tokens = {name: TOKENS for name in parts if name.startswith("text_encoder")}
    folder = Folder(Path("painter"), "StableDiffusionXLPipeline", parts, settings)
    return Material(folder, readme or Readme(), tokens, CompileOptions())


def refiner(**changes) -> Material:
    settings = {"requires_aesthetics_score": True, "force_zeros_for_empty_prompt": False}
    first = {"without": ("text_encoder", "tokenizer"), "settings": settings}
    return material(**first | {"unet": REFINER_UNET} | changes)


def card_of(given: Material) -> Card:
    family = StableDiffusionXL()
    return family.card(given, family.sampling(given))


@pytest.mark.parametrize("name", ["StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"])
def test_the_family_of_a_pipeline(name: str) -> None:
    assert isinstance(family_of(name), StableDiffusionXL)


def test_the_base() -> None:
    card = card_of(material())
    first, second, pooled, sizes = card.conditions
    assert (first.name, first.shape, first.output) == ("hidden_states", (77, 768), "hidden_11")
    assert (second.name, second.shape) == ("hidden_states_2", (77, 1280))
    assert (second.encoder, second.output) == ("text_encoder_2", "hidden_31")
    assert (pooled.name, pooled.shape, pooled.output) == ("pooled", (1280,), "projection")
    assert [entry.source for entry in card.conditions] == [
        *(Source.HIDDEN_LAYER, Source.HIDDEN_LAYER, Source.POOLED, Source.SIZES)
    ]
    assert sizes.measures == tuple(
        Measure(quantity)
        for quantity in (
            *(Quantity.ORIGINAL_HEIGHT, Quantity.ORIGINAL_WIDTH),
            *(Quantity.CROP_TOP, Quantity.CROP_LEFT),
            *(Quantity.TARGET_HEIGHT, Quantity.TARGET_WIDTH),
        )
    )
    assert card.layout.parts[0].shape == (4, 128, 128)
    advice = card.sampler
    assert (advice.solver, advice.spacing) == (Euler(), Leading(1))
    assert advice.guidance == CFG(5.0)
    assert not any(text.null for text in card.texts), "no prompt stands for nothing"
    assert [entry.null for entry in card.conditions] == [0.0, 0.0, 0.0, None]


def test_nothing_may_be_an_empty_prompt() -> None:
    card = card_of(material(settings={"force_zeros_for_empty_prompt": False}))
    assert [text.null for text in card.texts] == ["", ""]
    assert [entry.null for entry in card.conditions] == [None] * 4


def test_the_refiner() -> None:
    card = card_of(refiner())
    states, pooled, sizes = card.conditions
    assert (states.name, states.encoder, states.shape) == (
        *("hidden_states", "text_encoder_2"),
        (77, 1280),
    )
    assert pooled.encoder == "text_encoder_2"
    assert sizes.measures[2:] == (
        Measure(Quantity.CROP_TOP, uncond=0.0),
        Measure(Quantity.CROP_LEFT, uncond=0.0),
        Measure(Quantity.SCORE, 6.0, 2.5),
    )
    assert [text.name for text in card.texts] == ["text_encoder_2"]


@pytest.mark.parametrize(
    ("kind", "solver"),
    [
        ("EulerAncestralDiscreteScheduler", EulerAncestral()),
        ("EulerDiscreteScheduler", Euler()),
    ],
    ids=["turbo", "lightning"],
)
def test_a_student_is_known_by_its_scheduler(kind: str, solver: object) -> None:
    given = material(scheduler={"timestep_spacing": "trailing"}, kinds={"scheduler": kind})
    sampling = StableDiffusionXL().sampling(given)
    advice = card_of(given).sampler
    assert (advice.solver, advice.spacing, advice.steps) == (solver, Trailing(), 4)
    assert advice.guidance == Unguided()
    assert "few-step students" in sampling.notes[-1]


def test_the_readme_knows_better() -> None:
    trailing = {"timestep_spacing": "trailing"}
    said = Readme(steps=2, guidance_scale=1.5)
    given = material(said, scheduler=trailing)
    advice = card_of(given).sampler
    assert (advice.steps, advice.guidance) == (2, CFG(1.5))
    notes = StableDiffusionXL().sampling(given).notes
    assert not any("few-step" in note for note in notes)
    turbo = card_of(material(Readme(steps=1, guidance_scale=0.0))).sampler
    assert (turbo.steps, turbo.guidance) == (1, Unguided())


@pytest.mark.parametrize("changes", [{}, {"rescale_betas_zero_snr": True}])
def test_other_trailing_schedulers_are_no_students(changes: dict[str, object]) -> None:
    trailing = {"timestep_spacing": "trailing", "prediction_type": "v_prediction"}
    given = material(scheduler=trailing | changes)
    advice = card_of(given).sampler
    assert (advice.steps, advice.guidance) == (25, CFG(5.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unet": {"addition_embed_type": None}}, "addition_embed_type None; .* 'text_time'"),
        ({"unet": {"time_cond_proj_dim": 256}}, "time_cond_proj_dim = 256: an input that no part"),
        ({"unet": {"cross_attention_dim": 768}}, "width 768, the text encoders give 2048"),
        ({"unet": {"cross_attention_dim": [2048, 2048]}}, r"width \[2048, 2048\]"),
        (
            {"settings": {"requires_aesthetics_score": True}},
            "takes an added embedding of 2816 .* 1280 and 5 sizes of 256 each are 2560",
        ),
        ({"text_encoder_2": {"projection_dim": 768}}, "pooled state of 768 and 6 sizes"),
        ({"without": ("tokenizer",)}, "has text_encoder and no tokenizer"),
        ({"without": ("text_encoder",)}, "has tokenizer and no text_encoder"),
        ({"unet": {"in_channels": 8}}, "takes 8 channels and returns 8"),
        ({"text_encoder": {"vocab_size": 1000}}, "has 49408 tokens, text_encoder knows 1000"),
    ],
)
def test_parts_that_do_not_fit(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        card_of(material(**changes))


def test_a_refiner_that_does_not_say_so() -> None:
    with pytest.raises(
        ExportError, match=r"Correct requires_aesthetics_score in model_index\.json"
    ):
        card_of(refiner(settings={}))


def test_the_size_asked_for() -> None:
    given = material()
    asked = replace(given, options=CompileOptions(sizes=((512, 768),)))
    assert card_of(asked).layout.parts[0].shape == (4, 64, 96)
