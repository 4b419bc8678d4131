"""The compiler: models in, bundles out. Not installed in a service.

from denoisert.export import CompileOptions, Compiled, Lora, compile_bundle
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from denoisert.export.compile import compile_bundle
    from denoisert.export.lora.lora import Lora
    from denoisert.export.options import Compiled, CompileOptions, Progress

__all__ = ["CompileOptions", "Compiled", "Lora", "Progress", "compile_bundle"]

HOMES = {"compile_bundle": "compile", "Lora": "lora.lora"}
"""Public names that do not live in `options`."""


def __getattr__(name: str) -> object:
    """Resolve a public name at its first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES.get(name, 'options')}"), name)
