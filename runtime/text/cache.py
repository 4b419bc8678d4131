"""Encoded prompts that are kept, because the same words come again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.text.tokenizer import Prompt

Array = NDArray[Any]
Encoded = Mapping[str, Array]
CACHE_BYTES = 64 * 2**20


class PromptCache:
    """The prompts used last, up to a number of bytes of their values; safe between threads.

    `hits` and `misses` count what `get` found and did not find; `used_bytes` is what is kept.

    Args:
        capacity_bytes: most bytes of values; 0 keeps nothing.

    Raises:
        InvalidInput: a negative capacity.
    """

    def __init__(self, capacity_bytes: int = CACHE_BYTES) -> None:
        if capacity_bytes < 0:
            raise InvalidInput(f"a cache of {capacity_bytes} bytes; give 0 or more.")
        self._capacity_bytes = capacity_bytes
        self._entries: OrderedDict[Prompt, Encoded] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0
        self.used_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, prompt: Prompt) -> Encoded | None:
        """The values of a prompt, or None; counted.

        Returns:
            Text encoder output -> values, read-only.
        """
        with self._lock:
            found = self._entries.get(prompt)
            if found is None:
                self.misses += 1
            else:
                self.hits += 1
                self._entries.move_to_end(prompt)
            return found

    def find(self, prompts: Iterable[Prompt]) -> dict[Prompt, Encoded] | None:
        """The values of several prompts, or None and nothing counted when one is missing.

        Returns:
            Prompt -> text encoder output -> values, read-only.
        """
        wanted = dict.fromkeys(prompts)
        with self._lock:
            if not all(prompt in self._entries for prompt in wanted):
                return None
            for prompt in wanted:
                self._entries.move_to_end(prompt)
            self.hits += len(wanted)
            return {prompt: self._entries[prompt] for prompt in wanted}

    def put(self, prompt: Prompt, values: Encoded) -> Encoded:
        """Keep the values of a prompt, if they fit at all, and drop what was used longest ago.

        Args:
            prompt: what was encoded.
            values: text encoder output -> values; copied.

        Returns:
            The same values, read-only, kept or not.
        """
        kept = MappingProxyType({name: _frozen(array) for name, array in values.items()})
        size = _size(kept)
        with self._lock:
            self._drop(prompt)
            if size <= self._capacity_bytes:
                self._entries[prompt] = kept
                self.used_bytes += size
            while self.used_bytes > self._capacity_bytes:
                self._drop(next(iter(self._entries)))
        return kept

    def _drop(self, prompt: Prompt) -> None:
        dropped = self._entries.pop(prompt, None)
        self.used_bytes -= _size(dropped or {})


def _frozen(array: Array) -> Array:
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


def _size(values: Encoded) -> int:
    return sum(array.nbytes for array in values.values())
