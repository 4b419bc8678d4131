"""The oldest Triton, for tests that compile or launch with it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.kernels.compiled import budgets

# A folder with that Triton, so that a developer need not download 180 MB again.
OLDEST_FOLDER = os.environ.get("DENOISERT_OLDEST_TRITON")


@pytest.fixture(scope="session")
def oldest_triton(tmp_path_factory):
    """A folder with the oldest Triton; it unpacks to 641 MB, so it is deleted afterwards."""
    if OLDEST_FOLDER:
        yield Path(OLDEST_FOLDER)
        return
    with tempfile.TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
        command = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        wanted = ["--target", folder, f"triton=={budgets.OLDEST}"]
        run = subprocess.run(
            [sys.executable, *command, *wanted], capture_output=True, text=True, check=False
        )
        if run.returncode:
            pytest.skip(
                f"triton {budgets.OLDEST} cannot be had from the package index: {run.stderr[-300:]}"
            )
        yield Path(folder)
