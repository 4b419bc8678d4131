"""Signatures: what the runtime will feed to and read from each graph of a bundle.

All of it follows from the card, but for the number of tokens that a text encoder knows. A graph
that wants something else is refused when it is compiled; tracing and parity draw inputs here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from denoisert.export.random_inputs import Arrays, draw_inputs
from denoisert.runtime.bundle.card import Card, TimeShape
from denoisert.runtime.bundle.condition import TOKEN_IDS, TextEncoder
from denoisert.runtime.bundle.picture import Autoencoder, Picture
from denoisert.runtime.bundle.sizes import (
    coder_sizes,
    condition_dims,
    picture_dims,
    state_dims,
    state_sizes,
    tile_dims,
)
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.errors import InvalidInput

LANES: Final = "lanes"
"""Name of the one dimension that varies."""

STATE_DTYPE: Final = "float32"
"""Dtype of latents, predictions and pictures; registers are float32, and nothing casts between."""

DENOISER: Final = "denoiser"
DECODER: Final = "decoder"
ENCODER: Final = "encoder"
LATENT: Final = "latent"
PICTURE: Final = "picture"
STD: Final = "std"
MOMENTS: Final = ("mean", STD)
"""Components and ports that every bundle names alike; text encoders have names of their own."""

FEW: Final = (1, 2)
MORE: Final = (1, 2, 5)
"""Numbers of lanes that are compared: fewer where a lane is a whole picture."""

LARGE_STATE: Final = 8192
"""Elements of a latent whose denoiser takes seconds for each lane."""

Sizes = Mapping[str, int]
"""Name of an axis -> its length."""

ONE_SIZE: Final[Sizes] = MappingProxyType({})
"""Nothing varies but the lanes."""


class Draw(Protocol):
    """Draws random inputs."""

    def __call__(
        self, lanes: int, generator: np.random.Generator, sizes: Sizes = ONE_SIZE
    ) -> Arrays:
        """Values for every input.

        Args:
            lanes: how many.
            generator: source of the values.
            sizes: lengths of the axes that have names.
        """
        ...


@dataclass(frozen=True, slots=True)
class Signature:
    """One graph of a bundle, seen from outside.

    Args:
        component: its name.
        inputs: names, dtypes and sizes; the first dimension is "lanes". An axis that has a name
            instead of a size varies.
        outputs: what is read; a name may occur more than once.
        draw: random inputs for a number of lanes.
        time: input that may be one number per call, with dims (); "" for none.
        is_sliced: whether slices of the channels are read, so that there may be more of them.
        lanes: numbers of lanes on which graphs are compared.
        sizes: lengths of the named axes at every layout, the default first.
        zeros: outputs that are zero by the model's nature.
    """

    component: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    draw: Draw
    time: str = ""
    is_sliced: bool = False
    lanes: tuple[int, ...] = MORE
    sizes: tuple[Sizes, ...] = (ONE_SIZE,)
    zeros: tuple[str, ...] = ()

    @property
    def output_names(self) -> tuple[str, ...]:
        """Each output once, in the order of its first use."""
        return tuple(dict.fromkeys(port.name for port in self.outputs))

    def at(self, sizes: Sizes) -> Signature:
        """The graph at one size: every axis has a number."""
        return replace(
            self,
            inputs=tuple(port.at(sizes) for port in self.inputs),
            outputs=tuple(port.at(sizes) for port in self.outputs),
            draw=partial(self.draw, sizes=sizes),
            sizes=(ONE_SIZE,),
        )


def denoiser_signature(card: Card) -> Signature:
    """Parts of the state, time, conditions and scalars in; the outputs of the card's ports out."""
    network, parts, dims = card.network, card.layout.parts, state_dims(card)
    time_dims = (LANES,) if network.time_shape is TimeShape.LANES else ()
    inputs = (
        *(_state_port(part.name, axes) for part, axes in zip(parts, dims, strict=True)),
        Port(network.time, network.time_dtype, time_dims),
        *(
            Port(entry.name, entry.dtype, (LANES, *condition_dims(card, entry)))
            for entry in card.conditions
        ),
        *(Port(name, STATE_DTYPE, (LANES,)) for name in network.scalars),
    )
    outputs = tuple(
        _state_port(entry.output, (entry.first + entry.channels, *dims[entry.part][1:]))
        for port in network.ports
        for entry in port
    )
    return Signature(
        DENOISER,
        inputs,
        outputs,
        partial(_draw_state, card, inputs),
        network.time,
        is_sliced=True,
        lanes=FEW if card.layout.elements > LARGE_STATE else MORE,
        sizes=tuple(state_sizes(card, layout) for layout in card.layouts),
    )


