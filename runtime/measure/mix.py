"""What a load asks for: settings with weights, from a JSON file or made from the card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.bundle.document import MAX_BYTES, Plain, parse
from denoisert.runtime.bundle.typed import Codec, decode
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.request import Condition, Limits, Request
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.names import SOLVERS, SPACINGS
from denoisert.runtime.sampling.notation import parse as parse_name
from denoisert.runtime.sampling.schedules import Spacing
from denoisert.runtime.sampling.solvers import Solver

DEFAULT = "default"
DIGITS = 8
MOST_SETTINGS = 1000
PROMPTS = (
    *("a red apple", "a yellow taxi", "a cat", "snow on a mountain", "two birds", "a house by sea"),
    *("a green leaf", "an old clock", "a boat at night", "a cup of tea", "rain", "a smiling face"),
)

Value = int | str | None


@dataclass(frozen=True, slots=True)
class Setting:
    """One kind of request.

    Args:
        conditions: prompts, class numbers or class names, one of which is drawn for each request;
            empty where the network takes none.
        weight: how often, against the other settings; above 0.
        negative: condition of the uncond branch.
        images: pictures per request.
        steps: None and all that follows take what the card recommends.
        solver: as on the command line, for example "ddim(eta=0.5)".
        schedule: likewise, for example "karras".
        guidance: scale; 1 means none.
        deadline_s: seconds after which a request is given up.
        priority: higher goes first.
    """

    conditions: tuple[int | str, ...] = ()
    weight: float = 1.0
    negative: int | str | None = None
    images: int = 1
    steps: int | None = None
    solver: Solver | None = None
    schedule: Spacing | None = None
    guidance: float | None = None
    deadline_s: float | None = None
    priority: int = 0

    def __post_init__(self) -> None:
        if not self.weight > 0.0:
            raise InvalidInput(f"weight {self.weight:g}; give a number above 0.")
        self.request(self.conditions[0] if self.conditions else None, 0)  # refuses what cannot be

    def request(self, condition: Value | Mapping[str, Any], seed: int) -> Request:
        """A request of this kind.

        Args:
            condition: what the network is told.
            seed: of its noise.
        """
        return Request(
            Condition(condition, self.negative),
            seed=seed,
            images=self.images,
            steps=self.steps,
            solver=self.solver,
            schedule=self.schedule,
            guidance=None if self.guidance is None else CFG(self.guidance),
            limits=Limits(deadline_s=self.deadline_s, priority=self.priority),
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """The content of a mix file."""

    settings: tuple[Setting, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.settings) <= MOST_SETTINGS:
            raise InvalidInput(f"{len(self.settings)} settings; give 1 to {MOST_SETTINGS}.")


class Mix:
    """Draws requests; number i is always the same one.

    Args:
        name: what it is called in records.
        settings: at least one.
        seed: of the draws.
    """

    def __init__(self, name: str, settings: tuple[Setting, ...], seed: int = 0) -> None:
        self._stem = name
        digest = hashlib.sha256(repr((settings, seed)).encode()).hexdigest()[:DIGITS]
        self.name = f"{name} {digest}"
        self.settings = settings
        self._seed = seed
        self._weights = [setting.weight for setting in settings]

    def draw(self, number: int) -> Request:
        """Request `number` of the mix; its number is its seed."""
        random = Random(f"{self._seed} {number}")
        (setting,) = random.choices(self.settings, self._weights)
        condition = random.choice(setting.conditions) if setting.conditions else None
        return setting.request(condition, number)

    def every_kind(self) -> list[Request]:
        """One request of each setting and condition, to find out early what cannot run."""
        return [
            setting.request(condition, 0)
            for setting in self.settings
            for condition in setting.conditions or (None,)
        ]

    def bounded(self, deadline_s: float) -> Mix:
        """The same mix with a deadline for every request.

        Args:
            deadline_s: in seconds.
        """
        settings = tuple(replace(setting, deadline_s=deadline_s) for setting in self.settings)
        return Mix(self._stem, settings, self._seed)

    @classmethod
    def read(cls, path: Path, seed: int = 0) -> Mix:
        """The mix in a JSON file: {"settings": [{"conditions": ["a cat"], "weight": 2, ...}]}.

        Args:
            path: the file.
            seed: of the draws.

        Raises:
            InvalidInput: not strict JSON, or an unknown key or a wrong value, with its place.
            OSError: no such file.
        """
        with path.open("rb") as file:
            data = parse(file.read(MAX_BYTES + 1), path.name)
        found: Settings = decode(Settings, data, path.name, CODECS)
        return cls(path.stem, found.settings, seed)

    @classmethod
    def of(cls, card: Card, seed: int = 0) -> Mix:
        """The default: the card's recommended sampler, and a condition of every kind in turn.

        Args:
            card: of the model.
            seed: of the draws.

        Raises:
            InvalidInput: the network takes arrays, which the command cannot make up.
        """
        return cls(DEFAULT, (Setting(_conditions(card)),), seed)


def _conditions(card: Card) -> tuple[int | str, ...]:
    """Every class, or a few prompts; nothing for a network without conditioning."""
    if card.texts:
        return PROMPTS
    told = [entry for entry in card.conditions if entry.source is not Source.ZEROS]
    if not told:
        return ()
    if len(told) == 1 and told[0].classes:
        return _labels(told[0])
    names = ", ".join(f"{entry.name} ({entry.source.value})" for entry in told)
    raise InvalidInput(f"{card.name} takes {names}, for which no load can be made up.")


def _labels(entry: ConditionInput) -> tuple[int | str, ...]:
    null = None if entry.null is None else int(entry.null)
    return tuple(label for label in range(entry.classes) if label != null)


def _text(known: Mapping[str, type[Any]]) -> Codec:
    """A solver or schedule as it is written on the command line."""

    def decode_text(data: Plain, where: str) -> object:
        if not isinstance(data, str):
            raise InvalidInput(f"{where} must be a text as on the command line; found {data!r}.")
        try:
            return parse_name(known, data)
        except InvalidInput as error:
            raise InvalidInput(f"{where}: {error}") from error

    return Codec(repr, decode_text)


CODECS: Mapping[Any, Codec] = {Solver: _text(SOLVERS), Spacing: _text(SPACINGS)}
