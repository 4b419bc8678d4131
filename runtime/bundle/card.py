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
from denoisert.runtime.bundle.document import canonical, parse
from denoisert.runtime.bundle.typed import decode, encode
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.sampling.guidance import Guidance, Unguided
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import NoiseSchedule, Spacing
from denoisert.runtime.sampling.solvers import Solver

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64"),
)
MAX_SCALARS = 4


def _check_dtype(name: str, dtype: str) -> None:
    if dtype not in DTYPES:
        raise InvalidInput(f"input {name!r} has dtype {dtype!r}; known are {', '.join(DTYPES)}.")


class Source(Enum):
    """Where the values of a denoiser input come from; a closed list."""

    CLASS_LABEL = "class_label"
    ENCODER_OUTPUT = "encoder_output"
    TOKEN_MASK = "token_mask"
    POOLED = "pooled"
    HIDDEN_LAYER = "hidden_layer"
    SIZES = "sizes"
    ZEROS = "zeros"
    EXTERNAL_PICTURE = "external_picture"
    EXTERNAL_ARRAY = "external_array"
    MASK = "mask"
    TABLE_SCALAR = "table_scalar"


@dataclass(frozen=True, slots=True)
class ConditionInput:
    """One named conditioning input of the denoiser.

    Args:
        name: the graph input.
        source: where its values come from.
        dtype: NumPy name.
        shape: per lane, without the batch dimension; () for a class label.
        classes: for CLASS_LABEL, labels are 0 .. classes - 1.
        null: what the uncond branch is fed; None where the model was not trained without condition.
        labels: names of the classes, empty when they are just numbers.
    """

    name: str
    source: Source
    dtype: str
    shape: tuple[int, ...] = ()
    classes: int = 0
    null: float | None = None
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_dtype(self.name, self.dtype)
        if any(size < 1 for size in self.shape):
            raise InvalidInput(f"input {self.name!r} has shape {self.shape}; sizes start at 1.")
        is_label = self.source is Source.CLASS_LABEL
        if is_label != (self.classes > 0):
            raise InvalidInput(
                f"input {self.name!r} has source {self.source.value} and {self.classes} classes. "
                "A class_label needs at least 1, every other source 0."
            )
        if is_label and self.null is not None and not float(self.null).is_integer():
            raise InvalidInput(f"null of the class label {self.name!r} is {self.null}, no label.")
        if self.labels and len(self.labels) != self.classes:
            raise InvalidInput(
                f"input {self.name!r} has {len(self.labels)} labels for {self.classes} classes."
            )


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
    """

    time: str
    time_shape: TimeShape
    time_dtype: str
    ports: tuple[tuple[OutputSlice, ...], ...]
    scalars: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_dtype(self.time, self.time_dtype)
        if not self.ports or not all(self.ports):
            raise InvalidInput(
                "a network needs at least one port, and each port at least one slice."
            )
        if len(self.scalars) > MAX_SCALARS:
            raise InvalidInput(
                f"{len(self.scalars)} scalar inputs; a table feeds at most {MAX_SCALARS}."
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
class Picture:
    """How the first part becomes a picture when no decoder does it.

    Args:
        low: latent value of black.
        high: latent value of white.
    """

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.low == self.high:
            raise InvalidInput(f"black and white both lie at {self.low}; low and high must differ.")


@dataclass(frozen=True, slots=True)
class Card:
    """Everything the runtime knows about a model.

    Args:
        name: short name.
        licence: SPDX expression or a sentence.
        training: parametrisation, schedule, distilled, allowed timesteps.
        layout: shape of the state.
        conditions: the denoiser's conditioning inputs.
        network: its other graph inputs and its outputs.
        sampler: what to use when a request says nothing.
        picture: how latents become pixels, or None when they do not.
    """

    name: str
    licence: str
    training: Training
    layout: StateLayout
    conditions: tuple[ConditionInput, ...]
    network: Network
    sampler: Recommended
    picture: Picture | None = None

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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, every key written out."""
        plain: dict[str, Any] = encode(Card, self, CODECS)
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
