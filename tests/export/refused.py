"""How tests see that a folder is refused, and spoil its configurations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from denoisert.export import CompileOptions
from denoisert.export.compile import find_source
from denoisert.runtime.errors import DenoiseRTError, ExportError, InvalidInput


def refused(folder: Path, *pieces: str, options: CompileOptions | None = None) -> None:
    """Check that a model is refused with all of these in its message."""
    with pytest.raises(DenoiseRTError) as caught:
        find_source(folder, None, options).load()
    message = str(caught.value)
    assert isinstance(caught.value, ExportError | InvalidInput)
    assert all(piece in message for piece in pieces), message
    assert len(message) < 900
    assert message.isprintable()
    assert message.endswith((".", "?"))


def edit(path: Path, **entries: object) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | entries), encoding="utf-8")
