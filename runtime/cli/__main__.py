"""`python -m denoisert.runtime.cli`."""

from __future__ import annotations

import sys

from denoisert.runtime.cli import main

if __name__ == "__main__":
    sys.exit(main())
