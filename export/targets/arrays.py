"""Arrays by name in one file, as two processes exchange them."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import numpy as np

from denoisert.export.random_inputs import Arrays


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write an .npz file; `numpy.savez` could not hold an array that is called "file"."""
    with ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as place:
                np.lib.format.write_array(place, np.asanyarray(array), allow_pickle=False)


def read_arrays(path: Path) -> Arrays:
    """The arrays of such a file."""
    with np.load(path, allow_pickle=False) as found:
        return dict(found)
