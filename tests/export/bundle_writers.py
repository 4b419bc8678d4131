"""Processes that write bundles and are killed; run by test_bundle_killed.py in a clean process.

`python -m tests.export.bundle_writers MODE FOLDER SEED` exits with 0 if everything held.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from denoisert.runtime.bundle.open import Bundle
from tests.export.tiny_bundle import version_at, write

ROUNDS = 20
CHILD_WRITES = 8


def fork(work: Callable[[], object]) -> int:
    """Run `work` in a child process; its exit status is 0 if nothing was raised."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def write_forever(out: Path) -> None:
    version = 0
    while True:
        version += 1
        write(out, version)


def check_after(out: Path, version: int) -> None:
    """The old bundle is whole, the next write succeeds, and nothing else is left."""
    if out.exists():
        version_at(out)
    write(out, version)
    assert version_at(out) == version
    assert os.listdir(out.parent) == [out.name], os.listdir(out.parent)


def kill_at_random(out: Path, generator: random.Random) -> None:
    write(out, 1000)
    leftovers = 0
    for turn in range(ROUNDS):
        child = fork(lambda: write_forever(out))
        time.sleep(generator.uniform(0.0, 0.06))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        leftovers += len(os.listdir(out.parent)) > 1
        check_after(out, 1001 + turn)
    assert leftovers > 0, "no kill fell into a write"


def kill_before_sync(out: Path, number: int) -> None:
    """Write one bundle, but die at the sync with this number."""
    sync, left = os.fsync, [number]

    def dying(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        sync(descriptor)

    os.fsync = dying
    write(out, 2)


def kill_at_every_sync(out: Path, _: random.Random) -> None:
    """Until the one after the exchange the old bundle is there; then the new one."""
    found = []
    for number in range(100):
        write(out, 1)
        child = fork(lambda number=number: kill_before_sync(out, number))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found.append(version_at(out))
        check_after(out, 3)
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert found[0] == 1
    assert found[-2:] == [2, 2]
    assert found == sorted(found)
    assert len(found) > 10


def write_at_once(out: Path, generator: random.Random) -> None:
    """Two writers and a reader that never sees half a bundle."""
    write(out, 0)

    def work(first: int) -> None:
        for version in range(first, first + CHILD_WRITES):
            write(out, version)
            time.sleep(generator.uniform(0.0, 0.005))

    running = {fork(lambda: work(100)), fork(lambda: work(200))}
    statuses = []
    while running:
        Bundle.open(out)
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            running.remove(child)
            statuses.append(status)
    assert statuses == [0, 0]
    assert version_at(out) in (99 + CHILD_WRITES, 199 + CHILD_WRITES)
    assert os.listdir(out.parent) == [out.name]


def main() -> None:
    mode, folder, seed = sys.argv[1:]
    modes = {
        "random": kill_at_random,
        "sync": kill_at_every_sync,
        "together": write_at_once,
    }
    modes[mode](Path(folder) / "tiny.bundle", random.Random(int(seed)))


if __name__ == "__main__":
    main()
