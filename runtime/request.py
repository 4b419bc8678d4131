"""What a user asks for."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.guidance import Guidance
from denoisert.runtime.sampling.schedules import Spacing
from denoisert.runtime.sampling.solvers import Solver
from denoisert.runtime.sampling.solvers.inpainted import KEPT, MASK, READ, SOURCE

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
STRENGTH = 0.5

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


class Noised(Enum):
    """Who noises the latent that a run starts from.

    HERE: the run, which takes it for clean, to the first point of its steps. ALREADY: somebody
    before, so that it lies at that point as it is: what `Inverse` made, or another run left.
    """

    HERE = "here"
    ALREADY = "already"

    def __repr__(self) -> str:
        return f"Noised.{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """What a run starts from and reads instead of noise alone: a latent, or buffers, or both.

    Args:
        latent: (elements,) or the shape of the state, float, or as many as the request has images,
            one for each; or a picture, as a PIL image or uint8 (H, W, 3), for a bundle with an
            image encoder; or None, where buffers are enough.
        strength: share of the steps that run, the last ones, 0 to 1; of a clean latent 1 keeps only
            what alpha lets through, and 0 runs none. None means half of them from a clean latent
            without a mask, else all.
        buffers: name -> array that the solver reads and nobody writes, such as the "recorded" of
            NoiseReplay: (pages, elements) or (pages, *shape of the state), real and finite; a
            single page needs no first dimension. All images of the request share them.
        noised: whether the latent is clean or lies at the first point already.
        mask: which part of the picture is painted anew: a PIL image or (H, W) in its pixels, white
            (true, 255 or 1.0) where it is, black where the picture is kept. All steps then begin
            with noise alone. Of a latent given as an array it may have the latent's size. A network
            that is shown masks paints all of the picture where there is none.

    Raises:
        InvalidInput: a strength outside its range, neither latent nor buffers, buffers that are no
            mapping from names, or a mask without a clean picture; the source is the latent, no
            buffer.
    """

    latent: NDArray[np.floating] | NDArray[np.uint8] | Image | None = None
    strength: float | None = None
    buffers: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    noised: Noised = Noised.HERE
    mask: NDArray[Any] | Image | None = None

    def __post_init__(self) -> None:
        is_number = isinstance(self.strength, int | float | np.number)
        if self.strength is not None and not (is_number and 0.0 <= self.strength <= 1.0):
            raise InvalidInput(f"start strength {self.strength} is outside 0 to 1.")
        if not isinstance(self.noised, Noised):
            raise InvalidInput(f"noised {self.noised!r}: give Noised.HERE or Noised.ALREADY.")
        if not isinstance(self.buffers, Mapping) or not all(map(_is_name, self.buffers)):
            raise InvalidInput(
                f"buffers {type(self.buffers).__name__} is no mapping from names. Pass "
                'Start(buffers={"recorded": array}); the source is the latent: Start(latent), and '
                "mask and kept follow from Start(picture, mask=mask)."
            )
        self._check_mask()
        if self.latent is None and not self.buffers:
            raise InvalidInput(
                "a start of nothing. Pass Start(latent, strength) or Start(buffers={name: array}), "
                "or leave the start out to begin with noise."
            )
        if self.latent is None and self.noised is Noised.ALREADY:
            raise InvalidInput("Noised.ALREADY is said of a latent. Pass Start(latent, ...).")
        if self.strength == 0.0 and self.latent is None:
            raise InvalidInput("strength 0 gives back a latent. Pass Start(latent, 0.0).")

    def _check_mask(self) -> None:
        if self.mask is None:
            return
        if self.latent is None or self.noised is Noised.ALREADY:
            raise InvalidInput(
                "a mask without a clean picture, of which it keeps a part. Pass "
                "Start(picture, mask=mask)."
            )
        if not isinstance(self.mask, np.ndarray) and not _is_pil(self.mask):
            raise InvalidInput(
                f"a mask of type {type(self.mask).__name__}; pass a PIL image or an array (H, W), "
                "white where the picture is painted anew."
            )

    @property
    def share(self) -> float | None:
        """The strength; None runs all steps from where the solver itself begins."""
        if self.mask is not None and self.strength in (None, 1.0):
            return None
        if self.strength is not None or self.latent is None:
            return self.strength
        return STRENGTH if self.noised is Noised.HERE else 1.0

    @property
    def given(self) -> tuple[str, ...]:
        """Names of all that it gives, the latent's first."""
        source = () if self.latent is None else (SOURCE,)
        return (*source, *(() if self.mask is None else (MASK, KEPT)), *sorted(self.buffers))

    @property
    def picture(self) -> NDArray[np.uint8] | Image | None:
        """The PIL image or uint8 (H, W, 3) that it starts from; None where that is a latent."""
        value = self.latent
        if isinstance(value, np.ndarray):
            is_picture = value.dtype == np.uint8 and value.ndim == 3 and value.shape[2] == 3
            return value.astype(np.uint8, copy=False) if is_picture else None
        return value if _is_pil(value) else None


def _is_pil(value: object) -> TypeGuard[Image]:
    pil = sys.modules.get("PIL.Image")  # whoever made a PIL image has imported it
    return pil is not None and isinstance(value, pil.Image)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name not in READ


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
        size: (height, width) in pixels, one that is compiled; None takes the first of them.
        steps: number of steps, 1 .. 1000.
        solver: how a step is taken.
        schedule: where the steps lie.
        guidance: how the branches combine.
        start: a latent or a picture to start from, and buffers that the solver reads.
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
        for name, method, example in (
            ("solver", "rows", "Euler()"),
            ("schedule", "grid", "Trailing()"),
            ("guidance", "branches", "CFG(4.0)"),
        ):
            value = getattr(self, name)
            if isinstance(value, type) or not (value is None or hasattr(value, method)):
                raise InvalidInput(
                    f"{name} {value!r} is not a {name}. Pass an object such as {example}, neither "
                    "a name nor a class."
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
