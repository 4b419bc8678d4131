"""Whether a call of the catalogue exists: an expression over public names, or a command line."""

from __future__ import annotations

import contextlib
import io

import numpy as np

from denoisert import runtime
from denoisert.runtime.cli import main
from denoisert.runtime.sampling import oracle

COMMAND = "denoisert "
GIVEN = {"latent": np.zeros(4)}
"""What a call may name that the caller brings."""


def resolve(call: str) -> object:
    """What a call of the table is: the value of the expression, or the help of the command.

    Raises:
        Exception: it does not exist.
    """
    if call.startswith(COMMAND):
        return _help(call.removeprefix(COMMAND))
    names = {name: getattr(runtime, name) for name in dir(runtime)}
    return eval(call, {"__builtins__": {}, "oracle": oracle, **GIVEN}, names)


def _help(words: str) -> str:
    """The help of the verbs; options that it does not mention are refused."""
    verbs = [word for word in words.split() if word.islower() and word.isalpha()]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*verbs, "--help"])
    text = printed.getvalue()
    missing = [word for word in words.split() if word.startswith("--") and word not in text]
    if missing or not text.startswith(f"usage: denoisert {' '.join(verbs)} "):
        raise ValueError(f"`denoisert {words}` has no {', '.join(missing) or verbs}: {text[:200]}")
    return text
