"""Requests of two sizes, a bundle that takes both, and what each of them is in one of its own."""

import numpy as np

from denoisert.runtime import CFG, Request
from tests.runtime.coders import FACTOR
from tests.runtime.sized import SIZES, coder, sized_card

TILE = (6, 8)
"""Both latents, 6 x 4 and 4 x 8, fit into it."""

PIXELS = tuple((height * FACTOR, width * FACTOR) for height, width in SIZES)
READOUT = tuple((0.1 * row, 0.2, -0.1, 0.3, 0.0) for row in range(3))
MANY = [
    Request(1, seed=3, size=PIXELS[0], guidance=CFG(2.0)),
    Request(4, seed=3, size=PIXELS[1], images=3, steps=7),
    Request(2, seed=9, size=PIXELS[1], guidance=CFG(3.0)),
    Request(5, seed=1, size=PIXELS[0], images=2, steps=3),
    Request(6, seed=2, steps=4),
]


def card(*sizes, tile=TILE):
    """A painter's card with previews."""
    return sized_card(*sizes, coder=coder(tile, readout=READOUT))


def same(found, wanted):
    """Whether two results are equal, bit for bit."""
    return (
        np.array_equal(found.flat, wanted.flat)
        and np.array_equal(found.pixels, wanted.pixels)
        and found.layout == wanted.layout
        and np.isfinite(found.flat).all()
    )


def shape_of(seen):
    """A spy's hook that notes the latents of every run."""
    return lambda buffers: seen.append(buffers["latent"].shape)
