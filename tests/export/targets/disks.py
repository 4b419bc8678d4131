"""A disk that takes no larger files, really."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def largest_file(count: int) -> Iterator[None]:
    """For this process and those that it starts meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
