"""Bytes of open requests and pools against a bound."""

from types import SimpleNamespace

import pytest

from denoisert.runtime.errors import DenoiseRTError, OutOfMemory
from denoisert.runtime.threads.budget import Budget


def job(own, pool, layout="one"):
    return SimpleNamespace(nbytes=own, planned=SimpleNamespace(pool_bytes=pool, layout=layout))


def test_without_a_bound_everything_fits():
    budget = Budget(None, 1)
    for _ in range(100):
        budget.check([job(10**15, 10**15)])
        assert budget.take(job(10**15, 10**15))


def test_what_would_not_fit_alone_is_refused_for_good():
    budget = Budget(1000, 2, fixed=100)
    budget.check([job(100, 400)])
    with pytest.raises(OutOfMemory, match="needs 1001 bytes, the runtime may use 1000") as caught:
        budget.check([job(101, 400)])
    assert isinstance(caught.value, MemoryError)
    assert isinstance(caught.value, DenoiseRTError)


def test_what_does_not_fit_beside_others_waits_until_they_are_gone():
    budget, first, second = Budget(1000, 1, fixed=100), job(400, 200), job(400, 200)
    assert budget.take(first)
    assert not budget.fits(second)
    assert not budget.take(second)
    assert budget.used == 400
    budget.give(first)
    assert budget.take(second)
    budget.give(second)
    assert budget.used == 0


def test_pools_count_once_per_device_and_never_shrink():
    budget = Budget(1000, 2)
    wide = job(10, 300)
    assert budget.take(wide)
    budget.give(wide)
    assert budget.take(job(200, 10))
    assert not budget.take(job(201, 10))  # 2 x 300 stay with the pools
    assert budget.take(job(200, 10))


def test_alone_a_checked_request_always_gets_in():
    """A pool that has grown for an earlier request must not lock out a later one for ever."""
    budget = Budget(1000, 1)
    wide, long = job(100, 900), job(600, 100)
    budget.check([long])
    assert budget.take(wide)
    assert not budget.take(long)
    budget.give(wide)
    assert budget.take(long)


def test_every_size_has_a_pool_that_counts():
    budget = Budget(1000, 2, fixed=100)
    first, second = job(10, 200, "one"), job(10, 240, "other")
    assert budget.take(first)
    assert budget.take(second)  # 100 + 2 x 440 + 20, all that there is
    assert not budget.take(job(1, 200, "one"))
    budget.give(first)
    assert budget.take(job(10, 100, "one"))


def test_what_does_not_fit_beside_the_pools_of_other_sizes_never_will():
    budget = Budget(1000, 1)
    first, second = job(10, 700, "one"), job(10, 400, "other")
    budget.check([second])
    assert budget.take(first)
    with pytest.raises(OutOfMemory, match="needs 1110 bytes with the 700 of the pools of other"):
        budget.check([second])
    assert not budget.fits(second)  # waits, as it would for any other reason
    budget.give(first)
    assert budget.fits(second)
    with pytest.raises(OutOfMemory, match="needs 1110 bytes"):
        budget.take(second)
    assert budget.used == 0
    assert budget.take(job(10, 700, "one"))


def test_requests_of_one_caller_are_refused_together():
    budget = Budget(1000, 1)
    jobs = [job(10, 700, "one"), job(10, 400, "other"), job(10, 800, "one")]
    with pytest.raises(OutOfMemory, match="400 of the pools of other"):
        budget.check(jobs)
    budget.check(jobs[:1] + jobs[2:])
    assert budget.take(job(10, 400, "other"))  # a check alone reserves nothing


def test_pools_made_ahead_are_counted():
    budget = Budget(1000, 2, fixed=100)
    budget.reserve({"one": 100, "other": 200})
    budget.check([job(300, 100, "one")])
    with pytest.raises(OutOfMemory, match="needs 1001 bytes with the 400"):
        budget.check([job(301, 100, "one")])
    with pytest.raises(OutOfMemory, match="all 2 sizes need 1100 bytes"):
        budget.reserve({"one": 300, "other": 50})
    Budget(None, 1).reserve({"one": 10**15})
