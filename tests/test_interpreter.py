"""The quickened interpreter replaces what Triton itself would, and puts it back."""

import subprocess
import sys
from pathlib import Path

import pytest
from triton.runtime import interpreter

from tests.interpreter import NAMES, ORIGINAL, PACKAGES, patch_builtins

ROOT = Path(__file__).parents[1]
BUILDER = interpreter.interpreter_builder


def replaced(patch, package):
    """Names that a patch replaces in a package, and in one that is replaced already."""
    scope = interpreter._LangPatchScope()
    try:
        patch(package, BUILDER, scope)
        first = [name for _, name, _ in scope._changes]
        patch(package, BUILDER, scope)
        return first, [name for _, name, _ in scope._changes][len(first) :]
    finally:
        scope.restore()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_the_same_names_are_replaced_once(package):
    """Threads that launched at once may have left some replaced, which both then leave."""
    wanted = replaced(ORIGINAL, package)
    assert wanted[1] == []
    assert replaced(patch_builtins, package) == wanted
    assert set(wanted[0]) <= set(NAMES[package])


def test_the_names_are_those_of_a_process_that_has_launched_nothing():
    code = "from tests.interpreter import *; print(sum(map(len, map(builtins_of, PACKAGES))))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == sum(map(len, NAMES.values())) > 100


def test_all_packages_that_triton_asks_for_are_known(monkeypatch):
    asked = set()
    monkeypatch.setattr(interpreter, "_patch_builtin", lambda package, *_: asked.add(package))
    kernel = type("Kernel", (), {"__globals__": {"tl": PACKAGES[0], "core": PACKAGES[1]}})
    interpreter._patch_lang(kernel).restore()
    assert asked == set(PACKAGES)


def test_it_is_in_place_where_kernels_are_interpreted(kernel_device):
    assert kernel_device == "cuda" or interpreter._patch_builtin is patch_builtins
