"""The KL autoencoder of latent diffusion.

Its decoder counts levels from the picture, diffusers from the latent.

Source: Rombach et al. 2022, arXiv 2112.10752, the authors' model.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from denoisert.export.sources.diffusers.original.piece import Flat, Piece, Pieces, Shape, Whole

ATTENTION: Final = {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
PLAIN: Final = (
    ("conv_norm_out", "norm_out"),
    ("mid_block.attentions.0.group_norm", "mid.attn_1.norm"),
    ("mid_block.resnets.0", "mid.block_1"),
    ("mid_block.resnets.1", "mid.block_2"),
    ("conv_shortcut", "nin_shortcut"),
)
"""Pieces of names that are only called otherwise: diffusers', the authors'."""

_ATTENTION: Final = re.compile(r"(.+\.)mid_block\.attentions\.0\.(to_q|to_k|to_v|to_out\.0)\.(.+)")
_LEVEL: Final = re.compile(r"(.+\.)(down|up)_blocks\.(\d+)\.(.+)")
_RESNET: Final = re.compile(r"resnets\.(\d+)\.(.+)")


def vae_pieces(wanted: Mapping[str, Shape]) -> Pieces:
    """Where the tensors of an `AutoencoderKL` lie.

    Args:
        wanted: tensor name -> shape.
    """
    ups = [int(found[3]) for found in map(_LEVEL.fullmatch, wanted) if found and found[2] == "up"]
    return {name: _piece(name, max(ups, default=0)) for name in wanted}


def _piece(name: str, last: int) -> Piece:
    attention = _ATTENTION.fullmatch(name)
    if attention:
        side, layer, kind = attention.groups()
        return Flat(f"{side}mid.attn_1.{ATTENTION[layer]}.{kind}")
    for now, before in PLAIN:
        name = name.replace(now, before)
    level = _LEVEL.fullmatch(name)
    if level is None:
        return Whole(name)
    side, kind, number, rest = level.groups()
    place = int(number) if kind == "down" else last - int(number)
    return Whole(f"{side}{kind}.{place}.{_inner(rest)}")


def _inner(rest: str) -> str:
    resnet = _RESNET.fullmatch(rest)
    if resnet:
        return f"block.{resnet[1]}.{resnet[2]}"
    return rest.replace("downsamplers.0", "downsample").replace("upsamplers.0", "upsample")
