"""Do the tensors of a component fit the network that its configuration describes; and read them.

Names that older versions of the libraries wrote are understood: the prefix of a text encoder that
stood inside a larger model, and the four matrices of the autoencoder's attention. Of two names for
one tensor, files have one or both. What no network of today reads is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.diffusers.weights import read_headers
from denoisert.runtime.bundle.weights import Tensor
from denoisert.runtime.errors import ExportError

if TYPE_CHECKING:
    import torch

READABLE: Final = ("float16", "bfloat16", "float32", "float64")
"""Types that become float32."""

PREFIX: Final = "text_model."
UNREAD: Final = ("position_ids", "caption_projection.y_embedding")
"""Ends of the names of tensors that nothing reads: positions are counted when they are needed, and
PixArt's caption of training without one never had a part in its pipelines."""

TIED: Final[Mapping[str, str]] = {
    "encoder.embed_tokens.weight": "shared.weight",
    "shared.weight": "encoder.embed_tokens.weight",
}
"""Two names of one tensor."""

OLD_ATTENTION: Final[Mapping[str, str]] = {
    "query": "to_q",
    "key": "to_k",
    "value": "to_v",
    "proj_attn": "to_out.0",
}
_OLD: Final = re.compile(r"(.*\.attentions\.\d+\.)(query|key|value|proj_attn)(\.(?:weight|bias))")


def current_name(name: str) -> str:
    """The name that the installed libraries give a tensor of an older file."""
    old = _OLD.fullmatch(name)
    if old:
        name = old[1] + OLD_ATTENTION[old[2]] + old[3]
    return name.removeprefix(PREFIX)


def check_fit(
    wanted: Mapping[str, tuple[int, ...]], paths: tuple[Path, ...], where: str
) -> dict[str, str]:
    """Compare weight files with a network, from their headers alone.

    Args:
        wanted: tensor name -> shape of the network that the configuration describes.
        paths: what `find_weights` returned.
        where: the component, for errors.

    Returns:
        Wanted name -> name in the files.

    Raises:
        ExportError: a tensor is missing, too much, of another shape or no float.
    """
    headers = read_headers(paths, where)
    names = _match(wanted, headers)
    missing = sorted(wanted.keys() - names.keys())
    known = set(names.values())
    extra = sorted(name for name in headers.keys() - known if not _is_unread(name))
    if missing or extra:
        raise ExportError(
            f"the weights of {where} do not fit its configuration: {len(missing)} tensors are "
            f"missing ({_first(missing)}) and {len(extra)} unknown ({_first(extra)}). Use the "
            "configuration that the model was saved with."
        )
    for name, stored in names.items():
        _check_tensor(name, wanted[name], headers[stored][0], where)
    return names


def read_weights(
    wanted: Mapping[str, tuple[int, ...]], paths: tuple[Path, ...], where: str
) -> dict[str, torch.Tensor]:
    """Every tensor of a network in float32, under the network's names.

    Args:
        wanted: tensor name -> shape of the network that the configuration describes.
        paths: what `find_weights` returned.
        where: the component, for errors.

    Raises:
        ExportError: they do not fit.
    """
    import torch
    from safetensors.torch import load_file

    names = check_fit(wanted, paths, where)
    stored = {name: value for path in paths for name, value in load_file(path).items()}
    read = {found: stored.pop(found).to(torch.float32) for found in set(names.values())}
    return {name: read[found] for name, found in names.items()}


def _match(wanted: Mapping[str, tuple[int, ...]], headers: Mapping[str, object]) -> dict[str, str]:
    """Wanted name -> stored name; a stored name that is wanted as it is comes first."""
    names = {name: name for name in wanted if name in headers}
    for stored in headers:
        name = current_name(stored)
        for candidate in (name, PREFIX + name):
            if candidate in wanted:
                names.setdefault(candidate, stored)
    for name in wanted.keys() - names.keys():
        if TIED.get(name) in headers:
            names[name] = TIED[name]
    return names


def _is_unread(name: str) -> bool:
    return any(name == end or name.endswith(f".{end}") for end in UNREAD)


def _check_tensor(name: str, shape: tuple[int, ...], found: Tensor, where: str) -> None:
    if found.shape != shape:
        raise ExportError(
            f"{where}: tensor {shown(name)} is {found.shape} in the weights and {shape} by the "
            "configuration. Use the configuration that the model was saved with."
        )
    if found.dtype not in READABLE:
        raise ExportError(
            f"{where}: tensor {shown(name)} is stored as {found.dtype}; {', '.join(READABLE)} are "
            "read. Save the model in one of them."
        )


def _first(names: list[str]) -> str:
    return ", ".join(map(shown, names[:3])) or "none"
