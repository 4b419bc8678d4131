"""ONNX -> OpenVINO's own form: an .xml of operators, and beside it a .bin of weights.

OpenVINO reads weights of an ONNX file only where they lie in the file's own folder, which a
bundle's do not; from memory it looks for them in the working folder, which is why the graph is
converted here once, in a process that stands in the bundle, and not at every start.

Nothing is narrowed on the way: a graph computes in the types that it is written in.
"""

from __future__ import annotations

import re
from collections import Counter
from io import BytesIO
from typing import Final

import openvino

from denoisert.export.targets.job import EngineJob, Report
from denoisert.runtime.engines.openvino.failures import words
from denoisert.runtime.errors import BuildError, UnsupportedOperator

STEPS: Final = 2
_NUMBERED: Final = re.compile(r"(.*)[_#]\d+")
_MISSING: Final = ("No conversion rule found", "not supported", "Unsupported")


def build(job: EngineJob, report: Report) -> None:
    """Write `job.out` and its weights; the working folder must be `job.root`.

    Equal graphs give equal files.

    Args:
        job: its profiles and capabilities are not looked at, for the shapes stay open.
        report: called before each of two steps, and at the end.

    Raises:
        UnsupportedOperator: OpenVINO lacks one of the graph's operators.
        BuildError: it cannot read the graph or write its own, the disk being full for example.
    """
    report("read", 0, STEPS)
    try:
        model = openvino.Core().read_model(BytesIO(job.graph.read_bytes()))
        _rename(model)
        report("write", 1, STEPS)
        job.out.parent.mkdir(parents=True, exist_ok=True)
        openvino.save_model(model, job.out, compress_to_fp16=False)
    except RuntimeError as error:
        raise _error(job, error) from error
    except OSError as error:
        raise BuildError(f"the engine of {job.component} cannot be written: {error}") from error
    report("done", STEPS, STEPS)


def _rename(model: openvino.Model) -> None:
    """Count operators without a name from 0.

    OpenVINO calls them by their type and a number that grows through the life of a process, and
    shares some constants, names included, between the models that a process reads.
    """
    seen: Counter[str] = Counter()
    for node in model.get_ordered_ops():
        numbered = _NUMBERED.fullmatch(node.get_friendly_name())
        if numbered and numbered[1].endswith(node.get_type_name()):
            node.set_friendly_name(f"{numbered[1]}#{seen[numbered[1]]}")
            seen[numbered[1]] += 1


def _error(job: EngineJob, error: RuntimeError) -> UnsupportedOperator | BuildError:
    said = words(error)
    if any(text in said for text in _MISSING):
        return UnsupportedOperator(
            f"OpenVINO lacks an operator of {job.component}. Compile for another target, or export "
            f"the model with operators that it has. Its words: {said}"
        )
    return BuildError(f"OpenVINO cannot compile {job.component}: {said}")
