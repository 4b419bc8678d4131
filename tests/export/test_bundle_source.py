"""A bundle compiled again: other engines, the same graphs, weights and pictures."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from denoisert.export import CompileOptions, compile_bundle
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.errors import InvalidInput, Tampered

LIGHT = """
import sys
from denoisert.export import compile_bundle
compile_bundle(sys.argv[1], sys.argv[2])
heavy = {"torch", "diffusers", "transformers", "onnxscript"} & set(sys.modules)
assert not heavy, heavy
"""


def parts(path: Path) -> dict[str, str]:
    """SHA-256 of all that is not an engine."""
    files = Bundle.open(path).manifest.files
    return {name: entry.sha256 for name, entry in files.items() if not name.startswith("engines/")}


@pytest.fixture(scope="module")
def again(digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("again") / "again.bundle"
    compile_bundle(digits_bundle, out)
    return out


def test_graphs_weights_and_card_are_those_of_the_bundle(digits_bundle: Path, again: Path) -> None:
    assert parts(again) == parts(digits_bundle)
    assert Bundle.open(again).card == Bundle.open(digits_bundle).card


def test_its_engines_are_made_again(digits_bundle: Path, again: Path) -> None:
    old, new = (Bundle.open(path).manifest.engines for path in (digits_bundle, again))
    assert old == new
    Bundle.open(again).verify_all()


def test_neither_torch_nor_the_model_is_needed(digits_bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIGHT, str(digits_bundle), str(tmp_path / "light.bundle")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_can_replace_itself(digits_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.bundle"
    shutil.copytree(digits_bundle, out)
    made = compile_bundle(out, out)
    assert not made.is_cached
    assert parts(out) == parts(digits_bundle)


def test_damaged_weights_are_found(digits_bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "damaged.bundle"
    shutil.copytree(digits_bundle, copy)
    victim = next((copy / "weights").iterdir())
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    with pytest.raises(Tampered):
        compile_bundle(copy, tmp_path / "new.bundle")
    assert not (tmp_path / "new.bundle").exists()


def test_it_has_a_card_and_sizes_of_its_own(digits_bundle: Path, tmp_path: Path) -> None:
    card = Bundle.open(digits_bundle).card
    with pytest.raises(InvalidInput, match="card of its own"):
        compile_bundle(digits_bundle, tmp_path / "new.bundle", card=card)
    options = CompileOptions(sizes=((16, 16),))
    with pytest.raises(InvalidInput, match="sizes and tile"):
        compile_bundle(digits_bundle, tmp_path / "new.bundle", options=options)
