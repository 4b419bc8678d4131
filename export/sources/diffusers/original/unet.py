"""The UNet of latent diffusion, whose blocks lie in one list on each side.

Source: Rombach et al. 2022, arXiv 2112.10752, the authors' openaimodel.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from denoisert.export.lora.original import original_names
from denoisert.export.sources.diffusers.original.piece import Pieces, Shape, Whole


def unet_pieces(wanted: Mapping[str, Shape]) -> Pieces:
    """Where the tensors of a `UNet2DConditionModel` lie; one without a place has its own name.

    Args:
        wanted: tensor name -> shape.
    """
    paths = dict.fromkeys(name.rpartition(".")[0] for name in wanted)
    places = {path: name for name, path in original_names(paths)}
    found = {}
    for name in wanted:
        path, _, last = name.rpartition(".")
        found[name] = Whole(f"{places.get(path, path)}.{last}")
    return found
