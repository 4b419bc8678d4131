"""The options of a picture to start from, and of the part of it that is painted anew."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from denoisert.runtime.errors import InvalidInput

if TYPE_CHECKING:
    from denoisert.runtime.bundle.card import Card
    from denoisert.runtime.request import Start


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --init-image, --mask and --strength."""
    parser.add_argument(
        "--init-image", type=Path, metavar="FILE", help="start from this picture instead of noise"
    )
    parser.add_argument(
        "--mask",
        type=Path,
        metavar="FILE",
        help="paint --init-image anew where this picture is white, and keep it where it is black",
    )
    parser.add_argument(
        "--strength",
        type=float,
        metavar="S",
        help="share of the steps that run from --init-image, 0 to 1; default 0.5, with --mask 1",
    )


def start(args: argparse.Namespace) -> Start | None:
    """What the options say a run starts from.

    Args:
        args: with init_image, mask and strength.

    Raises:
        InvalidInput: a mask or a strength without a picture, or a file that cannot be read.
    """
    if args.init_image is None:
        given = [name for name in ("mask", "strength") if getattr(args, name) is not None]
        if given:
            raise InvalidInput(f"--{given[0]} needs --init-image FILE to start from.")
        return None
    from denoisert.runtime.codec.pictures import load_picture
    from denoisert.runtime.request import Start

    mask = None
    if args.mask is not None:
        from PIL.Image import fromarray

        mask = fromarray(load_picture(args.mask))
    return Start(load_picture(args.init_image), args.strength, mask=mask)


def size(start: Start | None, card: Card) -> tuple[int, int] | None:
    """(height, width) of the picture to start from, where the card has that size; else None.

    Args:
        start: what `start` has read.
        card: of the model.
    """
    import numpy as np

    from denoisert.runtime.bundle.sizes import pixel_size

    if start is None or start.picture is None:
        return None
    height, width = np.asarray(start.picture).shape[:2]
    known = [pixel_size(card, layout) for layout in card.layouts]
    return (height, width) if (height, width) in known else None
