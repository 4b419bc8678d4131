"""A process whose addresses are fixed sees the same ones in every run."""

import ctypes
import subprocess
import sys

import pytest

from denoisert.export.targets.addresses import ASK, FIXED

CODE = """
import ctypes, os
from denoisert.export.targets.addresses import fix_addresses
fix_addresses()
libc = ctypes.CDLL(None)
print(ctypes.cast(libc.malloc, ctypes.c_void_p).value, id(libc.__class__), os.getppid())
"""


def addresses() -> str:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    return done.stdout


def is_allowed() -> bool:
    """Whether this system lets a process fix its addresses; asked in a child."""
    code = f"import ctypes; print(ctypes.CDLL(None).personality({FIXED}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip() != "-1"


def test_addresses_are_the_same_in_every_process() -> None:
    if not is_allowed():
        pytest.skip("wants a system that lets a process fix its addresses")
    assert len({addresses() for _ in range(3)}) == 1


def test_the_process_of_the_tests_keeps_its_own() -> None:
    before = ctypes.CDLL(None).personality(ASK)
    addresses()
    assert ctypes.CDLL(None).personality(ASK) == before
