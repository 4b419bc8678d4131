"""Networks of `networks` between ports of height and width that vary, traced once each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from denoisert.export.graph.signature import Signature, Sizes
from denoisert.export.modules.autoencoder import Decoder, Encoder
from denoisert.export.modules.dit import ClassDenoiser
from denoisert.export.modules.pixart import TextDenoiser
from denoisert.export.modules.traceable import make_traceable
from denoisert.export.random_inputs import Arrays
from denoisert.runtime.engines.engine import Port
from tests.export.modules.networks import CASES, TOKENS, WIDTH

SIZES = ({"height": 8, "width": 8}, {"height": 12, "width": 16})
STATE = Port("latent", "float32", ("lanes", 4, "height", "width"))
TIME = Port("time", "float32", ("lanes",))
TEXT = Port("text", "float32", ("lanes", TOKENS, WIDTH))
MASK = Port("mask", "int64", ("lanes", TOKENS))
STATES = Port("hidden_states", TEXT.dtype, TEXT.dims)
TOKEN_MASK = Port("token_mask", MASK.dtype, MASK.dims)
POOLED = Port("pooled", "float32", ("lanes", 16))
LABEL = Port("label", "int64", ("lanes",))
PICTURE = Port("picture", "float32", ("lanes", 3, "picture_height", "picture_width"))
BOTH = Port("out", "float32", ("lanes", 8, "height", "width"))
PATCH = 2


class Network(nn.Module):
    """A network that can be traced, with the names of ports outside."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.network: Any = make_traceable(CASES[name].network())


class Masked(Network):
    """A UNet whose text has padding."""

    def forward(self, latent: Tensor, time: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        return self.network(
            latent, time, encoder_hidden_states=text, encoder_attention_mask=mask, return_dict=False
        )[0]


class Joint(Network):
    """SD3."""

    def forward(self, latent: Tensor, time: Tensor, text: Tensor, pooled: Tensor) -> Tensor:
        return self.network(latent, text, pooled, time, return_dict=False)[0]


class Packed(Network):
    """FLUX with its latent packed, and ids made, in the graph."""

    def forward(self, latent: Tensor, time: Tensor, text: Tensor, pooled: Tensor) -> Tensor:
        height, width = (size // PATCH for size in latent.shape[2:])
        grid = torch.unflatten(torch.unflatten(latent, 3, (width, PATCH)), 2, (height, PATCH))
        tokens = grid.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        rows = torch.arange(height)[:, None].expand(-1, width)
        columns = torch.arange(width)[None].expand(height, -1)
        ids = torch.stack((torch.zeros_like(rows), rows, columns), dim=-1).flatten(0, 1)
        guidance = torch.full_like(time, 3.5)
        blank = torch.zeros((TOKENS, 3), dtype=ids.dtype)
        found = self.network(tokens, text, pooled, time, ids, blank, guidance, return_dict=False)[0]
        blocks = torch.unflatten(torch.unflatten(found, 2, (-1, PATCH, PATCH)), 1, (height, width))
        return blocks.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


class Pixels(Network):
    """A UNet of pixels."""

    def forward(self, picture: Tensor, time: Tensor) -> Tensor:
        return self.network(picture, time, return_dict=False)[0]


@dataclass(frozen=True)
class Ported:
    """A module and the ports between which it is traced; sizes are in units of its inputs."""

    module: nn.Module
    signature: Signature


def signature(inputs: tuple[Port, ...], output: Port | None = None, **fields: Any) -> Signature:
    def draw(lanes: int, generator: np.random.Generator, sizes: Sizes) -> Arrays:
        return {port.name: drawn(port.at(sizes), lanes, generator) for port in inputs}

    outputs = (output or Port("out", "float32", inputs[0].dims),)
    return Signature("denoiser", inputs, outputs, draw, **{"sizes": SIZES, **fields})


def drawn(port: Port, lanes: int, generator: np.random.Generator) -> np.ndarray:
    """Times of training, labels, masks with a few tokens of padding, and noise."""
    shape = port.shape(lanes)
    if port.name in ("mask", "token_mask"):
        return (np.arange(TOKENS) < generator.integers(1, TOKENS, (lanes, 1))).astype(np.int64)
    if port.dtype == "int64":
        return generator.integers(0, 4, shape)
    values = generator.random(shape) if port.name == "time" else generator.standard_normal(shape)
    return values.astype(np.float32)


def picture_sizes(factor: int) -> tuple[Sizes, ...]:
    return tuple(
        {**sizes, **{f"picture_{name}": factor * size for name, size in sizes.items()}}
        for sizes in SIZES
    )


def ported(name: str) -> Ported:
    """A network by name; "decoder" and "encoder" are the halves of the autoencoder."""
    text = (STATE, TIME, TEXT)
    if name in ("decoder", "encoder"):
        vae = make_traceable(CASES["vae"].network())
        sizes = picture_sizes(4)
        if name == "decoder":
            return Ported(Decoder(vae, 0.5, 0.1), signature((STATE,), PICTURE, sizes=sizes))
        outputs = tuple(Port(key, "float32", STATE.dims) for key in ("mean", "std"))
        made = signature((PICTURE,), sizes=sizes)
        return Ported(
            Encoder(vae, 0.5, 0.1),
            Signature("encoder", made.inputs, outputs, made.draw, sizes=sizes),
        )
    if name == "dit":
        module = ClassDenoiser(make_traceable(CASES["dit"].network()))
        return Ported(module, signature((STATE, TIME, LABEL), BOTH))
    if name == "pixels":
        return Ported(Pixels("pixels"), signature((PICTURE, TIME), sizes=picture_sizes(1)))
    if name == "pixart":
        module = TextDenoiser(make_traceable(CASES["pixart"].network()))
        return Ported(module, signature((STATE, TIME, STATES, TOKEN_MASK), BOTH))
    if name == "unet":
        return Ported(Masked(name), signature((*text, MASK)))
    kind = Joint if name == "sd3" else Packed
    return Ported(kind(name), signature((*text, POOLED)))
