"""Puts a finished folder in the place of another in one step: no reader ever sees half of it.

A plain rename cannot replace a folder that is not empty; Linux's `renameat2` can swap the two.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from denoisert.runtime.errors import BundleError

AT_FDCWD = -100
RENAME_EXCHANGE = 2


def install(folder: Path, target: Path) -> None:
    """Give `folder` the name `target`; what had it before now has the name of `folder`.

    Args:
        folder: the new folder.
        target: a name in the same parent folder, taken or free.

    Raises:
        BundleError: the file system cannot do it in one step; nothing was changed.
    """
    try:
        if os.path.lexists(target):
            _exchange(folder, target)
        else:
            folder.rename(target)
    except OSError as error:
        raise BundleError(_explain(error, target)) from error


def _exchange(folder: Path, target: Path) -> None:
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if rename(AT_FDCWD, os.fsencode(folder), AT_FDCWD, os.fsencode(target), RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _explain(error: OSError, target: Path) -> str:
    text = f"cannot put the new bundle at {target}: {error.strerror}. The old one is untouched. "
    if error.errno in (errno.EINVAL, errno.ENOSYS, errno.EXDEV):
        return text + "This file system cannot exchange folders: delete the old one, or rename."
    return text + "Check the permissions of the folder that holds it."
