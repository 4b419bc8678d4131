"""Whether a call of the catalogue exists: an expression over public names, or a command line."""

from __future__ import annotations

import argparse
import contextlib
import io
import shlex

import numpy as np

from denoisert import runtime
from denoisert.runtime.cli import build_parser
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
        return _read(call)
    names = {name: getattr(runtime, name) for name in dir(runtime)}
    return eval(call, {"__builtins__": {}, "oracle": oracle, **GIVEN}, names)


def _read(line: str) -> argparse.Namespace:
    """What a whole command line is read as; nothing of it runs."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return build_parser().parse_args(shlex.split(line)[1:])
    except SystemExit as error:
        raise ValueError(f"`{line}` is no command: {said.getvalue()[-200:]}") from error
