"""Strict JSON: text to plain values and back, with one canonical form.

Python's parser accepts duplicate keys, NaN and numbers that overflow; a signed description of
executable files must not. A room of its own because manifest, card and weight headers share the
same rules.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from denoisert.runtime.errors import InvalidInput

Plain = Any  # what JSON holds, or the value that it stands for
MAX_BYTES = 16 * 2**20
MAX_DEPTH = 32
# Possessive, and a string may lack its end: linear in the text, whatever it holds.
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def parse(text: bytes, name: str, max_bytes: int = MAX_BYTES) -> Plain:
    """Plain values of a JSON text.

    Args:
        text: UTF-8.
        name: what the text is called in errors.
        max_bytes: longest text that is looked at.

    Raises:
        InvalidInput: too long, too deep, not UTF-8, not JSON, a key twice, or a number that is not
            finite.
    """
    if len(text) > max_bytes:
        raise InvalidInput(f"{name} has {len(text)} bytes; at most {max_bytes} are read.")
    _check_depth(text, name)
    try:
        return json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} is not valid JSON: {error}.") from error


def canonical(value: Plain) -> bytes:
    """The one JSON form of plain values: sorted keys, no whitespace, UTF-8, finite numbers.

    Raises:
        InvalidInput: a value that JSON cannot hold.
    """
    try:
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return text.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"JSON cannot hold this value: {error}.") from error


def _check_depth(text: bytes, name: str) -> None:
    depth = 0
    for token in _TOKENS.finditer(text):
        if token.group() in b"[{":
            depth += 1
        elif token.group() in b"]}":
            depth -= 1
        if depth > MAX_DEPTH:
            raise InvalidInput(f"{name} is nested deeper than {MAX_DEPTH} levels.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise InvalidInput(f"key {twice!r} stands there twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidInput(f"{text} is not a finite number")
    return value
