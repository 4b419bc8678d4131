"""The numbers that a network is told about a picture: its size, the crop it was, how good it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from denoisert.runtime.errors import InvalidInput


class Quantity(Enum):
    """What a number says; its value is the name by which a request overrides it.

    Heights, widths and crops are in pixels; RATIO is height / width.
    """

    ORIGINAL_HEIGHT = "original_height"
    ORIGINAL_WIDTH = "original_width"
    CROP_TOP = "crop_top"
    CROP_LEFT = "crop_left"
    TARGET_HEIGHT = "target_height"
    TARGET_WIDTH = "target_width"
    HEIGHT = "height"
    WIDTH = "width"
    RATIO = "ratio"
    SCORE = "score"


HEIGHTS = (Quantity.ORIGINAL_HEIGHT, Quantity.TARGET_HEIGHT, Quantity.HEIGHT)
WIDTHS = (Quantity.ORIGINAL_WIDTH, Quantity.TARGET_WIDTH, Quantity.WIDTH)
CROPS = (Quantity.CROP_TOP, Quantity.CROP_LEFT)


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of an input that is fed from sizes.

    Args:
        quantity: what it says.
        value: what it is unless a request says otherwise; None follows from the size asked for.
        uncond: what the uncond branch is told instead; None means the same as the other.

    Raises:
        InvalidInput: a score without a value, for it follows from no size.
    """

    quantity: Quantity
    value: float | None = None
    uncond: float | None = None

    def __post_init__(self) -> None:
        if self.quantity is Quantity.SCORE and self.value is None:
            raise InvalidInput("a score follows from no size; give the measure a value.")

    def of(self, height: int, width: int) -> float:
        """The number for a picture of a size in pixels, where nobody says another."""
        if self.value is not None:
            return self.value
        if self.quantity in CROPS:
            return 0.0
        if self.quantity is Quantity.RATIO:
            return height / width
        return float(height if self.quantity in HEIGHTS else width)
