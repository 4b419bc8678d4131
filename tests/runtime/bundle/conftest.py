"""A fresh copy of the stored bundle, with the permissions that git does not keep."""

import shutil
from pathlib import Path

import pytest

STORED = Path(__file__).parents[2] / "data" / "format-1.bundle"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "tiny.bundle"
    shutil.copytree(STORED, copy, copy_function=shutil.copyfile)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy
