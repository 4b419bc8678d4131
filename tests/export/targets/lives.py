"""Whether another process is alive, which id it has, and when it is dead."""

import time
from collections.abc import Callable
from pathlib import Path

WAIT_S = 120.0


def is_alive(number: int) -> bool:
    """Whether a process runs; one that nobody has asked for its status yet does not."""
    try:
        status = Path(f"/proc/{number}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def wait_until(is_so: Callable[[], object], what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < end, f"after {WAIT_S} s not yet: {what}"
        time.sleep(0.01)


def wait_for(path: Path) -> int:
    """The process id in a file that another process writes."""
    wait_until(path.exists, f"{path} is there")
    return int(path.read_text(encoding="utf-8"))


def wait_until_dead(number: int) -> None:
    wait_until(lambda: not is_alive(number), f"{number} is dead")
