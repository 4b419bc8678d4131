"""T5's sentinels, `<extra_id_0>` and so on, and what else a folder lists as special.

Two keys of two files may list them; the newer one counts, and where nothing does, the class adds
its own. A list that is empty is a list: then those texts are divided like any other.

Source: transformers 5.23, models/t5/tokenization_t5.py and tokenization_utils_base.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from denoisert.export.sources.diffusers.foreign import shown
from denoisert.runtime.errors import ExportError

EXTRA: Final = "extra_special_tokens"
ADDITIONAL: Final = "additional_special_tokens"
LISTS: Final = (ADDITIONAL, EXTRA)
COUNT: Final = "extra_ids"
DEFAULT_COUNT: Final = 100
MOST: Final = 1000
MARK: Final = "<extra_id_"


def read_count(config: Mapping[str, Any]) -> int:
    """How many sentinels a tokenizer_config.json asks for.

    Raises:
        ExportError: it is no number, or an absurd one.
    """
    count = config.get(COUNT, DEFAULT_COUNT)
    if type(count) is not int or not 0 <= count <= MOST:
        raise ExportError(f"{COUNT} is {shown(count)}; it must be 0 to {MOST}, usually 100.")
    return count


def sentinels(count: int) -> tuple[str, ...]:
    """The first texts of their kind, from 0."""
    return tuple(f"{MARK}{number}>" for number in range(count))


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Which further tokens are special.

    Args:
        count: of the class's own.
        control: pieces that a sentencepiece file marks, and whether they are special; None where
            there is a tokenizer.json.
    """

    count: int
    control: tuple[tuple[str, bool], ...] | None = None

    def of(self, config: Mapping[str, Any], older: Mapping[str, Any]) -> list[object]:
        """Tokens, as texts or objects, in the order in which they are added.

        Args:
            config: tokenizer_config.json.
            older: special_tokens_map.json, where it counts.

        Raises:
            ExportError: a list that is none, or one with another number of sentinels.
        """
        if config.get(EXTRA) or EXTRA in older:
            return [*_list(config, EXTRA), *_list(older, EXTRA)]
        for key in LISTS:
            if key in config:
                return _list(config, key)
        return self._own(older)

    def _own(self, older: Mapping[str, Any]) -> list[object]:
        given = _list(older, ADDITIONAL) if ADDITIONAL in older else []
        if self.control is not None:
            flags = {"normalized": False}
            given = [{"content": text, "special": s} | flags for text, s in self.control]
        own = [value for value in given if MARK in _text(value)]
        if not own:
            return [*given, *sentinels(self.count)]
        if self.count not in (0, len(own)):
            raise ExportError(
                f"the folder lists {len(own)} tokens {MARK}n> and {COUNT} is {self.count}. Correct "
                "one of them."
            )
        return given


def _text(value: object) -> str:
    return str(value.get("content")) if isinstance(value, dict) else str(value)


def _list(where: Mapping[str, Any], key: str) -> list[object]:
    found = where.get(key)
    if found is not None and not isinstance(found, list):
        raise ExportError(f"{key} is {shown(found)}; further special tokens stand in a list.")
    return list(found or [])
