"""What every room shares: the digits bundle, compiled once per run."""

from __future__ import annotations

from pathlib import Path

import pytest

from denoisert.export import compile_bundle


@pytest.fixture(scope="session")
def digits_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the shipped digits weights."""
    out = tmp_path_factory.mktemp("digits") / "digits.bundle"
    compile_bundle("digits", out)
    return out
