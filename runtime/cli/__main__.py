"""`python -m denoisert.runtime.cli`."""

import sys

from denoisert.runtime.cli import main

sys.exit(main())
