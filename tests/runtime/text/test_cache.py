"""Encoded prompts are kept by bytes, the oldest go first."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.text.cache import PromptCache
from denoisert.runtime.text.tokenizer import Prompt

SIZE = 40  # bytes of `values`


def prompt(number: int) -> Prompt:
    return Prompt("text_encoder", (1, number, 2), 3)


def values(number: int) -> dict[str, np.ndarray]:
    return {"h": np.full(8, number, np.float32), "pool": np.full(1, number, np.float64)}


def test_what_was_put_is_got_and_counted() -> None:
    cache = PromptCache()
    assert cache.get(prompt(1)) is None
    cache.put(prompt(1), values(1))
    found = cache.get(prompt(1))
    assert found is not None
    np.testing.assert_array_equal(found["h"], values(1)["h"])
    assert found["pool"].dtype == np.float64
    assert (cache.hits, cache.misses, cache.used_bytes, len(cache)) == (1, 1, SIZE, 1)


def test_kept_values_can_be_changed_by_nobody() -> None:
    cache, own = PromptCache(), values(1)
    kept = cache.put(prompt(1), own)
    own["h"][:] = 9.0
    assert kept["h"][0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        kept["h"][0] = 2.0
    with pytest.raises(TypeError):
        kept["h"] = own["h"]  # type: ignore[index]


def test_the_one_used_longest_ago_goes_first() -> None:
    cache = PromptCache(3 * SIZE)
    for number in (1, 2, 3):
        cache.put(prompt(number), values(number))
    assert cache.get(prompt(1)) is not None
    cache.put(prompt(4), values(4))
    assert cache.get(prompt(2)) is None
    assert [cache.get(prompt(n)) is not None for n in (1, 3, 4)] == [True] * 3
    assert cache.used_bytes == 3 * SIZE


def test_a_prompt_put_twice_counts_once() -> None:
    cache = PromptCache(3 * SIZE)
    for number in (5, 6):
        cache.put(prompt(1), values(number))
    assert cache.used_bytes == SIZE
    found = cache.get(prompt(1))
    assert found is not None
    assert found["h"][0] == 6.0


def test_several_prompts_are_found_together_or_not_at_all() -> None:
    cache = PromptCache(3 * SIZE)
    for number in (1, 2, 3):
        cache.put(prompt(number), values(number))
    assert cache.find([prompt(1), prompt(9)]) is None
    assert (cache.hits, cache.misses) == (0, 0)
    found = cache.find([prompt(1), prompt(2), prompt(1)])
    assert found is not None
    assert [found[prompt(n)]["h"][0] for n in (1, 2)] == [1.0, 2.0]
    assert (cache.hits, cache.misses) == (2, 0)
    cache.put(prompt(4), values(4))
    assert cache.find([prompt(3)]) is None  # the one used longest ago
    assert cache.find([]) == {}


@pytest.mark.parametrize("capacity", [0, SIZE - 1])
def test_what_is_larger_than_the_cache_is_returned_and_not_kept(capacity: int) -> None:
    cache = PromptCache(capacity)
    assert cache.put(prompt(1), values(1))["h"][0] == 1.0
    assert (len(cache), cache.used_bytes) == (0, 0)
    assert cache.get(prompt(1)) is None


def test_a_large_prompt_does_not_empty_the_cache() -> None:
    cache = PromptCache(2 * SIZE)
    cache.put(prompt(1), values(1))
    cache.put(prompt(2), {"h": np.zeros(1000, np.float32)})
    assert cache.get(prompt(1)) is not None


def test_a_negative_capacity_is_refused() -> None:
    with pytest.raises(InvalidInput, match="-1 bytes"):
        PromptCache(-1)


def test_threads_share_a_cache() -> None:
    cache = PromptCache(10 * SIZE)
    wrong: list[int] = []

    def use(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for number in rng.integers(0, 30, 500).tolist():
            found = cache.get(prompt(number)) or cache.put(prompt(number), values(number))
            if found["h"][0] != number:
                wrong.append(number)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.hits + cache.misses == 4 * 500
    assert cache.used_bytes == SIZE * len(cache) <= 10 * SIZE
