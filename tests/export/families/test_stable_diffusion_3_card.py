"""What the configurations of an SD3 folder mean, and those that are refused; no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from denoisert.export.families.family import Material
from denoisert.export.families.stable_diffusion_3 import StableDiffusion3
from denoisert.export.families.table import family_of
from denoisert.export.options import CompileOptions
from denoisert.export.sources.diffusers.classes import find_class
from denoisert.export.sources.diffusers.component import Component, Folder
from denoisert.export.sources.diffusers.readme import Readme
from denoisert.export.sources.diffusers.tokens import Tokens
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import Source
from denoisert.runtime.errors import ExportError, InvalidInput
from denoisert.runtime.sampling.guidance import CFG, Unguided
from denoisert.runtime.sampling.schedules import Even, Flow, ResolutionShifted
from denoisert.runtime.sampling.solvers import FlowEuler

PIPELINE = "StableDiffusion3Pipeline"
CLIP_TOKENS = Tokens(b"{}", length=77, size=49408, start=(49406,), end=(49407,), pad=49407)
T5_TOKENS = Tokens(b"{}", length=512, size=32100, start=(), end=(1,), pad=0)
FLOW = "FlowMatchEulerDiscreteScheduler"
PUBLISHED = {
    "scheduler": (FLOW, {"num_train_timesteps": 1000, "shift": 3.0}),
    "text_encoder": (
        "CLIPTextModelWithProjection",
        {"hidden_size": 768, "num_hidden_layers": 12, "projection_dim": 768},
    ),
    "text_encoder_2": (
        "CLIPTextModelWithProjection",
        {"hidden_size": 1280, "num_hidden_layers": 32, "projection_dim": 1280},
    ),
    "text_encoder_3": ("T5EncoderModel", {"d_model": 4096, "vocab_size": 32128}),
    "tokenizer": ("CLIPTokenizer", {}),
    "tokenizer_2": ("CLIPTokenizer", {}),
    "tokenizer_3": ("T5TokenizerFast", {}),
    "transformer": (
        "SD3Transformer2DModel",
        {
            "sample_size": 128,
            "patch_size": 2,
            "in_channels": 16,
            "out_channels": 16,
            "num_attention_heads": 24,
            "attention_head_dim": 64,
            "caption_projection_dim": 1536,
            "joint_attention_dim": 4096,
            "pooled_projection_dim": 2048,
            "pos_embed_max_size": 192,
        },
    ),
    "vae": (
        "AutoencoderKL",
        {
            "block_out_channels": [128, 256, 512, 512],
            "latent_channels": 16,
            "scaling_factor": 1.5305,
            "shift_factor": 0.0609,
        },
    ),
}
"""The published configurations of medium, as far as anything reads them."""

T5 = ("text_encoder_3", "tokenizer_3")


def material(readme: Readme | None = None, without: tuple[str, ...] = (), **changes) -> Material:
    """The published model, with other values in some of its components."""
    kinds = changes.pop("kinds", {})
    sizes = changes.pop("sizes", ())
    lengths = changes.pop("lengths", {})
    parts = {
        name: Component(name, "", kinds.get(name, kind), Path(name), config | changes.get(name, {}))
        for name, (kind, config) in PUBLISHED.items()
        if name not in without
    }
    tokens = {
        name.replace("tokenizer", "text_encoder"): T5_TOKENS if name in T5 else CLIP_TOKENS
        for name in parts
        if name.startswith("tokenizer")
    }
    tokens |= {name: replace(tokens[name], length=length) for name, length in lengths.items()}
    folder = Folder(Path("painter"), changes.pop("pipeline", PIPELINE), parts, {})
    return Material(folder, readme or Readme(), tokens, CompileOptions(sizes=sizes))


def card_of(given: Material) -> Card:
    family = StableDiffusion3()
    return family.card(given, family.sampling(given))


@pytest.mark.parametrize("kind", ["", "Img2Img", "Inpaint"])
def test_the_family_of_a_pipeline(kind: str) -> None:
    name = f"StableDiffusion3{kind}Pipeline"
    assert isinstance(family_of(name), StableDiffusion3)
    assert card_of(material(pipeline=name)).texts[2].tokens == 256


def test_three_texts() -> None:
    card = card_of(material())
    first, second, third, pooled, pooled_2 = card.conditions
    assert (first.name, first.shape, first.output) == ("hidden_states", (77, 768), "hidden_11")
    assert (second.name, second.shape) == ("hidden_states_2", (77, 1280))
    assert (second.encoder, second.output) == ("text_encoder_2", "hidden_31")
    assert (third.name, third.shape) == ("hidden_states_3", (256, 4096))
    assert (third.encoder, third.output) == ("text_encoder_3", "hidden_states")
    assert (pooled.name, pooled.shape, pooled.encoder) == ("pooled", (768,), "text_encoder")
    assert (pooled_2.name, pooled_2.shape) == ("pooled_2", (1280,))
    assert pooled_2.encoder == "text_encoder_2"
    assert [entry.source for entry in card.conditions] == [
        *(Source.HIDDEN_LAYER, Source.HIDDEN_LAYER, Source.ENCODER_OUTPUT),
        *(Source.POOLED, Source.POOLED),
    ]
    assert [entry.output for entry in (pooled, pooled_2)] == ["projection"] * 2
    assert [text.null for text in card.texts] == ["", "", ""]
    assert [text.mask for text in card.texts] == ["", "", ""], "padding is attended to"
    assert {entry.null for entry in card.conditions} == {None}


def test_the_state_and_the_sampler() -> None:
    card = card_of(material())
    assert card.layout.parts[0].shape == (16, 128, 128)
    assert card.autoencoder is not None
    assert (card.autoencoder.factor, card.autoencoder.tile) == (8, (64, 64))
    advice = card.sampler
    least = float(Flow(3.0).spaced(0.001))
    assert (advice.solver, advice.spacing) == (FlowEuler(), Even(last=least))
    assert (advice.steps, advice.guidance) == (28, CFG(7.0))
    assert card.training.schedule == Flow(3.0, 1000.0)


@pytest.mark.parametrize("without", [T5, ("text_encoder_3",)], ids=["neither", "encoder"])
def test_without_t5(without: tuple[str, ...]) -> None:
    card = card_of(material(without=without))
    assert [text.name for text in card.texts] == ["text_encoder", "text_encoder_2"]
    assert [entry.name for entry in card.conditions] == [
        *("hidden_states", "hidden_states_2"),
        *("pooled", "pooled_2"),
    ]


def test_a_tiny_autoencoder() -> None:
    """TAESD3: 16 channels, four levels that its configuration leaves out."""
    coder = card_of(material(kinds={"vae": "AutoencoderTiny"})).autoencoder
    assert coder is not None
    assert coder.factor == 8


def test_a_student_says_so_in_its_readme() -> None:
    turbo = card_of(material(Readme(steps=4, guidance_scale=0.0))).sampler
    assert (turbo.steps, turbo.guidance) == (4, Unguided())
    assert turbo.solver == FlowEuler()


def test_another_shift() -> None:
    card = card_of(material(scheduler={"shift": 5.0}))
    assert card.training.schedule == Flow(5.0, 1000.0)
    assert card.sampler.spacing == Even(last=float(Flow(5.0).spaced(0.001)))


@pytest.mark.parametrize(("sizes", "tokens"), [((), 4096), (((512, 768), (1024, 1024)), 1536)])
def test_a_shift_by_resolution(sizes: tuple[tuple[int, int], ...], tokens: int) -> None:
    """Of the default size, and by each latent's tokens where it has another."""
    given = material(scheduler={"use_dynamic_shifting": True}, sizes=sizes)
    wanted = ResolutionShifted(Even(last=0.001), tokens, edge=2)
    assert card_of(given).sampler.spacing == wanted


