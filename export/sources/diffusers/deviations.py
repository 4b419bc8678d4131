"""Where diffusers' schedulers do something else than the recommended sampler; never silent.

- Sigma schedulers start from sigma times the noise where the first time is the last train time;
  here a run starts from the noise itself. For the betas of latent models that sigma is 0.998.
- DDIM and PNDM step back by T // N whatever they visit.
- A run that ends at the least trained level, but visits it before, has a last step of no length.
- Where DPM solvers cast times to integers, float32 decides whether the first is 999 or 998.
- With zero terminal SNR most classes leave alpha^2 = 2^-24 at the noise end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from denoisert.export.sources.diffusers import families
from denoisert.export.sources.diffusers.defaults import Settings
from denoisert.export.sources.diffusers.pipeline import Pipeline
from denoisert.export.sources.diffusers.spacings import end_of, keeps_noise
from denoisert.runtime.sampling.schedules import Final as End
from denoisert.runtime.sampling.schedules import Rounded, Rounding, Spacing

EXACT_ZERO_SNR: Final = (families.DDIM, families.DDPM, *families.DISTILLED)
"""Classes that leave no signal at all at the noise end."""

FIXED_STEPS: Final = (families.DDIM, families.PNDM)


def deviations(
    class_name: str, settings: Settings, pipeline: Pipeline, spacing: Spacing
) -> Iterator[str]:
    """Where diffusers would do something else."""
    name = families.canonical(class_name)
    if name in families.FLOWS:
        if settings.get("use_dynamic_shifting") and pipeline.edge is None:
            yield (
                f"diffusers' shift depends on the size of the picture; {pipeline.tokens} tokens "
                "are taken, other sizes need their own ResolutionShifted()."
            )
        return
    if isinstance(spacing, Rounded) and spacing.rounding is Rounding.DOWN:
        yield (
            "diffusers casts the times of these levels to integers after rounding in float32: one "
            "that is whole, as the first, is told as it is here and may be 1 lower there."
        )
    yield from _end_notes(name, settings)
    yield from _start_notes(name, settings)
    if name in FIXED_STEPS:
        yield from _step_notes(name, settings)
    if name == families.PNDM and settings["prediction_type"] == "v_prediction":
        yield "diffusers' PNDM takes its means of the network's v; here they are of the noise."
    if settings.get("lambda_min_clipped") is not None:
        yield "lambda_min_clipped is not used: the run starts at the last train time."


def _end_notes(name: str, settings: Settings) -> Iterator[str]:
    """Differences of the last step."""
    if keeps_noise(name, settings) and end_of(name, settings) is End.ZERO:
        yield (
            "diffusers' last step would change nothing, as the last visited time is the least "
            "trained one; here that step removes the noise."
        )
    if name == families.DDPM and not _visits_zero(settings):
        yield (
            "diffusers' DDPM adds noise in its last step where that does not start at time 0; here "
            "a run ends without noise."
        )


def _visits_zero(settings: Settings) -> bool:
    spacing = settings["timestep_spacing"]
    return bool(spacing == "linspace" or (spacing == "leading" and settings["steps_offset"] == 0))


def _start_notes(name: str, settings: Settings) -> Iterator[str]:
    """Differences at the first point."""
    if name in families.SIGMA_STATES and settings["timestep_spacing"] != "leading":
        yield (
            "diffusers starts from sigma times the noise, sigma being that of the first time; here "
            "a run starts from the noise itself."
        )
    if settings.get("rescale_betas_zero_snr") and name not in EXACT_ZERO_SNR:
        yield "diffusers leaves alpha^2 = 2^-24 at the noise end; here it is pure noise."
    if name == families.UNIPC and settings["use_flow_sigmas"]:
        yield (
            "diffusers' UniPC starts at sigma = 1 - 1e-6 and tells the network "
            f"{settings['num_train_timesteps'] - 1} there; here a flow starts at pure noise."
        )


def _step_notes(name: str, settings: Settings) -> Iterator[str]:
    """Differences of steps that go back by the same whole time."""
    spacing, count = settings["timestep_spacing"], settings["num_train_timesteps"]
    short = name.removesuffix("Scheduler")
    if spacing != "leading":
        where = "" if spacing == "linspace" else f" where the steps do not divide {count}"
        yield (
            f"diffusers' {short} steps back by the same whole time whatever it visits; under "
            f"{spacing} that misses the next visited time{where}, which is where a step ends here."
        )
    if name == families.PNDM and not settings["skip_prk_steps"]:
        yield (
            f"diffusers' PNDM halves {count} // steps downwards; where that is odd it misses the "
            "middle of its first steps by half a time."
        )
