"""Whether another process is alive, which id it has, and when it is dead."""

import time
from pathlib import Path

from tests.export.targets.compiler import WAIT_S


def is_alive(number: int) -> bool:
    """Whether a process runs; one that nobody has asked for its status yet does not."""
    try:
        status = Path(f"/proc/{number}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def wait_for(path: Path) -> int:
    """The process id in a file that another process writes."""
    end = time.monotonic() + WAIT_S
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.01)
    return int(path.read_text(encoding="utf-8"))


def wait_until_dead(number: int) -> None:
    end = time.monotonic() + WAIT_S
    while is_alive(number):
        assert time.monotonic() < end, f"{number} lives"
        time.sleep(0.01)