def test_defaults_of_the_classes() -> None:
    """A transformer that says nothing is what diffusers builds: 18 heads of 64, channels 16."""
    silent = dict.fromkeys(PUBLISHED["transformer"][1])
    card = card_of(material(transformer=silent))
    assert card.layout.parts[0].shape == (16, 128, 128)
    assert card_of(material(transformer={"out_channels": None})) == card_of(material())


def test_the_second_tokenizer_fills_up_to_the_length_of_the_first() -> None:
    card = card_of(material(lengths={"text_encoder": 40}))
    assert [text.tokens for text in card.texts] == [40, 40, 256]


def test_sizes_asked_for() -> None:
    card = card_of(material(sizes=((512, 768), (1536, 1024))))
    assert [layout.parts[0].shape for layout in card.layouts] == [(16, 64, 96), (16, 192, 128)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": ((1024, 1032),)}, "size 1024x1032 must be positive multiples of 16 pixels"),
        ({"sizes": ((1024, 3088),)}, "1024x3088 is none .* positions for 3072 pixels"),
        ({"transformer": {"pos_embed_max_size": 48}}, "1024x1024 is none .* for 768 pixels"),
        ({"transformer": {"patch_size": 3}}, "1024x1024 is none .* tokens of 24 pixels"),
    ],
)
def test_sizes_that_the_positions_do_not_have(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        card_of(material(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_encoder_3": {"d_model": 2048}}, "width 4096, text_encoder_3 gives 2048"),
        ({"text_encoder_2": {"hidden_size": 4096}}, "width 4096, those of the CLIP .* are 4864"),
        ({"text_encoder": {"projection_dim": 512}}, "pooled state of 2048 .* have 512 and 1280"),
        (
            {"transformer": {"caption_projection_dim": 1152}},
            "caption_projection_dim 1152 and heads of 1536 numbers",
        ),
        ({"transformer": {"in_channels": 33}}, "takes 33 channels and returns 16"),
        ({"transformer": {"out_channels": 32}}, "takes 16 channels and returns 32"),
        ({"vae": {"latent_channels": 4}}, "takes 16 channels .* the autoencoder has 4"),
        ({"without": ("tokenizer_3",)}, "has text_encoder_3 and no tokenizer_3"),
        ({"text_encoder_2": {"max_position_embeddings": 40}}, "take 77 and 40 tokens"),
        ({"text_encoder": {"vocab_size": 1000}}, "has 49408 tokens, text_encoder knows 1000"),
        ({"text_encoder_3": {"vocab_size": 100}}, "has 32100 tokens, the encoder knows 100"),
    ],
)
def test_parts_that_do_not_fit(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        card_of(material(**changes))


def test_a_scheduler_of_noise() -> None:
    given = material(kinds={"scheduler": "EulerDiscreteScheduler"})
    with pytest.raises(ExportError, match=r"network of eps; .* a flow's velocity"):
        card_of(given)


def test_another_scheduler_of_flows() -> None:
    flows = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}
    given = material(kinds={"scheduler": "DPMSolverMultistepScheduler"}, scheduler=flows)
    assert card_of(given).training.schedule == Flow(3.0, 1000.0)


def test_an_image_prompt_is_left_out() -> None:
    pairs = {"image_encoder": "SiglipVisionModel", "feature_extractor": "SiglipImageProcessor"}
    for component, class_name in pairs.items():
        found = find_class(PIPELINE, component, ["transformers", class_name])
        assert found is not None
        assert not found.is_compiled
        assert find_class(PIPELINE, component, [None, None]) is None
