"""What a test knows of one family: how its folder is made, and how diffusers runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from denoisert.runtime import CFG, Request, Start, Unguided
from tests.export.families.oracles import (
    class_to_image,
    image_to_image,
    inpaint,
    pixels,
    text_to_image,
)

SIZES = ((32, 32), (48, 32))
SQUARES = ((32, 32), (48, 48))
STEPS = 8
STRENGTH = 0.75


@dataclass(frozen=True)
class Family:
    """One family.

    Args:
        make: a pipeline of diffusers with random weights.
        pictures: the oracle, `pictures(folder, request, **arguments)`.
        told: two conditions that a request can ask for.
        sizes: two sizes in pixels, (height, width).
        guidances: without, and with where there is any.
        begin: size -> what a run starts from; nothing but noise by default.
    """

    make: Callable
    pictures: Callable = text_to_image
    told: tuple = ("red apple", "a smiling face")
    sizes: tuple = SIZES
    guidances: tuple = (Unguided(), CFG(4.0))
    begin: Callable = lambda size: None

    def request(self, told=0, size=0, guidance=0, **fields):
        """A request for two pictures in 8 steps, each argument the number of a choice."""
        side = self.sizes[size]
        asked = {
            "seed": 3,
            "images": 2,
            "size": side,
            "steps": STEPS,
            "guidance": self.guidances[guidance],
            "start": self.begin(side),
        }
        return Request(self.told[told], **asked | fields)


def picture(size):
    """(height, width, 3) uint8, of no meaning."""
    return np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)


def mask(size):
    """(height, width) uint8: what lies right of the middle is to be made anew."""
    made = np.zeros(size, np.uint8)
    made[size[0] // 4 :, size[1] // 2 :] = 255
    return made


def started(size):
    """A start from a picture of a size."""
    return Start(picture(size), STRENGTH)


def masked(folder, request, **arguments):
    """`inpaint` with the mask of a request's size."""
    return inpaint(folder, request, mask(request.size), **arguments)


text_family = Family
class_family = partial(Family, pictures=class_to_image, told=(0, 2), sizes=SQUARES)
pixel_family = partial(Family, pictures=pixels, told=(None,), guidances=(Unguided(),))
picture_family = partial(Family, pictures=image_to_image, begin=started)
mask_family = partial(Family, pictures=masked, begin=started)
