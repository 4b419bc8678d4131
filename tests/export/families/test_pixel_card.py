"""What the configurations of a folder with a UNet on pixels mean, and those refused; no torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from denoisert.export.families.family import Material
from denoisert.export.families.pixel import PixelUNet
from denoisert.export.families.table import family_of
from denoisert.export.options import CompileOptions
from denoisert.export.sources.diffusers.component import Component, Folder
from denoisert.export.sources.diffusers.readme import Readme
from denoisert.runtime.bundle.card import Card, OutputSlice
from denoisert.runtime.bundle.condition import Source
from denoisert.runtime.bundle.picture import Picture
from denoisert.runtime.errors import ExportError, InvalidInput
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.operations import Clip
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import VE, Karras, Label, Leading, Thinned
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DDPM,
    Bounded,
    ConsistencyMultistep,
    Euler,
    Variance,
)

DDPM_PIPELINE, DDIM_PIPELINE, CONSISTENCY_PIPELINE = (
    *("DDPMPipeline", "DDIMPipeline"),
    "ConsistencyModelPipeline",
)
CONSISTENCY = "CMStochasticIterativeScheduler"
UNET = {"sample_size": 256, "block_out_channels": [128, 128, 256, 256, 512, 512]}
"""google/ddpm-cat-256, as far as anything reads it."""


def material(
    pipeline: str = DDPM_PIPELINE,
    kind: str = "DDPMScheduler",
    options: CompileOptions | None = None,
    readme: Readme | None = None,
    **changes,
) -> Material:
    """A folder; "scheduler" and "settings" among the changes, the rest are those of the UNet."""
    settings, scheduler = changes.pop("settings", {}), changes.pop("scheduler", {})
    unet = {key: value for key, value in (UNET | changes).items() if value != "missing"}
    parts = {
        "scheduler": Component("scheduler", "", kind, Path("scheduler"), scheduler),
        "unet": Component("unet", "", "UNet2DModel", Path("unet"), unet),
    }
    folder = Folder(Path("cats"), pipeline, parts, settings)
    return Material(folder, readme or Readme(), {}, options or CompileOptions())


def card_of(given: Material) -> Card:
    family = PixelUNet()
    return family.card(given, family.sampling(given))


@pytest.mark.parametrize("name", [DDPM_PIPELINE, DDIM_PIPELINE, CONSISTENCY_PIPELINE])
def test_the_family_of_a_pipeline(name: str) -> None:
    assert isinstance(family_of(name), PixelUNet)


def test_a_model_of_pixels() -> None:
    card = card_of(material())
    assert card.layout.parts[0].shape == (3, 256, 256)
    assert card.conditions == card.texts == ()
    assert (card.autoencoder, card.picture) == (None, Picture(-1.0, 1.0))
    assert card.components == ("denoiser",)
    assert card.network.ports == ((OutputSlice("prediction", 0, 3),),)
    advice = card.sampler
    assert (advice.solver, advice.spacing) == (Bounded(DDPM(gamma=0.0), Clip()), Leading(0))
    assert (advice.steps, advice.guidance) == (250, Unguided())


def test_the_readme_knows_better_how_many_steps() -> None:
    assert card_of(material(readme=Readme(steps=1000))).sampler.steps == 1000


def test_a_short_chain_is_not_run_in_more_steps_than_it_has() -> None:
    assert card_of(material(scheduler={"num_train_timesteps": 200})).sampler.steps == 50
    assert card_of(material(scheduler={"num_train_timesteps": 20})).sampler.steps == 10


@pytest.mark.parametrize("kind", ["DDPMScheduler", "DDIMScheduler", "PNDMScheduler"])
def test_one_pipeline_takes_every_scheduler_for_ddim(kind: str) -> None:
    card = card_of(material(DDIM_PIPELINE, kind, scheduler={"variance_type": "fixed_large"}))
    assert card.sampler.solver == Bounded(DDIM(), Clip())
    assert card.sampler.steps == 25


def test_the_others_take_it_as_it_is() -> None:
    assert card_of(material(kind="DDIMScheduler")).sampler.solver == Bounded(DDIM(), Clip())
    euler = {"kind": "EulerDiscreteScheduler"}
    assert card_of(material(CONSISTENCY_PIPELINE, **euler)).sampler.solver == Euler()


def test_a_learned_variance() -> None:
    learned = {"variance_type": "learned_range"}
    card = card_of(material(out_channels=6, scheduler=learned))
    assert card.network.ports == (
        (OutputSlice("prediction", 0, 3),),
        (OutputSlice("prediction", 3, 3),),
    )
    assert card.sampler.solver == Bounded(DDPM(Variance.LEARNED_RANGE), Clip())
    assert len(card_of(material(out_channels=6)).network.ports) == 1
    with pytest.raises(ExportError, match="second output"):
        card_of(material(scheduler=learned))


@pytest.mark.parametrize("pipeline", [DDPM_PIPELINE, CONSISTENCY_PIPELINE])
def test_a_class_is_always_told(pipeline: str) -> None:
    names = {"id2label": {"0": "cat", "1": "dog", "2": "owl"}}
    (label,) = card_of(material(pipeline, num_class_embeds=3, settings=names)).conditions
    assert (label.name, label.source, label.classes) == ("label", Source.CLASS_LABEL, 3)
    assert label.null is None
    assert label.labels == ("cat", "dog", "owl")


def test_a_consistency_model() -> None:
    given = material(CONSISTENCY_PIPELINE, CONSISTENCY, num_class_embeds=1000)
    card = card_of(given)
    assert card.training.parametrisation is Parametrisation.X0
    assert card.training.schedule == VE(0.002, 80.0, Label.SIGMA)
    assert card.sampler.solver == Bounded(ConsistencyMultistep(0.002), Clip())
    assert card.sampler.spacing == Thinned(Karras(7.0, 0.002, 80.0), 40)
    assert (card.sampler.steps, card.sampler.guidance) == (1, Unguided())
    assert Card.from_json(card.to_json()) == card


def test_sizes_that_every_level_can_halve() -> None:
    asked = CompileOptions(sizes=((64, 96), (128, 32)))
    card = card_of(material(options=asked))
    shapes = [layout.parts[0].shape for layout in card.layouts]
    assert shapes == [(3, 64, 96), (3, 128, 32)]
    with pytest.raises(InvalidInput, match="multiples of 32 pixels"):
        card_of(material(options=CompileOptions(sizes=((64, 48),))))
    grey = material(in_channels=1, out_channels=1, sample_size=[32, 64])
    assert card_of(grey).layout.parts[0].shape == (1, 32, 64)


def test_a_tile_is_for_decoders() -> None:
    with pytest.raises(InvalidInput, match="no decoder"):
        card_of(material(options=CompileOptions(tile=(64, 64))))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_embed_type": "timestep"}, "class_embed_type = 'timestep', which no part"),
        ({"class_embed_type": "identity", "num_class_embeds": 3}, "class_embed_type = 'identity'"),
        ({"time_embedding_type": "fourier"}, "time_embedding_type = 'fourier'.* only 'positional'"),
        ({"time_embedding_type": "learned"}, "time_embedding_type = 'learned'"),
        ({"sample_size": None}, "no sample_size, .* config.json"),
        ({"sample_size": "missing"}, "no sample_size"),
        ({"sample_size": 48}, "sample_size of unet is 48; with 6 levels .* multiple of 32"),
        ({"sample_size": [64, 64, 3]}, "must be 1 or 2 sizes"),
        ({"block_out_channels": []}, "must list 1 to 8 levels"),
        ({"in_channels": 6}, "takes 6 channels and returns 3; pictures have 1 or 3"),
        ({"in_channels": 1}, "takes 1 channels and returns 3"),
        ({"out_channels": 4}, "takes 3 channels and returns 4"),
        ({"num_class_embeds": "many"}, "num_class_embeds of unet is 'many'"),
        ({"scheduler": {"trained_betas": [0.1]}}, "trained_betas"),
    ],
    ids=str,
)
def test_what_no_part_feeds(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        card_of(material(**changes))


def test_levels_that_a_configuration_leaves_out_are_those_of_the_class() -> None:
    assert card_of(material(block_out_channels="missing", sample_size=24)).layout.elements == 1728
    with pytest.raises(ExportError, match="multiple of 8"):
        card_of(material(block_out_channels="missing", sample_size=20))
