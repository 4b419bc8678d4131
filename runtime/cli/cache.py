"""The user's cache folder: the one place where the command asks the environment for it."""

from __future__ import annotations

import os
from pathlib import Path

NAME = "denoisert"


def default_cache() -> Path | None:
    """Where measured times are kept: $XDG_CACHE_HOME/denoisert, else ~/.cache/denoisert.

    Returns:
        The folder, which need not exist; None where the user has no home.
    """
    configured = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(configured):  # the standard says to pass over a relative one
        return Path(configured) / NAME
    home = os.path.expanduser("~")
    return Path(home) / ".cache" / NAME if os.path.isabs(home) else None
