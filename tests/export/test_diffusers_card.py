"""The card of a diffusers folder: all of it from configurations, and what contradicts itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from denoisert.export.families.dit import DiT
from denoisert.export.families.family import Material
from denoisert.export.families.stable_diffusion import StableDiffusion
from denoisert.export.families.table import family_of
from denoisert.export.options import CompileOptions
from denoisert.export.sources.diffusers.component import Component, Folder
from denoisert.export.sources.diffusers.readme import Readme
from denoisert.export.sources.diffusers.scheduler import Sampling
from denoisert.export.sources.diffusers.tokens import Tokens
from denoisert.runtime.bundle.card import Card, OutputSlice, Recommended, Training
from denoisert.runtime.bundle.condition import ConditionInput, Source, TextEncoder
from denoisert.runtime.errors import DenoiseRTError, ExportError, InvalidInput
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Leading, ScaledLinear
from denoisert.runtime.sampling.solvers import DDIM

ROOT = Path("models") / "tiny"
CONFIGS: dict[str, dict[str, Any]] = {
    "unet": {"in_channels": 4, "out_channels": 4, "sample_size": 8, "cross_attention_dim": 32},
    "vae": {"block_out_channels": [8, 8, 8], "latent_channels": 4, "out_channels": 3},
    "text_encoder": {"hidden_size": 32, "max_position_embeddings": 16, "vocab_size": 600},
    "scheduler": {},
    "tokenizer": {},
}
DIT: dict[str, dict[str, Any]] = {
    "transformer": {
        "in_channels": 4,
        "out_channels": 8,
        "sample_size": 8,
        "num_embeds_ada_norm": 3,
    },
    "vae": CONFIGS["vae"],
    "scheduler": {},
}
TOKENS = Tokens(b"{}", length=77, size=542, start=(540,), end=(541,), pad=541)
SAMPLING = Sampling(
    Training(Parametrisation.EPS, ScaledLinear()),
    Recommended(DDIM(), Leading(), 25, CFG(7.5)),
    (),
)


def folder_of(
    configs: dict[str, dict[str, Any]] = CONFIGS, root: Path = ROOT, **settings: object
) -> Folder:
    parts = {
        name: Component(name, "diffusers", name, root / name, config)
        for name, config in configs.items()
    }
    kind = "DiTPipeline" if "transformer" in parts else "StableDiffusionPipeline"
    return Folder(root, kind, parts, settings)


def changed(component: str, **config: object) -> Folder:
    """The folder with other settings in one component; None removes one."""
    merged = {key: value for key, value in (CONFIGS[component] | config).items() if value != ...}
    return folder_of(CONFIGS | {component: merged})


def card_of(folder: Folder, tokens: Tokens = TOKENS, **material: object) -> Card:
    given = Material(folder, tokens={"text_encoder": tokens}, **material)
    return family_of(folder.class_name).card(given, SAMPLING)


def sizes_of(size: tuple[int, int] | None) -> tuple[tuple[int, int], ...]:
    return () if size is None else (size,)


def scheduled(folder: Folder, class_name: str, **config: object) -> Folder:
    """The folder with another scheduler."""
    scheduler = replace(folder.components["scheduler"], class_name=class_name, config=config)
    return replace(folder, components={**folder.components, "scheduler": scheduler})


def sampling_of(folder: Folder, readme: Readme | None = None) -> Sampling:
    return family_of(folder.class_name).sampling(Material(folder, readme or Readme()))


def test_a_text_to_image_card_is_complete() -> None:
    card = card_of(folder_of())
    assert (card.name, card.licence) == ("tiny", "unknown")
    assert card.layout.parts[0].shape == (4, 8, 8)
    assert card.texts == (
        TextEncoder(
            "text_encoder", "tokenizers/text_encoder.json", 16, (540,), (541,), 541, "{}", ""
        ),
    )
    (states,) = card.conditions
    assert (states.source, states.shape) == (Source.ENCODER_OUTPUT, (16, 32))
    assert (states.encoder, states.output) == ("text_encoder", "hidden_states")
    coder = card.autoencoder
    assert coder is not None
    assert (coder.factor, coder.channels, coder.tile) == (4, 3, (8, 8))
    assert coder.has_encoder
    assert card.sampler == SAMPLING.recommended
    assert card.components == ("denoiser", "text_encoder", "decoder", "encoder")
    assert Card.from_json(card.to_json()) == card


@pytest.mark.parametrize(
    ("root", "name"),
    [
        ("models/tiny", "tiny"),
        ("zoo/emoji/model", "emoji"),
        ("hub/models--someone--great-model/snapshots/0123abc", "great-model"),
    ],
)
def test_the_name_is_the_folder_s_or_that_of_what_it_is_a_revision_of(root: str, name: str) -> None:
    assert card_of(folder_of(root=Path(root))).name == name


def test_the_readme_gives_licence_steps_and_guidance() -> None:
    readme = Readme("mit", 12, 3.0)
    card = card_of(folder_of(), readme=readme)
    assert (card.licence, card.sampler.steps) == ("mit", 12)
    text, classes = (scheduled(folder_of(kind), "DDIMScheduler") for kind in (CONFIGS, DIT))
    assert sampling_of(text, readme).recommended.guidance == CFG(3.0)
    assert sampling_of(text).recommended.guidance == CFG(7.5)
    assert sampling_of(classes).recommended.guidance == CFG(4.0)


def test_a_class_conditioned_card_reads_half_of_the_channels() -> None:
    names = {"0": "cat", "1": "dog", "2": "owl"}
    card = card_of(folder_of(DIT, id2label=names))
    (label,) = card.conditions
    assert label == ConditionInput(
        "label", Source.CLASS_LABEL, "int64", (), 3, 3.0, ("cat", "dog", "owl")
    )
    assert card.network.ports[0][0].channels == 4
    assert card.texts == ()


@pytest.mark.parametrize(
    ("config", "firsts"),
    [
        ({"variance_type": "learned_range"}, [0, 4]),
        ({"variance_type": "learned_range", "clip_sample": False}, [0, 4]),
        ({"variance_type": "fixed_large"}, [0]),
    ],
)
def test_the_second_half_is_a_port_where_the_sampler_reads_it(
    config: dict[str, Any], firsts: list[int]
) -> None:
    folder = scheduled(folder_of(DIT), "DDPMScheduler", **config)
    card = DiT().card(Material(folder), sampling_of(folder))
    assert card.network.ports == tuple((OutputSlice("prediction", at, 4),) for at in firsts)


def test_a_denoiser_of_one_output_has_one_port() -> None:
    folder = scheduled(folder_of(), "DDPMScheduler", variance_type="learned_range")
    with pytest.raises(ExportError, match="second output"):
        StableDiffusion().sampling(Material(folder))


def test_absurdly_many_classes_are_not_named() -> None:
    many = DIT | {"transformer": DIT["transformer"] | {"num_embeds_ada_norm": 2**40}}
    assert card_of(folder_of(many, id2label={"0": "cat"})).conditions[0].labels == ()


@pytest.mark.parametrize("names", [{"0": "cat"}, {"0": "a", "1": "b", "2": 7}, {}, None])
def test_incomplete_names_of_classes_are_left_out(names: object) -> None:
    assert card_of(folder_of(DIT, id2label=names)).conditions[0].labels == ()


@pytest.mark.parametrize(
    ("size", "tile", "latent", "chosen"),
    [
        (None, None, (8, 8), (8, 8)),
        ((64, 32), None, (16, 8), (16, 8)),
        ((512, 1024), None, (128, 256), (64, 64)),
        ((64, 64), (4, 8), (16, 16), (4, 8)),
        (None, (3, 3), (8, 8), (3, 3)),
    ],
)
def test_sizes_and_tiles(size, tile, latent: tuple[int, int], chosen: tuple[int, int]) -> None:
    card = card_of(folder_of(), options=CompileOptions(sizes=sizes_of(size), tile=tile))
    assert card.layout.parts[0].shape[1:] == latent
    assert card.autoencoder is not None
    assert (card.autoencoder.tile, card.autoencoder.factor) == (chosen, 4)


def test_several_sizes_are_layouts_of_one_card() -> None:
    options = CompileOptions(sizes=((32, 32), (64, 16)))
    card = card_of(folder_of(), options=options)
    assert [layout.parts[0].shape for layout in card.layouts] == [(4, 8, 8), (4, 16, 4)]
    assert card.autoencoder is not None
    assert card.autoencoder.tile == (16, 8), "as large as any of them"


@pytest.mark.parametrize(
    ("size", "tile", "words"),
    [
        ((30, 32), None, "30x32 must be positive multiples of 4"),
        ((32, 34), None, "multiples of 4"),
        ((0, 32), None, "of at least 1"),
        (None, (9, 8), r"a tile of \(9, 8\) does not lie in a latent of \(8, 8\)"),
        ((16, 16), (4, 5), "does not lie"),
        (None, (0, 1), "of at least 1"),
    ],
)
def test_sizes_that_cannot_be_are_refused(size, tile, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        card_of(folder_of(), options=CompileOptions(sizes=sizes_of(size), tile=tile))


@pytest.mark.parametrize(
    ("sample", "latent"), [([6, 10], (6, 10)), (12, (12, 12)), (..., (64, 64)), (None, (64, 64))]
)
def test_the_trained_size_is_one_number_or_two(sample: object, latent: tuple[int, int]) -> None:
    assert card_of(changed("unet", sample_size=sample)).layout.parts[0].shape[1:] == latent


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        (changed("unet", in_channels=8), "takes 8 channels and returns 4, the autoencoder has 4"),
        (changed("unet", out_channels=5), "returns 5"),
        (changed("vae", latent_channels=16), "the autoencoder has 16"),
        (changed("unet", cross_attention_dim=768), "states of width 768, text_encoder gives 32"),
        (changed("unet", cross_attention_dim=[32, 32]), "states of width"),
        (changed("unet", addition_embed_type="text_time"), "addition_embed_type = 'text_time'"),
        (changed("unet", class_embed_type="timestep"), "class_embed_type"),
        (changed("unet", time_cond_proj_dim=256), "time_cond_proj_dim"),
        (changed("unet", in_channels="4"), "in_channels of unet is '4'"),
        (changed("unet", in_channels=True), "in_channels of unet is True"),
        (changed("text_encoder", vocab_size=541), "542 tokens, text_encoder knows 541"),
        (changed("text_encoder", max_position_embeddings=0), "max_position_embeddings"),
        (changed("unet", sample_size=[8]), "sample_size"),
        (changed("unet", sample_size=-8), "sample_size"),
        (changed("unet", sample_size=[8, 8.5]), "sample_size"),
        (changed("vae", block_out_channels=[]), "block_out_channels"),
        (changed("vae", block_out_channels=8), "block_out_channels"),
    ],
)
def test_configurations_that_contradict_are_refused(folder: Folder, words: str) -> None:
    with pytest.raises(ExportError, match=words):
        card_of(folder)


def test_a_prompt_is_as_long_as_both_sides_can() -> None:
    assert card_of(folder_of(), replace(TOKENS, length=12)).texts[0].tokens == 12
    assert card_of(folder_of(), replace(TOKENS, length=200)).texts[0].tokens == 16


def test_a_tokenizer_without_room_is_refused() -> None:
    with pytest.raises(DenoiseRTError, match="leaves none"):
        card_of(folder_of(), replace(TOKENS, length=2))
