"""What a run starts from, checked against card and layout: a latent, a picture, a part of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import Source
from denoisert.runtime.bundle.sizes import pixel_size
from denoisert.runtime.codec.coder import Coder
from denoisert.runtime.codec.encoder import start_picture
from denoisert.runtime.codec.mask import latent_mask, mask_pages, read_mask
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import StateLayout
from denoisert.runtime.request import Start
from denoisert.runtime.values import converted, numbers

if TYPE_CHECKING:
    from denoisert.runtime.codec.pictures import PictureSource

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """A picture for the image encoder.

    Args:
        pixels: uint8 (H, W, channels).
        painted: (H, W), true where it is painted anew; None where it has no mask.
    """

    pixels: NDArray[np.uint8]
    painted: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """The start of a request.

    A network that is shown a mask paints all of the picture where the request has none.

    Args:
        latent: (1, elements), or one row a picture; None for noise or a picture.
        canvas: the picture, or None.
        mask: (h, w) of the latent, 1 where it is painted anew, or None.
        buffers: name -> array that a solver may read, those of the mask among them.
    """

    latent: Array | None = None
    canvas: Canvas | None = None
    mask: NDArray[np.float32] | None = None
    buffers: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def of(cls, start: Start | None, card: Card, layout: StateLayout, images: int = 1) -> Origin:
        """The start at one of the card's layouts.

        Args:
            start: of a request, or None.
            card: of the model.
            layout: which of its layouts the request has.
            images: pictures of the request; a latent is that of all of them, or one for each.

        Raises:
            InvalidInput: a picture for a bundle without image encoder, or a picture, latent or mask
                of another size.
        """
        painted = _painted(start, card, layout)
        picture = _picture(start, painted, card, layout)
        canvas = None if picture is None else Canvas(start_picture(picture, card, layout), painted)
        given = None if start is None or canvas is not None else start.latent
        latent = None if given is None else _latent(given, layout, images)
        buffers = {} if start is None else dict(start.buffers)
        if painted is None:
            return cls(latent, canvas, None, buffers)
        _, height, width = layout.parts[0].shape
        mask = latent_mask(painted, (height, width))
        return cls(latent, canvas, mask, buffers | mask_pages(mask, layout))

    def read(self, names: tuple[str, ...]) -> dict[str, Array]:
        """The buffers of these names."""
        return {name: value for name, value in self.buffers.items() if name in names}


def _painted(start: Start | None, card: Card, layout: StateLayout) -> NDArray[np.bool_] | None:
    """The mask, in the picture's pixels; that of a latent may have the latent's size."""
    size, shape = pixel_size(card, layout), layout.parts[0].shape
    if start is None or start.mask is None:
        return _everything(start, card, size)
    if size is None or len(shape) != 3:
        raise InvalidInput(
            f"a mask for a state of shape {shape}, which is no picture. Leave the mask out."
        )
    own = () if start.picture is not None else ((shape[1], shape[2]),)
    return read_mask(start.mask, tuple(dict.fromkeys((size, *own))))


def _everything(
    start: Start | None, card: Card, size: tuple[int, int] | None
) -> NDArray[np.bool_] | None:
    """The mask of a request without one, for a network that is shown masks; else None."""
    is_shown = any(entry.source is Source.MASK for entry in card.conditions)
    return np.ones(size, bool) if size and is_shown and not _has_array(start) else None


def _picture(
    start: Start | None, painted: NDArray[np.bool_] | None, card: Card, layout: StateLayout
) -> PictureSource | None:
    """The picture, or a blank one where all of it is painted anew."""
    if start is not None and start.picture is not None:
        return start.picture
    if painted is None or _has_array(start):
        return None
    return np.zeros(Coder.of(card, layout).picture_shape, np.uint8)


def _has_array(start: Start | None) -> bool:
    """Whether a start gives a latent as numbers."""
    return start is not None and start.latent is not None and start.picture is None


def _latent(value: object, layout: StateLayout, images: int) -> Array:
    """The latent to start from, (1, elements), or that of every picture, (images, elements)."""
    latent = numbers(value, "the start latent")
    shapes = [part.shape for part in layout.parts]
    one = ((layout.elements,), *(shapes if len(shapes) == 1 else ()))
    if latent.shape not in (*one, *((images, *shape) for shape in one)):
        raise InvalidInput(
            f"the start latent has shape {latent.shape}; the state is {shapes}. Pass that shape, "
            f"or its {layout.elements} numbers flat, part after part; or {images} of either, one "
            "for each picture of the request."
        )
    return converted(latent, "float32", "the start latent").reshape(-1, layout.elements)
