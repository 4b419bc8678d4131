"""Pages of externals: brought once where pictures of one request read the same array."""

import numpy as np
import pytest

from denoisert.runtime.loop.tick import tick
from tests.runtime.devices.torch.pointwise import SMALL
from tests.runtime.devices.torch_places import assert_same, torch_alone, torch_pool
from tests.runtime.samplers import wide_table
from tests.runtime.spies import finish, work

TABLE = wide_table(4, 4, ("light",), 1)
SIZE = int(TABLE.external_index.max()) + 1, SMALL.elements


def array(seed, *, is_written=False):
    values = np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32)
    values.setflags(write=is_written)
    return values


def addresses(pool):
    """Of the pages that every slot reads."""
    return [pages[0].pages.data_ptr() for pages in pool.memory._pages._externals]


@pytest.mark.parametrize(("is_written", "count"), [(False, 1), (True, 3)])
def test_only_an_array_that_nobody_writes_is_shared(steady, kernel_device, is_written, count):
    values = array(1, is_written=is_written)
    works = [
        work(TABLE, (1, 2), seed=5, image=image, externals={"light": values}) for image in range(3)
    ]
    pool = torch_pool(steady, kernel_device, slots=3)
    numbers = [pool.submit(each) for each in works]
    tick(pool)
    assert len(set(addresses(pool))) == count
    finish(pool)
    for number, each in zip(numbers, works, strict=True):
        assert_same(pool.take(number), torch_alone(steady, each, kernel_device))


def test_equal_and_later_arrays_have_pages_of_their_own(steady, kernel_device):
    """An array that is gone leaves nothing behind for the one that comes after it."""
    pool = torch_pool(steady, kernel_device, slots=2)
    for seed in range(4):
        pair = [array(seed), array(seed)]
        works = [work(TABLE, (1, 2), seed=seed, externals={"light": one}) for one in pair]
        numbers = [pool.submit(each) for each in works]
        tick(pool)
        assert len(set(addresses(pool))) == 2
        finish(pool)
        for number, each in zip(numbers, works, strict=True):
            assert_same(pool.take(number), torch_alone(steady, each, kernel_device))
        del pair, works, each
