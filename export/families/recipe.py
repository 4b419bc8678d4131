"""What a family says about its model; with what all folders say alike it makes a card."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from denoisert.export.families.family import Material
from denoisert.export.sources.diffusers.readme import Readme
from denoisert.export.sources.diffusers.scheduler import Sampling
from denoisert.runtime.bundle.card import Card, Network
from denoisert.runtime.bundle.condition import ConditionInput, TextEncoder
from denoisert.runtime.bundle.picture import Autoencoder, Picture
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.sampling.guidance import CFG, Guidance, Unguided

PLAIN_NAME: Final = "model"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What differs between families in a card.

    Args:
        layouts: of the state; the first is the default.
        network: time, outputs and scalars of the denoiser.
        conditions: its other inputs.
        texts: text encoders.
        autoencoder: None for a model of pixels.
        picture: values of black and white.
    """

    layouts: tuple[StateLayout, ...]
    network: Network
    conditions: tuple[ConditionInput, ...] = ()
    texts: tuple[TextEncoder, ...] = ()
    autoencoder: Autoencoder | None = None
    picture: Picture = field(default_factory=Picture)


def write_card(material: Material, sampling: Sampling, recipe: Recipe) -> Card:
    """The card of a folder.

    Args:
        material: name, licence and recommended steps.
        sampling: training and sampler.
        recipe: what the family says.
    """
    readme, advice = material.readme, sampling.recommended
    return Card(
        name=name_of(material.folder.root),
        licence=readme.licence,
        training=sampling.training,
        layout=recipe.layouts[0],
        conditions=recipe.conditions,
        network=recipe.network,
        sampler=replace(advice, steps=readme.steps) if readme.steps else advice,
        picture=recipe.picture,
        texts=recipe.texts,
        autoencoder=recipe.autoencoder,
        further=recipe.layouts[1:],
    )


def guidance_of(readme: Readme, scale: float) -> Guidance:
    """What the README recommends, else the scale of the pipeline's own call.

    Pipelines of diffusers run no second branch for scales up to 1, 0 among them.
    """
    wanted = scale if readme.guidance_scale is None else readme.guidance_scale
    return CFG(wanted) if wanted > 1.0 else Unguided()


def name_of(root: Path) -> str:
    """The folder's name; its parent's where it is just called the model, or a revision of it."""
    if root.parent.name == "snapshots":  # models--<owner>--<name>/snapshots/<commit>
        return root.parent.parent.name.rsplit("--", 1)[-1]
    return root.parent.name if root.name == PLAIN_NAME else root.name
