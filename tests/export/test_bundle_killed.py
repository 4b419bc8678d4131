"""Writers that die or meet: there is always one whole bundle, and nothing is left behind."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mode", ["random", "sync", "together"])
def test_the_bundle_survives(tmp_path: Path, mode: str) -> None:
    """`random`: killed at 20 moments; `sync`: before every fsync; `together`: two at once."""
    command = [sys.executable, "-m", "tests.export.bundle_writers", mode, str(tmp_path), "17"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
