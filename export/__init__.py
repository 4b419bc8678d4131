"""The compiler: models in, bundles out. Not installed in a service.

from denoisert.export import CompileOptions, Compiled, compile_bundle
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from denoisert.export.compile import compile_bundle
    from denoisert.export.options import Compiled, CompileOptions, Progress

__all__ = ["CompileOptions", "Compiled", "Progress", "compile_bundle"]


def __getattr__(name: str) -> object:
    """Resolve a public name at its first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "compile" if name == "compile_bundle" else "options"
    return getattr(import_module(f"{__name__}.{home}"), name)
