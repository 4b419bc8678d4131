"""What a bundle says about the LoRAs that are merged into it, in a file of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from denoisert.export.lora.file import LoraFile
from denoisert.export.lora.lora import Lora
from denoisert.runtime.bundle.document import canonical

RECORD: Final = "loras.json"
"""Path of the file in a bundle."""

Counts = Mapping[str, int]


def write_record(merged: Sequence[tuple[LoraFile, Counts]]) -> bytes:
    """JSON of files, digests, weights and numbers of changed layers by component.

    Args:
        merged: files in the order in which they were given, and what each of them changes.
    """
    entries = []
    for file, counts in merged:
        with file.path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        entries.append(
            {
                "file": file.name,
                "sha256": digest,
                "weight": file.lora.weight,
                "layers": dict(counts),
            }
        )
    return canonical(entries)


def name_with(name: str, loras: Sequence[Lora]) -> str:
    """The name of a model with LoRAs, as in "model + style 0.8"."""
    return " + ".join([name, *(f"{lora.stem} {lora.weight:g}" for lora in loras)])
