"""sentencepiece's compiled normaliser: is it whole, before a library trusts it.

Four bytes with the size of a double array, the array, then the texts that replace what is found.
A node has a place; its child for the byte c is the unit at place ^ c, if that unit's label is c; a
unit leads to the place of its own node and may have a leaf there, which says where its text begins.
The Rust library follows all that without looking, and ends the program in the middle of a prompt.

Source: google/sentencepiece, src/normalizer.cc; s-yata/darts-clone, darts.h.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import ExportError

NODES_AT_ONCE: Final = 1024
BYTES: Final = np.arange(1, 256)

Places = NDArray[Any]


def check_charsmap(content: bytes) -> None:
    """Follow every path of the double array.

    Args:
        content: as a sentencepiece file has it.

    Raises:
        ExportError: a path leads out of the array or the texts, or the parts have other sizes.
    """
    size = int.from_bytes(content[:4], "little")
    if size % 4 or not size or len(content) < 4 + size:
        raise _broken(content, f"its array of {size} bytes is not there")
    units = np.frombuffer(content[4 : 4 + size], "<u4").astype(np.int64)
    texts = content[4 + size :]
    try:
        texts.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _broken(content, f"its texts are not UTF-8: {error}") from error
    seen = np.zeros(len(units), bool)
    places = _offsets(units[:1])
    while places.size:
        if places.max() >= len(units):
            raise _broken(content, f"a node has place {places.max()} of {len(units)}")
        seen[places] = True
        children = [
            _children(units, places[first : first + NODES_AT_ONCE], texts, content)
            for first in range(0, len(places), NODES_AT_ONCE)
        ]
        found = np.unique(np.concatenate(children))
        places = found[(found >= len(units)) | ~seen[np.minimum(found, len(units) - 1)]]


def _children(units: Places, places: Places, texts: bytes, content: bytes) -> Places:
    """Places of the children of nodes; their leaves are checked on the way."""
    wanted = places[:, None] ^ BYTES
    if wanted.max() >= len(units):
        raise _broken(content, f"a node has a child at {wanted.max()} of {len(units)}")
    is_child = units[wanted] & 0x800000FF == BYTES
    taken = wanted[is_child]
    found = taken ^ _offsets(units[taken])
    leaves = found[(units[taken] >> 8) & 1 == 1]
    if leaves.size and leaves.max() >= len(units):
        raise _broken(content, f"a leaf lies at {leaves.max()} of {len(units)}")
    starts = units[leaves] & 0x7FFFFFFF
    letters = np.frombuffer(texts + b"\0", np.uint8)
    if starts.size and starts.max() >= len(letters):
        raise _broken(content, f"a text begins at {starts.max()} of {len(texts)} bytes")
    if (letters[starts] & 0xC0 == 0x80).any():
        raise _broken(content, "a text begins inside a character")
    return np.asarray(found)


def _offsets(units: Places) -> Places:
    return np.asarray((units >> 10) << ((units & 0x200) >> 6))


def _broken(content: bytes, reason: str) -> ExportError:
    return ExportError(
        f"the tokenizer's compiled normaliser, {len(content)} bytes, is broken: {reason}. Copy the "
        "tokenizer again."
    )