def text_signature(card: Card, text: TextEncoder, vocabulary: int) -> Signature:
    """Token ids and perhaps their mask in; every output that a condition of the card reads, out.

    Args:
        card: its conditions name the outputs and their shapes.
        text: the encoder.
        vocabulary: token ids are 0 .. vocabulary - 1.
    """
    read = [entry for entry in card.conditions if entry.encoder == text.name and entry.output]
    outputs = dict.fromkeys(_state_port(entry.output, entry.shape) for entry in read)
    names = (TOKEN_IDS, *((text.mask,) if text.mask else ()))
    inputs = tuple(Port(name, "int64", (LANES, text.tokens)) for name in names)
    draw = partial(_draw_tokens, text, vocabulary)
    return Signature(text.name, inputs, tuple(outputs), draw)


def decoder_signature(card: Card) -> Signature:
    """A tile of the latent in, a picture out."""
    coder, _ = _autoencoder(card)
    inputs, outputs = _tile(card), _pixels(card, coder)
    draw = partial(_draw_normal, inputs)
    return Signature(DECODER, (inputs,), (outputs,), draw, lanes=FEW, sizes=_coder_sizes(card))


def encoder_signature(card: Card) -> Signature:
    """A picture in; mean and standard deviation of its latent out."""
    coder, picture = _autoencoder(card)
    inputs, tile = _pixels(card, coder), _tile(card)
    outputs = tuple(Port(name, tile.dtype, tile.dims) for name in MOMENTS)
    draw = partial(_draw_picture, picture, inputs)
    return Signature(ENCODER, (inputs,), outputs, draw, lanes=FEW, sizes=_coder_sizes(card))


def _state_port(name: str, dims: tuple[int | str, ...]) -> Port:
    return Port(name, STATE_DTYPE, (LANES, *dims))


def _autoencoder(card: Card) -> tuple[Autoencoder, Picture]:
    if card.autoencoder is None or card.picture is None:
        raise InvalidInput("the card has no autoencoder, so there is no graph for one.")
    return card.autoencoder, card.picture


def _tile(card: Card) -> Port:
    return _state_port(LATENT, (card.layout.parts[0].channels, *tile_dims(card)))


def _pixels(card: Card, coder: Autoencoder) -> Port:
    return _state_port(PICTURE, (coder.channels, *picture_dims(card)))


def _coder_sizes(card: Card) -> tuple[Sizes, ...]:
    """Lengths of the codec's named axes: several layouts may be decoded in the same tile."""
    found: list[Sizes] = []
    for layout in card.layouts:
        sizes = coder_sizes(card, layout)
        found += [] if sizes in found else [sizes]
    return tuple(found)


def _draw_state(
    card: Card,
    inputs: tuple[Port, ...],
    lanes: int,
    generator: np.random.Generator,
    sizes: Sizes = ONE_SIZE,
) -> Arrays:
    return draw_inputs(card, [port.at(sizes) for port in inputs], lanes, generator)


def _draw_tokens(
    text: TextEncoder,
    vocabulary: int,
    lanes: int,
    generator: np.random.Generator,
    sizes: Sizes = ONE_SIZE,
) -> Arrays:
    drawn = {TOKEN_IDS: generator.integers(0, vocabulary, (lanes, text.tokens))}
    if text.mask:
        filled = generator.integers(1, text.tokens + 1, (lanes, 1))
        drawn[text.mask] = (np.arange(text.tokens) < filled).astype(np.int64)
    return drawn


def _draw_normal(
    port: Port, lanes: int, generator: np.random.Generator, sizes: Sizes = ONE_SIZE
) -> Arrays:
    return {port.name: _float32(generator.standard_normal(port.at(sizes).shape(lanes)))}


def _draw_picture(
    picture: Picture,
    port: Port,
    lanes: int,
    generator: np.random.Generator,
    sizes: Sizes = ONE_SIZE,
) -> Arrays:
    low, high = sorted((picture.low, picture.high))
    return {port.name: _float32(generator.uniform(low, high, port.at(sizes).shape(lanes)))}


def _float32(values: NDArray[np.float64]) -> NDArray[Any]:
    return values.astype(np.float32)
