"""python -m denoisert.export.targets.trial: an engine's answers, in a process that may crash.

What is asked comes as JSON on standard input: the folder of the bundle, what the manifest says
about the engine, its target, and a folder with the inputs as `<number>.npz`; answers go beside them
as `<number>.out.npz`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from denoisert.export.random_inputs import Arrays
from denoisert.export.targets.arrays import read_arrays, write_arrays
from denoisert.export.targets.parent import follow
from denoisert.runtime.bundle.manifest import GraphEntry
from denoisert.runtime.bundle.typed import decode
from denoisert.runtime.engines.engine import Engine, Port
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
        for number in range(asked["count"]):
            answers = evaluate(engine, read_arrays(folder / f"{number}.npz"))
            write_arrays(folder / f"{number}.out.npz", answers)
    except DenoiseRTError as error:
        told = {"kind": type(error).__name__, "message": str(error)}
        news.write(f"{json.dumps(told)}\n")
        return 1
    return 0


def evaluate(engine: Engine, inputs: Arrays) -> Arrays:
    """One call of an engine.

    Args:
        engine: at any sizes.
        inputs: port name -> array; a first dimension is the lanes.

    Returns:
        Output name -> array.
    """
    sized = engine.at(_lengths(engine.inputs, inputs))
    lanes = max(len(inputs[port.name]) for port in sized.inputs if port.dims)
    buffers = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
    outputs = {port.name: port.buffer(lanes) for port in sized.outputs}
    sized.bind(lanes, buffers | outputs).run()
    return outputs


def _lengths(ports: Sequence[Port], inputs: Arrays) -> Mapping[str, int]:
    """The named axes of the inputs, but for the lanes."""
    return {
        name: length
        for port in ports
        for name, length in zip(port.dims[1:], inputs[port.name].shape[1:], strict=True)
        if isinstance(name, str)
    }


if __name__ == "__main__":
    os._exit(main())  # libraries crash and hang when they are taken apart
