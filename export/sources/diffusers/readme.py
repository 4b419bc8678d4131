"""What the README of a model folder says in its front matter: the licence, and how to sample.

Hugging Face's model cards begin with a block of `key: value` lines between two lines of dashes.
Only a few keys are read, as text; nothing else of YAML is understood or needed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from denoisert.export.sources.diffusers.file import read_bytes
from denoisert.runtime.errors import InvalidInput

README: Final = "README.md"
README_BYTES: Final = 2**20
UNKNOWN_LICENCE: Final = "unknown"

_FRONT: Final = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_LINE: Final = re.compile(r"^\s*(license|license_name|guidance_scale|num_inference_steps):\s*(.+)$")


@dataclass(frozen=True, slots=True)
class Readme:
    """The front matter, as far as it is read.

    Args:
        licence: its name, or "unknown".
        steps: recommended number of steps (`num_inference_steps`), or None.
        guidance_scale: recommended scale, or None.
    """

    licence: str = UNKNOWN_LICENCE
    steps: int | None = None
    guidance_scale: float | None = None


def read_readme(root: Path) -> Readme:
    """The front matter of the README of a folder; nothing where there is none.

    Args:
        root: the folder, resolved.

    Raises:
        ExportError: the file is a link elsewhere or absurdly long.
        InvalidInput: a number that is none.
    """
    path = Path(README)
    if not (root / path).is_file():
        return Readme()
    text = read_bytes(path, root, README_BYTES).decode("utf-8", "replace").replace("\r\n", "\n")
    front = _FRONT.match(text)
    found = _pairs(front.group(1)) if front else {}
    try:
        steps = int(found["num_inference_steps"]) if "num_inference_steps" in found else None
        scale = float(found["guidance_scale"]) if "guidance_scale" in found else None
    except ValueError as error:
        raise InvalidInput(f"the front matter of {README} has no number: {error}.") from error
    licence = found.get("license_name") or found.get("license") or UNKNOWN_LICENCE
    return Readme(licence, steps, scale)


def _pairs(front: str) -> dict[str, str]:
    matches = (_LINE.match(line) for line in front.splitlines())
    return {match.group(1): match.group(2).strip().strip("'\"") for match in matches if match}
