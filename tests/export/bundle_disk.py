"""Writes a bundle that does not fit; run by test_bundle_disk.py under a real limit.

`python -m tests.export.bundle_disk FOLDER ELEMENTS MAX_FILE_BYTES` prints the error of the large
bundle after it has seen that the small one is still whole and nothing else is left.
"""

import os
import resource
import sys
from pathlib import Path

from denoisert.runtime.errors import BundleError
from tests.export.tiny_bundle import version_at, write


def main() -> None:
    folder, elements, limit = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    out = folder / "tiny.bundle"
    write(out, 1)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        write(out, 2, elements)
    except BundleError as error:
        print(error)
    else:
        sys.exit("the large bundle was written")
    assert version_at(out) == 1
    assert os.listdir(folder) == [out.name], os.listdir(folder)
    write(out, 3)
    assert version_at(out) == 3


if __name__ == "__main__":
    main()
