"""What a user asks for."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.guidance import Guidance
from denoisert.runtime.sampling.schedules import Spacing
from denoisert.runtime.sampling.solvers import Solver

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_STEPS = 1000
MAX_IMAGES = 1024
MAX_PIXELS = 2**20
SEEDS = 2**64
MOST_BYTES = 2**63
MAX_CHARACTERS = 10**6
MAX_DEADLINE_S = 10**6
MAX_PRIORITY = 1000

# A prompt, a class label or its name, nothing at all, or values by name for networks with several.
Value = int | str | None | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """What the network is told, and what its second branch is told instead of nothing.

    Args:
        positive: a prompt, where the network takes text; a class label or its name; None for an
            unconditional network; or a mapping from text encoder or graph input to prompt, label or
            array, for a network that takes several. A prompt has at most 10^6 characters.
        negative: the same for the uncond branch; None takes the network's null condition.

    Raises:
        InvalidInput: a prompt that is too long.
    """

    positive: Value
    negative: Value = None

    def __post_init__(self) -> None:
        for value in (self.positive, self.negative):
            for text in value.values() if isinstance(value, Mapping) else (value,):
                if isinstance(text, str) and len(text) > MAX_CHARACTERS:
                    raise InvalidInput(
                        f"a prompt of {len(text)} characters; at most {MAX_CHARACTERS} are taken."
                    )


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A latent or a picture to start from instead of noise alone.

    Args:
        latent: (elements,) or the shape of the state, float; or a picture, as a PIL image or uint8
            (H, W, 3), for a bundle with an image encoder.
        strength: share of the steps that run, in (0, 1]; 1 keeps only what alpha lets through.

    Raises:
        InvalidInput: a strength outside its range.
    """

    latent: NDArray[np.floating] | NDArray[np.uint8] | Image
    strength: float = 0.5

    def __post_init__(self) -> None:
        is_number = isinstance(self.strength, int | float | np.number)
        if not is_number or not 0.0 < self.strength <= 1.0:
            raise InvalidInput(f"start strength {self.strength} is outside 0 (excluded) to 1.")

    @property
    def picture(self) -> NDArray[np.uint8] | Image | None:
        """The PIL image or uint8 (H, W, 3) that it starts from; None where that is a latent."""
        value = self.latent
        if isinstance(value, np.ndarray):
            is_picture = value.dtype == np.uint8 and value.ndim == 3 and value.shape[2] == 3
            return value.astype(np.uint8, copy=False) if is_picture else None
        pil = sys.modules.get("PIL.Image")  # whoever made a PIL image has imported it
        return value if pil is not None and isinstance(value, pil.Image) else None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may cost.

    Args:
        memory_bytes: refuse the request when its plan needs more; None means no bound.
        deadline_s: seconds from its submission after which it ends with `DeadlineExceeded`; more
            than 0, at most 10^6; None means no bound.
        priority: -1000 .. 1000; a request of higher priority goes first and may take the place of a
            running one, which waits and goes on later.

    Raises:
        InvalidInput: a value outside its range.
    """

    memory_bytes: int | None = None
    deadline_s: float | None = None
    priority: int = 0

    def __post_init__(self) -> None:
        if self.memory_bytes is not None:
            _check_integer("memory_bytes", self.memory_bytes, 0, MOST_BYTES)
        _check_integer("priority", self.priority, -MAX_PRIORITY, MAX_PRIORITY)
        if self.deadline_s is not None:
            _check_seconds("deadline_s", self.deadline_s)


@dataclass(frozen=True, slots=True)
class Request:
    """One request: a condition, how many pictures of it, and how to sample them.

    Whatever is None takes the value that the card recommends.

    Args:
        condition: what the network is told; see `Condition` for a negative one.
        seed: 0 .. 2^64 - 1; picture i of a request always has the same noise, whatever runs beside
            it.
        images: number of pictures, 1 .. 1024.
        size: (height, width) in pixels; None takes the compiled one.
        steps: number of steps, 1 .. 1000.
        solver: how a step is taken.
        schedule: where the steps lie.
        guidance: how the branches combine.
        start: a latent or a picture to start from.
        limits: what the request may cost.

    Raises:
        InvalidInput: a value outside its range.
    """

    condition: Value | Condition = None
    seed: int = 0
    images: int = 1
    size: tuple[int, int] | None = None
    steps: int | None = None
    solver: Solver | None = None
    schedule: Spacing | None = None
    guidance: Guidance | None = None
    start: Start | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        _check_integer("seed", self.seed, 0, SEEDS - 1)
        _check_integer("images", self.images, 1, MAX_IMAGES)
        if self.steps is not None:
            _check_integer("steps", self.steps, 1, MAX_STEPS)
        self._check_objects()
        if not isinstance(self.condition, Condition):
            Condition(self.condition)  # checks its prompts
        if self.size is not None:
            _check_size(self.size)

    def _check_objects(self) -> None:
        """Refuse what is not of the kind its field asks for."""
        for name, kind in (("start", Start | None), ("limits", Limits)):
            if not isinstance(getattr(self, name), kind):
                raise InvalidInput(
                    f"{name} {getattr(self, name)!r} is not a {name}. Pass Start(latent, strength) "
                    "or Limits(...)."
                )
        for name, method in (("solver", "rows"), ("schedule", "grid"), ("guidance", "branches")):
            value = getattr(self, name)
            if isinstance(value, type) or not (value is None or hasattr(value, method)):
                raise InvalidInput(
                    f"{name} {value!r} is not a {name}. Pass an object such as Euler(), Karras() "
                    "or CFG(4.0), neither a name nor a class."
                )

    @property
    def told(self) -> Condition:
        """The condition in its long form."""
        return (
            self.condition if isinstance(self.condition, Condition) else Condition(self.condition)
        )


def _check_size(size: object) -> None:
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise InvalidInput(f"size {size!r} is not (height, width) in pixels.")
    for name, value in zip(("height", "width"), size, strict=True):
        _check_integer(name, value, 1, MAX_PIXELS)


def _check_seconds(name: str, value: object) -> None:
    kinds = (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= MAX_DEADLINE_S:
        raise InvalidInput(
            f"{name} {value!r} is no number of seconds above 0, at most {MAX_DEADLINE_S}."
        )


def _check_integer(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise InvalidInput(f"{name} {value!r} is not a whole number.")
    if not low <= value <= high:
        raise InvalidInput(f"{name} {value} is outside {low} to {high}.")
