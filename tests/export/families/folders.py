"""Model folders of every family, written by diffusers' own `save_pretrained`.

The interface of this package, whose modules are one family each (`sd`, `sdxl`, `sd3`, `flux`,
`pixart`, `dit`, `pixels`):

- `FAMILIES[name]` is a `Family`: `request(told, size, guidance, **fields)` makes a request of its
  two conditions, two sizes and two guidances, `pictures(folder, request)` is what diffusers makes
  of it on our noise.
- `write(name, folder)` saves its folder; in tests `family_folder(once, name)` makes one per run,
  `make(name)` is the pipeline itself.
- `oracles` has what `pictures` is, and `image_to_image`, `inpaint` and `refined` for more families.
- `layouts` rewrites a folder as older versions have saved it.
- `conditions` measures by how much each input changes a network's answer.
"""

import warnings
from pathlib import Path

import torch

from denoisert.runtime import Unguided
from tests.export.families import dit, flux, pixart, pixels, sd, sd3, sdxl
from tests.export.families.family import (
    class_family,
    mask_family,
    picture_family,
    pixel_family,
    text_family,
)

SEED = 7
LARGEST = 1_000_000
"""Parameters of a folder."""

FAMILIES = {
    "sd1": text_family(sd.first),
    "sd2": text_family(sd.second),
    "sd1_tiny_vae": text_family(sd.tiny_vae),
    "sd1_inpaint": mask_family(sd.inpaint),
    "lcm": text_family(sd.consistency, guidances=(Unguided(),)),
    "sdxl": text_family(sdxl.base),
    "sdxl_turbo": text_family(sdxl.turbo),
    "sdxl_lightning": text_family(sdxl.lightning),
    "sdxl_refiner": picture_family(sdxl.refiner),
    "sdxl_inpaint": mask_family(sdxl.inpaint),
    "sd3": text_family(sd3.medium),
    "sd35": text_family(sd3.later),
    "sd3_without_t5": text_family(sd3.without_t5),
    "flux_dev": text_family(flux.dev),
    "flux_schnell": text_family(flux.schnell),
    "pixart_alpha": text_family(pixart.alpha),
    "pixart_sigma": text_family(pixart.sigma),
    "dit": class_family(dit.transformer),
    "flow_dit": class_family(dit.flow, pictures=dit.flow_to_image),
    "ddpm": pixel_family(pixels.ddpm),
    "ddim": pixel_family(pixels.ddim),
    "adm": pixel_family(pixels.learned),
    "adm_classes": class_family(pixels.learned_classes, guidances=(Unguided(),)),
    "consistency": class_family(pixels.consistency, guidances=(Unguided(),)),
}


def make(name):
    """A family's pipeline in float32, always with the same weights."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")  # of diffusers and transformers about their own defaults
        torch.manual_seed(SEED)
        pipeline = FAMILIES[name].make()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def write(name, folder, **saved):
    """Save a family's folder.

    Args:
        name: a key of FAMILIES.
        folder: where; it is made.
        saved: arguments of `save_pretrained`, such as `variant="fp16"` or `max_shard_size`.

    Returns:
        The folder.
    """
    make(name).save_pretrained(folder, **saved)
    return Path(folder)


def family_folder(once, name):
    """The folder of a family that all tests of a run share. Copy it to change it."""
    return once(f"family-{name}", lambda folder: write(name, folder / name)) / name
