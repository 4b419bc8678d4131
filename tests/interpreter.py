"""Triton's interpreter without its search for built-ins, a third of the time of its tests.

Before each call of a kernel, and of a function in it, Triton 3.7 lists all members of five packages
to find those that it has to replace. They are always the same ones, so here they are found once.
"""

from __future__ import annotations

import inspect

from triton import language
from triton.runtime import interpreter

PACKAGES = (
    language,
    language.core,
    language.math,
    language.tensor,
    language.core.tensor_descriptor_base,
)


def builtins_of(package: object) -> list[str]:
    """Names of what Triton replaces in a package; none of them while it is replaced."""
    is_builtin = language.core.is_builtin
    return [name for name, member in inspect.getmembers(package) if is_builtin(member)]


NAMES = {package: builtins_of(package) for package in PACKAGES}


def patch_builtins(package: object, builder: object, scope: object) -> None:
    """What Triton's `_patch_builtin` does, without looking for the names."""
    for name in NAMES[package]:
        member = getattr(package, name)
        if language.core.is_builtin(member):
            interpreter._patch_attr(package, name, member, builder, scope)


ORIGINAL = getattr(interpreter, "_patch_builtin", None)


def quicken() -> None:
    """Make it so in this process, where Triton is one that works that way."""
    if ORIGINAL is not None and hasattr(interpreter, "_LangPatchScope"):
        interpreter._patch_builtin = patch_builtins
