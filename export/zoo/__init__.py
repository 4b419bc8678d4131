"""Small reference models with their weights: a fresh checkout can compile something real."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from denoisert.export.zoo.digits.model import DigitsDiT

ARCHITECTURES: Final[Mapping[str, type[DigitsDiT]]] = MappingProxyType({"digits-dit": DigitsDiT})
"""The name in a folder's `config.json` -> the class whose `from_config` builds the network."""

__all__ = ["ARCHITECTURES", "DigitsDiT"]
