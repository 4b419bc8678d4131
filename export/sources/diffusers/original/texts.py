"""Text encoders inside a model's file: transformers' own names, or OpenCLIP's.

Source: Radford et al. 2021, arXiv 2103.00020 (CLIP); Cherti et al. 2022, arXiv 2212.07143
(OpenCLIP), whose attention has one matrix for query, key and value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from denoisert.export.sources.diffusers.original.piece import (
    Piece,
    Pieces,
    Shape,
    Transposed,
    Whole,
    shared,
)

PREFIX: Final = "text_model."
PROJECTION: Final = "text_projection.weight"

OUTSIDE: Final = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
INSIDE: Final = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
"""Layers of one block."""

_LAYER: Final = re.compile(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")


def clip_pieces(wanted: Mapping[str, Shape]) -> Pieces:
    """Where the tensors of a CLIP text encoder of OpenAI's kind lie."""
    return {
        name: Whole(name if name == PROJECTION else PREFIX + name.removeprefix(PREFIX))
        for name in wanted
    }


def t5_pieces(wanted: Mapping[str, Shape]) -> Pieces:
    """Where the tensors of a T5 encoder lie; the embedding has two names in the network."""
    tied = {"encoder.embed_tokens.weight": "shared.weight"}
    return {name: Whole(tied.get(name, name)) for name in wanted}


def open_clip_pieces(wanted: Mapping[str, Shape]) -> Pieces:
    """Where the tensors of a text encoder of OpenCLIP lie."""
    found: dict[str, Piece] = {}
    for name in wanted:
        bare = name.removeprefix(PREFIX)
        layer = _LAYER.fullmatch(bare)
        if name == PROJECTION:
            found[name] = Transposed("text_projection")
        elif layer and layer[2] == "self_attn.q_proj":
            key = f"transformer.resblocks.{layer[1]}.attn.in_proj_{layer[3]}"
            names = tuple(name.replace("q_proj", f"{each}_proj") for each in "qkv")
            found |= shared(key, names, wanted)
        elif layer and layer[2] in INSIDE:
            key = f"transformer.resblocks.{layer[1]}.{INSIDE[layer[2]]}.{layer[3]}"
            found[name] = Whole(key)
        else:
            found.setdefault(name, Whole(OUTSIDE.get(bare, bare)))
    return found


def clip_spare(wanted: Mapping[str, Shape]) -> tuple[str, ...]:
    """Keys of a CLIP text encoder that nothing reads: a projection that is not asked for."""
    return () if PROJECTION in wanted else ("text_projection",)


def open_clip_spare(wanted: Mapping[str, Shape]) -> tuple[str, ...]:
    """Keys of an OpenCLIP text encoder that nothing reads.

    Without a projection it is that of Stable Diffusion 2, whose states are the last but one: its
    configuration has one layer less than the file.
    """
    numbers = ("attn_mask", "logit_scale")
    if PROJECTION in wanted:
        return numbers
    bare = [name.removeprefix(PREFIX) for name in wanted]
    layers = {layer[1] for layer in map(_LAYER.fullmatch, bare) if layer}
    return (*numbers, "text_projection", f"transformer.resblocks.{len(layers)}.")
