"""One process, one picture: python -m bench.runtime.first_picture PROVIDER BUNDLE THREADS.

Each provider imports only what it needs, so this file imports nothing of them at its top.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

LABEL = 3
STEPS = 25


def ours(bundle: Path, threads: int) -> object:
    """From a bundle."""
    from denoisert.runtime import Euler, Request, Runtime

    with Runtime.open(bundle, threads=threads) as runtime:
        return runtime.generate(Request(LABEL, steps=STEPS, solver=Euler())).images[0]


def plain_torch(bundle: Path, threads: int) -> object:
    """From the weights, with a loop written by hand."""
    del bundle
    from bench.runtime.torch_loop import load, noise, sample

    return _picture(sample(load(threads), noise(1), [LABEL], STEPS))


def diffusers(bundle: Path, threads: int) -> object:
    """From the weights, with diffusers' scheduler in the loop."""
    del bundle
    from bench.runtime.diffusers_loop import sample
    from bench.runtime.torch_loop import load, noise

    return _picture(sample(load(threads), noise(1), [LABEL], STEPS))


def _picture(values: object) -> object:
    import numpy as np
    from PIL.Image import fromarray

    unit = (np.asarray(values)[0, 0] + 1.0) / 2.0
    return fromarray(np.rint(unit.clip(0.0, 1.0) * 255.0).astype(np.uint8))


PROVIDERS: dict[str, Callable[[Path, int], object]] = {
    "denoisert": ours,
    "torch": plain_torch,
    "diffusers": diffusers,
}


def main() -> None:
    """Make the picture."""
    name, bundle, threads = sys.argv[1:]
    PROVIDERS[name](Path(bundle), int(threads))


if __name__ == "__main__":
    main()
