"""Tiny torch denoisers and their cards."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from denoisert.runtime.bundle.card import (
    Card,
    Network,
    OutputSlice,
    Recommended,
    TimeShape,
    Training,
)
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import Flow, NoiseSchedule, Trailing
from denoisert.runtime.sampling.solvers import Euler

SIZE_PX = 6
CLASSES = 3


class ConvDenoiser(nn.Module):
    """Convolution, group norm, one attention with separate projections, labels and times."""

    def __init__(self, channels: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.enter = nn.Conv2d(2, channels, 3, padding=1)
        self.label = nn.Embedding(CLASSES + 1, channels)
        self.norm = nn.GroupNorm(2, channels)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.leave = nn.Conv2d(channels, 2, 3, padding=1)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, latent: Tensor, time: Tensor, label: Tensor) -> Tensor:
        condition = self.label(label) * (1 + time[:, None])
        x = self.norm(self.enter(latent) + condition[:, :, None, None])
        tokens = x.flatten(2).transpose(1, 2)
        split = (
            functional.linear(tokens, part.weight, part.bias)
            .unflatten(-1, (self.heads, -1))
            .transpose(1, 2)
            for part in (self.to_q, self.to_k, self.to_v)
        )
        attended = functional.scaled_dot_product_attention(*split)
        merged = attended.transpose(1, 2).flatten(2).transpose(1, 2)
        return self.leave(functional.silu(x + merged.unflatten(2, (SIZE_PX, SIZE_PX))))


class TwoParts(nn.Module):
    """A state of two parts, predicted by slices of one output and a second output."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(3, 4)

    def forward(self, sound: Tensor, picture: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.mix(sound) * time[:, None]
        return torch.cat((hidden[:, :3], hidden[:, 1:]), 1), picture * hidden[:, :1, None, None]


def card_of(
    parts: tuple[Part, ...] = (Part("latent", (2, SIZE_PX, SIZE_PX)),),
    ports: tuple[tuple[OutputSlice, ...], ...] | None = None,
    *,
    conditions: tuple[ConditionInput, ...] | None = None,
    time_shape: TimeShape = TimeShape.LANES,
    time_dtype: str = "float32",
    schedule: NoiseSchedule | None = None,
) -> Card:
    """A card; by default that of `ConvDenoiser`."""
    whole = ((OutputSlice("velocity", 0, parts[0].channels),),)
    label = ConditionInput("label", Source.CLASS_LABEL, "int64", (), CLASSES, float(CLASSES))
    return Card(
        name="tiny",
        licence="Apache-2.0",
        training=Training(Parametrisation.FLOW, schedule or Flow()),
        layout=StateLayout(parts),
        conditions=(label,) if conditions is None else conditions,
        network=Network("time", time_shape, time_dtype, ports or whole),
        sampler=Recommended(Euler(), Trailing(), 4),
    )


TWO_PARTS_CARD = card_of(
    (Part("sound", (3,)), Part("picture", (2, 4, 4))),
    (
        (OutputSlice("mixed", 0, 3, 0), OutputSlice("scaled", 0, 2, 1)),
        (OutputSlice("mixed", 3, 3, 0),),
    ),
    conditions=(),
)
"""The card of `TwoParts`."""
