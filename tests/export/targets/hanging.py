"""A compiler that hangs, deaf to every signal that can be blocked; says where and in which process.

`python -m tests.export.targets.hanging FILE compile ...` is the command `denoisert` whose compiler
for TensorRT-RTX it is. The environment hands FILE, for the process id, to the compiler.
"""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from denoisert.export.targets.job import EngineJob, Report

MODULE = "tests.export.targets.hanging"
VARIABLE = "DENOISERT_TEST_HANGS_AT"


def build(job: EngineJob, report: Report) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    job.out.write_bytes(b"half an engine")
    place = Path(os.environ[VARIABLE])
    place.with_suffix(".new").write_text(str(os.getpid()), encoding="utf-8")
    place.with_suffix(".new").rename(place)
    while True:
        time.sleep(0.05)


def main() -> int:
    from denoisert.export import engines
    from denoisert.export.targets.crew import COMPILERS, CompilerCrew
    from denoisert.runtime.cli import main as command

    compilers = {**COMPILERS, "tensorrt-rtx": MODULE}
    engines.CompilerCrew = partial(CompilerCrew, compilers=compilers)
    os.environ[VARIABLE] = sys.argv[1]
    return command(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
