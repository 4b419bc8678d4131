"""What the configurations of a latent consistency model mean, and those refused; no torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from denoisert.export.families.family import Family, Material
from denoisert.export.families.latent_consistency import LatentConsistency
from denoisert.export.families.stable_diffusion import StableDiffusion
from denoisert.export.families.table import family_of
from denoisert.export.options import CompileOptions
from denoisert.export.sources.diffusers.classes import find_class
from denoisert.export.sources.diffusers.component import Component, Folder
from denoisert.export.sources.diffusers.readme import Readme
from denoisert.export.sources.diffusers.tokens import Tokens
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.errors import ExportError
from denoisert.runtime.sampling.guidance import CFG, EmbeddedGuidance, Unguided
from denoisert.runtime.sampling.schedules import Distilled, ScaledLinear, Trailing
from denoisert.runtime.sampling.solvers import LCM, TCD, Euler

PIPELINE = "LatentConsistencyModelPipeline"
TOKENS = Tokens(b"{}", length=77, size=49408, start=(49406,), end=(49407,), pad=49407)
PUBLISHED = {
    "scheduler": ("LCMScheduler", {"beta_schedule": "scaled_linear", "clip_sample": False}),
    "text_encoder": ("CLIPTextModel", {"hidden_size": 768}),
    "tokenizer": ("CLIPTokenizer", {}),
    "unet": (
        "UNet2DConditionModel",
        {"sample_size": 96, "cross_attention_dim": 768, "time_cond_proj_dim": 256},
    ),
    "vae": ("AutoencoderKL", {"block_out_channels": [128, 256, 512, 512]}),
}
"""SimianLuo/LCM_Dreamshaper_v7, as far as anything reads it."""


def material(readme: Readme | None = None, **changes) -> Material:
    """The published folder, with other values in some of its components."""
    kinds = changes.pop("kinds", {})
    parts = {
        name: Component(name, "", kinds.get(name, kind), Path(name), config | changes.get(name, {}))
        for name, (kind, config) in PUBLISHED.items()
    }
    folder = Folder(Path("dreams"), PIPELINE, parts, {})
    return Material(folder, readme or Readme(), {"text_encoder": TOKENS}, CompileOptions())


def card_of(given: Material, family: Family | None = None) -> Card:
    family = family or LatentConsistency()
    return family.card(given, family.sampling(given))


def test_the_family_of_the_pipeline() -> None:
    assert isinstance(family_of(PIPELINE), LatentConsistency)


def test_the_scale_is_told_to_the_network() -> None:
    card = card_of(material())
    assert (card.network.scalars, card.network.guidance) == (("guidance",), "guidance")
    (states,) = card.conditions
    assert (states.name, states.shape) == ("hidden_states", (77, 768))
    assert card.layout.parts[0].shape == (4, 96, 96)
    assert card.training.distilled
    assert card.training.schedule == ScaledLinear(0.00085, 0.012)
    advice = card.sampler
    assert (advice.solver, advice.spacing) == (LCM(10.0), Distilled(50))
    assert (advice.steps, advice.guidance) == (4, EmbeddedGuidance(8.5))
    assert card.components == ("denoiser", "text_encoder", "decoder", "encoder")


def test_the_readme_knows_better() -> None:
    said = Readme(steps=2, guidance_scale=1.0)
    advice = card_of(material(said)).sampler
    assert (advice.steps, advice.guidance) == (2, EmbeddedGuidance(1.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time_cond_proj_dim": None}, "no time_cond_proj_dim.*'StableDiffusionPipeline'"),
        ({"time_cond_proj_dim": -4}, "time_cond_proj_dim of unet is -4"),
        ({"num_class_embeds": 5}, "num_class_embeds = 5: an input that no part"),
        ({"cross_attention_dim": 1024}, "width 1024, text_encoder gives 768"),
        ({"in_channels": 9}, "takes 9 channels"),
    ],
    ids=str,
)
def test_parts_that_do_not_fit(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        card_of(material(unet=changes))


def test_no_other_scheduler_runs_in_that_pipeline() -> None:
    with pytest.raises(ExportError, match=r"DDIMScheduler.*not in the table"):
        find_class(PIPELINE, "scheduler", ["diffusers", "DDIMScheduler"])


@pytest.mark.parametrize(("kind", "solver"), [("LCMScheduler", LCM(10.0)), ("TCDScheduler", TCD())])
def test_a_student_without_an_input_for_the_scale(kind: str, solver: object) -> None:
    """Stable Diffusion with an LCM-LoRA: its scheduler alone tells."""
    plain = {"unet": {"time_cond_proj_dim": None}, "kinds": {"scheduler": kind}}
    given = material(**plain)
    advice = card_of(given, StableDiffusion()).sampler
    assert (advice.solver, advice.steps, advice.guidance) == (solver, 4, Unguided())
    assert f"{kind} is the scheduler of few-step" in StableDiffusion().sampling(given).notes[-1]
    said = material(Readme(guidance_scale=1.5), **plain)
    assert card_of(said, StableDiffusion()).sampler.guidance == CFG(1.5)
    assert StableDiffusion().sampling(said).notes == StableDiffusion().sampling(given).notes[:-1]


def test_a_student_whose_scheduler_begins_at_the_last_time() -> None:
    """stabilityai/sd-turbo."""
    scheduler = {"timestep_spacing": "trailing", "prediction_type": "epsilon"}
    turbo = {
        "unet": {"time_cond_proj_dim": None},
        "scheduler": scheduler,
        "kinds": {"scheduler": "EulerDiscreteScheduler"},
    }
    given = material(**turbo)
    advice = card_of(given, StableDiffusion()).sampler
    assert (advice.solver, advice.spacing) == (Euler(), Trailing())
    assert (advice.steps, advice.guidance) == (4, Unguided())
    assert "few-step students (Turbo" in StableDiffusion().sampling(given).notes[-1]
    scheduler["prediction_type"] = "v_prediction"
    advice = card_of(material(**turbo), StableDiffusion()).sampler
    assert (advice.steps, advice.guidance) == (25, CFG(7.5))
