"""python -m denoisert.export.targets.trial: an engine's answers, in a process that may crash.

What is asked comes as JSON on standard input: the folder of the bundle, what the manifest says
about the engine, its target, and a folder with the inputs as `<number>.npz`; answers go beside them
as `<number>.out.npz`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

from denoisert.export.random_inputs import Arrays
from denoisert.export.targets.arrays import read_arrays, write_arrays
from denoisert.export.targets.parent import follow
from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.bundle.typed import decode
from denoisert.runtime.engines.engine import Engine
from denoisert.runtime.engines.loading import open_engine
from denoisert.runtime.engines.target import target_of_key
from denoisert.runtime.errors import DenoiseRTError


def main() -> int:
    """Answer what standard input asks."""
    news = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.read())
    follow(asked["parent"])
    entry: GraphEntry = decode(GraphEntry, asked["entry"], "entry", {})
    target, folder = target_of_key(asked["key"]), Path(asked["folder"])
    try:
        if target is None:
            raise ValueError(f"no target has the key {asked['key']!r}")
        threads = len(os.sched_getaffinity(0))
        engine = open_engine(Path(asked["root"]), entry, target, threads)
        for number, sizes in enumerate(asked["sizes"]):
            answers = evaluate(engine.at(sizes), read_arrays(folder / f"{number}.npz"))
            write_arrays(folder / f"{number}.out.npz", answers)
    except DenoiseRTError as error:
        told = {"kind": type(error).__name__, "message": str(error)}
        news.write(f"{json.dumps(told)}\n")
        return 1
    return 0


def evaluate(engine: Engine, inputs: Arrays) -> Arrays:
    """One call of an engine.

    Args:
        engine: with no axis open but the lanes.
        inputs: port name -> array; a first dimension is the lanes.

    Returns:
        Output name -> array.
    """
    lanes = max(len(inputs[port.name]) for port in engine.inputs if port.dims)
    buffers = {name: np.asarray(array, order="C") for name, array in inputs.items()}
    outputs = {port.name: port.buffer(lanes) for port in engine.outputs}
    engine.bind(lanes, buffers | outputs).run()
    return outputs


if __name__ == "__main__":
    os._exit(main())  # libraries crash and hang when they are taken apart
