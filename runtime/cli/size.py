"""Sizes on the command line: height, then width."""

from __future__ import annotations

import argparse


def read_size(text: str) -> tuple[int, int]:
    """(height, width) as in 512x768; one number means both.

    Args:
        text: as it was typed.

    Raises:
        argparse.ArgumentTypeError: anything else than one or two whole numbers.
    """
    pieces = text.split("x")
    if len(pieces) > 2 or not all(piece.isascii() and piece.isdecimal() for piece in pieces):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 512x768 or 512")
    return int(pieces[0]), int(pieces[-1])
