"""Folders that all workers of a test run share: who wants one first makes it, the others wait."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

Once = Callable[[str, Callable[[Path], object]], Path]


def folder_of_the_run(config: pytest.Config, factory: pytest.TempPathFactory) -> Path:
    """The temporary folder above those of the workers, or the only one where there is no worker."""
    own = factory.getbasetemp()
    return own.parent if hasattr(config, "workerinput") else own


def made_once(root: Path, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name` below `root`, which appears when `make(folder)` has filled all of it.

    Args:
        root: what the workers have in common.
        name: what the folder is called; equal names ask for the same folder.
        make: fills the empty folder that it is given; it is renamed afterwards.
    """
    folder, draft = root / f"once-{name}", root / f"once-{name}.draft"
    with (root / f"once-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(draft, ignore_errors=True)  # of a worker that failed
            draft.mkdir()
            make(draft)
            draft.rename(folder)
    return folder
