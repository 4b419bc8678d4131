"""The bond of a child process to the one that started it: it does not outlive it."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

PR_SET_PDEATHSIG: Final = 1
"""From linux/prctl.h."""


def follow(parent: int) -> None:
    """Have the kernel kill this process when the parent ends, however it ends.

    Args:
        parent: process id of the one that started it.

    Raises:
        SystemExit: the parent has ended already.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit("the process that asked has ended.")
