"""Empty tensors by which trainers mark what a denoiser predicts: the scheduler must agree."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

from denoisert.export.sources.diffusers.component import Folder
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.runtime.errors import ExportError

MARKS: Final[Mapping[str, tuple[str, Any]]] = {
    "v_pred": ("prediction_type", "v_prediction"),
    "ztsnr": ("rescale_betas_zero_snr", True),
}
"""Key of the mark -> setting of the scheduler and its value."""


def check_marks(name: str, keys: Container[str], folder: Folder) -> None:
    """Refuse a scheduler that a file's marks contradict.

    Args:
        name: of the file.
        keys: of all its tensors.
        folder: has the scheduler.

    Raises:
        ExportError: names mark and setting.
    """
    scheduler = folder.components["scheduler"]
    for mark, (key, value) in MARKS.items():
        if mark in keys and scheduler.config.get(key) != value:
            raise ExportError(
                f"{name} is marked {mark!r}: its model was trained with {key} = {value!r}, and the "
                f"scheduler of {folder.root.name} has {shown(scheduler.config.get(key))}. Write "
                f"{key} into scheduler/scheduler_config.json of --config."
            )
