"""Networks whose parameters have no memory yet, while what a constructor computes is there.

Weights are read from files right after, so memory for random ones would be a second copy of the
network, and filling it takes longer than reading a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from denoisert.runtime.errors import ExportError

DRAWN: Final = (torch.empty, torch.rand, torch.randn)
"""What parameters are made of; tables that a constructor computes are made otherwise."""


class Unfilled(TorchFunctionMode):
    """While it is entered, parameters are made on the device meta, everything else in memory."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Call torch, without memory where numbers would be drawn."""
        del types
        given = dict(kwargs or {})
        if func in DRAWN:
            given["device"] = "meta"
        return func(*args, **given)


def check_filled(network: nn.Module, name: str) -> None:
    """Refuse a network of which something is in no file and not computed either.

    Raises:
        ExportError: names the first such tensor.
    """
    tensors = (*network.named_parameters(), *network.named_buffers())
    empty = [key for key, tensor in tensors if tensor.is_meta]
    if empty:
        raise ExportError(
            f"{name}: {empty[0]} is drawn at random whenever the network is made and in none of "
            "its files, so no two runs would agree. Please report the class of this network."
        )
