"""python -m bench.compare OLD.jsonl NEW.jsonl: what became slower on the same device."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from denoisert.runtime.measure.against import read, regressions


def main(argv: Sequence[str] | None = None) -> int:
    """Compare two files.

    Returns:
        1 if anything became slower, 0 if not.
    """
    old, new = (Path(name) for name in (sys.argv[1:] if argv is None else argv))
    found = regressions(read(old), read(new))
    print("\n".join(map(str, found)) or "nothing became slower")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
