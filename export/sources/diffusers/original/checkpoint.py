"""One safetensors file of a whole model, divided into the components of a folder by its keys.

The header alone is read. Every key belongs to a component, or is known to be read by none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from denoisert.export.families.table import PIPELINES
from denoisert.export.sources.diffusers.component import Component, Folder
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.diffusers.original.marks import MARKS, check_marks
from denoisert.export.sources.diffusers.original.part import REMEDY, Part
from denoisert.export.sources.diffusers.original.parts import PLACES, UNREAD, Place
from denoisert.export.sources.zoo import refuse_pickle
from denoisert.runtime.bundle.weights import Tensor, read_header
from denoisert.runtime.errors import ExportError, InvalidInput, Tampered

SUFFIX: Final = ".safetensors"
DENOISERS: Final = ("unet", "transformer")
AVERAGES: Final = "model_ema"

PREFIXES: Final = tuple({place.prefix for place in PLACES if place.prefix})

LOOKS: Final = (
    (("lora", "hada_", "lokr_"), "It is a LoRA: compile a whole model with --lora."),
    (
        ("down_blocks.", "transformer_blocks.", "unet.", "transformer.", "text_model."),
        "Its names are those of diffusers: put it into its component's folder under the name that "
        "save_pretrained gives it, and compile the folder.",
    ),
)
"""What keys have in them -> what the file is, and what to do."""


class Checkpoint:
    """The header of one file.

    Args:
        path: a safetensors file.

    Raises:
        InvalidInput: there is no such file.
        ExportError: it is pickled, damaged, or of another kind.
    """

    def __init__(self, path: Path) -> None:
        refuse_pickle(path)
        if not path.is_file():
            raise InvalidInput(
                f"--config goes with one {SUFFIX} file, and {path} is none. A folder of diffusers "
                "is compiled without --config."
            )
        if path.suffix.lower() != SUFFIX:
            raise ExportError(f"{path.name} is no {SUFFIX} file; --config goes with one.")
        self.path = path
        try:
            self.tensors: Mapping[str, Tensor] = read_header(path)
        except Tampered as error:
            raise ExportError(f"{path.name}: {error} Download it again.") from error

    def parts(self, folder: Folder) -> dict[str, Part]:
        """The components that the file holds.

        Args:
            folder: configurations of the model that the file is of.

        Returns:
            Component -> its weights; what the folder has and the file has not is left out.

        Raises:
            ExportError: no denoiser, a key that no component takes, or a key that contradicts the
                scheduler.
        """
        parts = {
            name: Part(self.path, component, place, self._below(place))
            for name, component in folder.components.items()
            if (place := self._place(component)) is not None
        }
        if not any(name in parts for name in DENOISERS):
            raise ExportError(self._misfit(folder))
        self._check_rest([*(part.place for part in parts.values()), *self._unused(folder)], folder)
        check_marks(self.path.name, self.tensors, folder)
        return parts

    def notes(self, folder: Folder) -> tuple[str, ...]:
        """What the user should know, one sentence each."""
        name = self.path.name
        averages = sum(key.startswith(AVERAGES) for key in self.tensors)
        left_out = [
            f"{name} holds a {place.classes[0]} ({place.prefix}...), which is left out: "
            f"{folder.root.name} has none."
            for place in self._unused(folder)
        ]
        if averages:
            left_out.append(
                f"{averages} averaged tensors ({AVERAGES}...) of {name} are left out; the others "
                "are taken, as diffusers takes them."
            )
        held = ", ".join(self.parts(folder))
        return (f"{name} holds {held}; everything else is that of {folder.root.name}.", *left_out)

    def _place(self, component: Component) -> Place | None:
        places = (place for place in PLACES if place.takes(component) and self._has(place))
        return next(places, None)

    def _has(self, place: Place) -> bool:
        return any(key.startswith(place.beginning) for key in self.tensors)

    def _below(self, place: Place) -> dict[str, Tensor]:
        """Key below a place's prefix -> tensor; without a prefix, what no other place has."""
        others = () if place.prefix else (*PREFIXES, *UNREAD, *MARKS)
        return {
            key.removeprefix(place.prefix): tensor
            for key, tensor in self.tensors.items()
            if key.startswith(place.prefix) and not key.startswith(others)
        }

    def _unused(self, folder: Folder) -> list[Place]:
        """What the file holds for components that a folder does without."""
        optional = PIPELINES[folder.class_name].optional.keys() - folder.components.keys()
        return [place for place in PLACES if optional & {*place.components} and self._has(place)]

    def _check_rest(self, places: Iterable[Place], folder: Folder) -> None:
        """Refuse keys that none of these places has."""
        taken = {place.prefix for place in places}
        known = (*filter(None, taken), *UNREAD)
        rest = [key for key in self.tensors if not key.startswith(known) and key not in MARKS]
        if "" in taken:  # it has compared all that lies below no prefix
            rest = [key for key in rest if key.startswith(PREFIXES)]
        if rest:
            raise ExportError(
                f"{self.path.name} holds {len(rest)} tensors that no part of {folder.root.name}, a "
                f"{folder.class_name}, takes ({', '.join(map(shown, sorted(rest)[:3]))}). {REMEDY}"
            )

    def _misfit(self, folder: Folder) -> str:
        """Why a file has no denoiser."""
        denoisers = [folder.components[name] for name in DENOISERS if name in folder.components]
        wanted = [place.beginning for place in PLACES if any(map(place.takes, denoisers))]
        kinds = sorted({place.classes[0] for place in PLACES if self._has(place)})
        keys = ", ".join(map(shown, sorted(self.tensors)[:3])) or "none"
        looks = [what for signs, what in LOOKS if _has_any(self.tensors, signs)]
        expected = (
            f"no key begins with {' or '.join(map(repr, wanted))}"
            if wanted
            else f"there is no file of this kind for a {folder.class_name}"
        )
        inside = f"it holds {', '.join(kinds)}" if kinds else f"its keys are {keys}"
        return (
            f"{self.path.name} holds no denoiser of {folder.root.name}, a {folder.class_name}: "
            f"{expected}; {inside}. {REMEDY if kinds or not looks else looks[0]}"
        )


def _has_any(keys: Iterable[str], signs: tuple[str, ...]) -> bool:
    return any(sign in key for key in keys for sign in signs)
