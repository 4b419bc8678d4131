"""What an engine answers to some inputs, asked in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from denoisert.export.random_inputs import Arrays
from denoisert.export.targets.arrays import read_arrays, write_arrays
from denoisert.export.targets.process import ending
from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.bundle.typed import encode
from denoisert.runtime.errors import BuildError, EngineError

MODULE: Final = "denoisert.export.targets.trial"
TAIL: Final = 2000


def answers(
    root: Path, entry: GraphEntry, key: str, calls: Sequence[tuple[Arrays, Mapping[str, int]]]
) -> tuple[Arrays, ...]:
    """Load an engine as the runtime does, and run it.

    Args:
        root: folder of a bundle or draft.
        entry: what the manifest says about the engine.
        key: of its target.
        calls: inputs of each, port name -> array, and the lengths of the graph's named axes.

    Returns:
        Outputs of each call.

    Raises:
        EngineError: it cannot be loaded or run, or its process crashed.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for number, (arrays, _) in enumerate(calls):
            write_arrays(folder / f"{number}.npz", arrays)
        asked = {
            "root": str(root),
            "entry": encode(GraphEntry, entry, {}),
            "key": key,
            "folder": place,
            "sizes": [dict(sizes) for _, sizes in calls],
            "parent": os.getpid(),
        }
        command = [sys.executable, "-P", "-m", MODULE]
        done = subprocess.run(
            command, input=json.dumps(asked), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise _failure(entry.path, done)
        return tuple(read_arrays(folder / f"{number}.out.npz") for number in range(len(calls)))


def _failure(path: str, done: subprocess.CompletedProcess[str]) -> EngineError:
    if done.stdout:
        told = json.loads(done.stdout)
        return EngineError(f"{path} does not run here. {told['kind']}: {told['message']}")
    return BuildError(
        f"{path} could not be tried: its process {ending(done.returncode)}. It said: "
        f"{' '.join(done.stderr[-TAIL:].split()) or 'nothing'}"
    )
