"""The model card: what a network expects and means, as typed values that go to JSON and back.

Every class refuses values that cannot be meant, so a card that exists is consistent in itself;
whether it fits a graph is for the compiler to find out. `docs/card.md` lists the keys for a person
who writes one by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from denoisert.runtime.bundle.codecs import CODECS
from denoisert.runtime.bundle.condition import ConditionInput, TextEncoder, check_dtype
from denoisert.runtime.bundle.document import canonical, parse
from denoisert.runtime.bundle.picture import Autoencoder, Picture
from denoisert.runtime.bundle.typed import decode, encode
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.sampling.guidance import Guidance, Unguided
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import NoiseSchedule, Spacing
from denoisert.runtime.sampling.solvers import Solver

MAX_SCALARS = 4
CODERS = ("denoiser", "decoder", "encoder")
"""Components that are named alike in every bundle."""


class TimeShape(Enum):
    """Whether the network takes one time per lane or one per call."""

    LANES = "lanes"
    SCALAR = "scalar"


@dataclass(frozen=True, slots=True)
class OutputSlice:
    """A slice of one graph output that has the shape of a part.

    Args:
        output: graph output.
        first: first channel.
        channels: number of channels.
        part: which part of the state it predicts.
    """

    output: str
    first: int
    channels: int
    part: int = 0

    def __post_init__(self) -> None:
        if self.first < 0 or self.channels < 1 or self.part < 0:
            raise InvalidInput(
                f"slice of output {self.output!r} has first {self.first}, channels "
                f"{self.channels}, part {self.part}; first and part start at 0, channels at 1."
            )


@dataclass(frozen=True, slots=True)
class Network:
    """Names of the denoiser's graph inputs and outputs.

    Args:
        time: graph input of the model time.
        time_shape: per lane or per call.
        time_dtype: NumPy name.
        ports: what a table's port index means: slices that together cover the state or one part.
        scalars: graph inputs fed from the table's scalars, at most 4.
        guidance: the one of `scalars` that is told the scale of an embedded guidance; "" where
            there is none. The others are told what a solver says, in their order.
    """

    time: str
    time_shape: TimeShape
    time_dtype: str
    ports: tuple[tuple[OutputSlice, ...], ...]
    scalars: tuple[str, ...] = ()
    guidance: str = ""

    def __post_init__(self) -> None:
        check_dtype(self.time, self.time_dtype)
        if not self.ports or not all(self.ports):
            raise InvalidInput(
                "a network needs at least one port, and each port at least one slice."
            )
        if len(self.scalars) > MAX_SCALARS:
            raise InvalidInput(
                f"{len(self.scalars)} scalar inputs; a table feeds at most {MAX_SCALARS}."
            )
        if self.guidance and self.guidance not in self.scalars:
            raise InvalidInput(
                f"guidance is told to {self.guidance!r}, which is none of the scalar inputs "
                f"{', '.join(map(repr, self.scalars)) or '(there are none)'}. List it there, too."
            )


@dataclass(frozen=True, slots=True)
class Training:
    """How the network was trained.

    Args:
        parametrisation: meaning of its output.
        schedule: alpha and sigma of its model time.
        distilled: whether it is a few-step student.
        timesteps: the only model times it may be asked at; empty means any.
    """

    parametrisation: Parametrisation
    schedule: NoiseSchedule
    distilled: bool = False
    timesteps: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Recommended:
    """The sampler used when a request says nothing."""

    solver: Solver
    spacing: Spacing
    steps: int
    guidance: Guidance = field(default_factory=Unguided)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InvalidInput(f"the recommended sampler has {self.steps} steps; give at least 1.")


@dataclass(frozen=True, slots=True)
class Card:
    """Everything the runtime knows about a model.

    Args:
        name: short name.
        licence: SPDX expression or a sentence.
        training: parametrisation, schedule, distilled, allowed timesteps.
        layout: shape of the state; where there are several, the one of a request without a size.
        conditions: the denoiser's conditioning inputs.
        network: its other graph inputs and its outputs.
        sampler: what to use when a request says nothing.
        picture: values of black and white, or None when the model makes no pictures.
        texts: the text encoders.
        autoencoder: what stands between latents and pictures, or None when they are the same.
        further: other layouts that the same graphs take: the same parts and channels, other sizes.
    """

    name: str
    licence: str
    training: Training
    layout: StateLayout
    conditions: tuple[ConditionInput, ...]
    network: Network
    sampler: Recommended
    picture: Picture | None = None
    texts: tuple[TextEncoder, ...] = ()
    autoencoder: Autoencoder | None = None
    further: tuple[StateLayout, ...] = ()

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidInput("the card has an empty name; give the model one.")
        names = [
            *(part.name for part in self.layout.parts),
            *(condition.name for condition in self.conditions),
            *(self.network.time, *self.network.scalars),
        ]
        if "" in names or len(set(names)) != len(names):
            raise InvalidInput(
                f"graph inputs need names that differ, found {', '.join(map(repr, names))}."
            )
        for port in self.network.ports:
            self._check_port(port)
        self._check_texts()
        self._check_further()
        self._check_autoencoder()

    @property
    def layouts(self) -> tuple[StateLayout, ...]:
        """Every layout that the graphs take; requests pick one by its size."""
        return (self.layout, *self.further)

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the graphs that a bundle of this model has."""
        denoiser, decoder, encoder = CODERS
        names = [denoiser, *(text.name for text in self.texts)]
        if self.autoencoder is not None:
            names += [decoder, encoder] if self.autoencoder.has_encoder else [decoder]
        return tuple(names)

    def _check_port(self, port: tuple[OutputSlice, ...]) -> None:
        parts = self.layout.parts
        seen = [piece.part for piece in port]
        if max(seen) >= len(parts) or len(set(seen)) != len(seen):
            raise InvalidInput(
                f"a port predicts the parts {seen}; the layout has parts 0 to {len(parts) - 1}, "
                "each once."
            )
        for piece in port:
            if piece.channels != parts[piece.part].channels:
                raise InvalidInput(
                    f"slice of output {piece.output!r} has {piece.channels} channels, its part "
                    f"{parts[piece.part].name!r} has {parts[piece.part].channels}. They must agree."
                )

    def _check_texts(self) -> None:
        known = [text.name for text in self.texts]
        used = {entry.encoder for entry in self.conditions if entry.encoder}
        if len({*known, *CODERS}) != len(known) + len(CODERS) or used != set(known):
            raise InvalidInput(
                f"the card has the text encoders {known} and its conditions use {sorted(used)}; "
                f"each needs a name of its own that is none of {', '.join(CODERS)}, and at least "
                "one condition."
            )

    def _check_further(self) -> None:
        if not self.further:
            return
        kinds = {
            tuple((part.name, len(part.shape), part.channels) for part in layout.parts)
            for layout in self.layouts
        }
        shapes = [layout.parts[0].shape for layout in self.layouts]
        if len(kinds) > 1 or len(shapes[0]) != 3 or len(set(shapes)) < len(shapes):
            raise InvalidInput(
                f"the card has layouts {[layout.to_dict() for layout in self.layouts]}; further "
                "ones have the parts and channels of the first, which begins with a part (C, H, W) "
                "whose sizes differ in each, for a request picks its layout by them."
            )

    def _check_autoencoder(self) -> None:
        coder = self.autoencoder
        if coder is None:
            return
        shape = self.layout.parts[0].shape
        if self.picture is None or len(shape) != 3:
            raise InvalidInput(
                f"an autoencoder needs the card's picture and a first part (C, H, W); found "
                f"{self.picture!r} and {shape}."
            )
        if any(len(row) != shape[0] + 1 for row in coder.readout):
            raise InvalidInput(
                f"rows of the readout have {sorted({len(row) for row in coder.readout})} numbers; "
                f"the latent's {shape[0]} channels and a bias need {shape[0] + 1}."
            )
        largest = tuple(map(max, *(each.parts[0].shape[1:] for each in self.layouts), (0, 0)))
        if any(tile > size for tile, size in zip(coder.tile, largest, strict=True)):
            raise InvalidInput(f"a tile of {coder.tile} is larger than the latent {largest}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; every key is written out but `further` where there is none."""
        plain: dict[str, Any] = encode(Card, self, CODECS)
        if not self.further:
            del plain["further"]  # a card of one layout stays the text that it was
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "card") -> Card:
        """The card that plain values stand for; keys with a default may be missing.

        Args:
            data: what `to_dict` returns, or less.
            where: the place of `data`, for errors.

        Raises:
            InvalidInput: a missing or unknown key or a wrong value, with its place and what is
                known.
        """
        card: Card = decode(Card, data, where, CODECS)
        return card

    def to_json(self) -> bytes:
        """The canonical JSON text."""
        return canonical(self.to_dict())

    @classmethod
    def from_json(cls, text: bytes, name: str = "card") -> Card:
        """The card in a JSON text, for example the bytes of a `card.json`.

        Raises:
            InvalidInput: not strict JSON, or not a card.
        """
        return cls.from_dict(parse(text, name), name)
