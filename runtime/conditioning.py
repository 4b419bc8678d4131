"""From what a request says to the values that each branch's lane is fed.

`plan_conditions` runs where the request is made: it validates and tokenises. What a text encoder
makes of the tokens is filled in later, by `Conditions.fill`, once an engine has run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.condition import FROM_TEXT, ConditionInput, Source, TextEncoder
from denoisert.runtime.errors import EngineError, Incompatible, InvalidInput
from denoisert.runtime.request import Condition, Value
from denoisert.runtime.text.tokenizer import Prompt, Tokenizer
from denoisert.runtime.values import input_value, null_value

Array = NDArray[Any]
Encode = Callable[[Prompt], Mapping[str, Array]]

SERVED = (Source.CLASS_LABEL, Source.EXTERNAL_ARRAY, Source.ZEROS, *FROM_TEXT)
CONDITIONS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """What one condition feeds to its lanes.

    Args:
        given: denoiser input -> values that are known already.
        told: (denoiser input, prompt) of those that wait for a text encoder.
    """

    given: Mapping[str, Array]
    told: tuple[tuple[ConditionInput, Prompt], ...] = ()

    def fill(self, encoded: Mapping[Prompt, Mapping[str, Array]]) -> dict[str, Array]:
        """All values, denoiser input -> array."""
        told = {entry.name: _fitted(entry, encoded[prompt]) for entry, prompt in self.told}
        return {**self.given, **told}


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """The conditions of one request, validated and tokenised.

    Args:
        lanes: cond, then uncond where the guidance asks for it.
        notes: what the user should know, such as a prompt that was cut.
    """

    lanes: tuple[Lane, ...]
    notes: tuple[str, ...] = ()

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """What has to be encoded, each once."""
        return tuple(dict.fromkeys(prompt for lane in self.lanes for _, prompt in lane.told))

    def fill(self, encode: Encode) -> tuple[Mapping[str, Array], ...]:
        """The values of one lane per condition.

        Args:
            encode: gives the text encoder's outputs of a prompt; called once per prompt.

        Returns:
            Per condition, denoiser input -> values.

        Raises:
            EngineError: a text encoder's output does not fit the denoiser's input.
        """
        encoded = {prompt: encode(prompt) for prompt in self.prompts}
        return tuple(lane.fill(encoded) for lane in self.lanes)


def check_sources(inputs: tuple[ConditionInput, ...]) -> None:
    """Refuse a card whose conditioning this runtime cannot produce.

    Raises:
        Incompatible: names the input and its source.
    """
    for entry in inputs:
        if entry.source not in SERVED:
            served = ", ".join(source.value for source in SERVED)
            raise Incompatible(
                f"input {entry.name!r} is fed from {entry.source.value!r}; this version feeds "
                f"{served}."
            )


def plan_conditions(
    inputs: tuple[ConditionInput, ...],
    texts: tuple[TextEncoder, ...],
    tokenizers: Mapping[str, Tokenizer],
    condition: Condition,
    count: int,
) -> Conditions:
    """Validate what a request says, and tokenise its prompts.

    Args:
        inputs: the card's conditioning inputs.
        texts: the card's text encoders.
        tokenizers: by the name of the text encoder.
        condition: what the request says.
        count: conditions that the table names, 1 or 2.

    Returns:
        One lane per condition.

    Raises:
        InvalidInput: a prompt, label or array that the network cannot be told, or more conditions
            than a request has.
    """
    if count > CONDITIONS:
        raise InvalidInput(
            f"the guidance asks for {count} conditions; a request has {CONDITIONS}, positive and "
            "negative."
        )
    said = [_Said.of(inputs, texts, tokenizers, condition.positive)]
    if count > 1 and condition.negative is not None:
        said.append(_Said.of(inputs, texts, tokenizers, condition.negative))
    lanes = [_lane(inputs, each) for each in said]
    if count > len(said):
        lanes.append(_null_lane(inputs, texts, tokenizers))
    notes = [
        note
        for what, each in zip(("prompt", "negative prompt"), said, strict=False)
        for note in _cuts(what, texts, each.prompts)
    ]
    return Conditions(tuple(lanes), tuple(notes))


@dataclass(frozen=True, slots=True, eq=False)
class _Said:
    """One side of a condition by name: tokenised prompts, and everything else as it was said."""

    prompts: Mapping[str, Prompt]
    values: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        inputs: tuple[ConditionInput, ...],
        texts: tuple[TextEncoder, ...],
        tokenizers: Mapping[str, Tokenizer],
        value: Value,
    ) -> _Said:
        others = [e.name for e in inputs if not e.encoder and e.source is not Source.ZEROS]
        prompted = [text.name for text in texts]
        named = _by_name(prompted, others, value)
        prompts = {name: tokenizers[name].encode(named[name]) for name in prompted}
        return cls(prompts, {name: named[name] for name in others})


def _by_name(prompted: list[str], others: list[str], value: Value) -> Mapping[str, Any]:
    """What was said, by text encoder and denoiser input; one prompt goes to every encoder."""
    asked = [*prompted, *others]
    if not isinstance(value, Mapping):
        if others and len(asked) > 1:
            raise InvalidInput(
                f"the network is told {len(asked)} things, {_names(asked)}; pass a mapping from "
                "name to value."
            )
        return dict.fromkeys(asked, value) if asked else _nothing(value)
    unknown = sorted(str(name) for name in set(value) - set(asked))
    missing = sorted(set(asked) - set(value))
    if unknown or missing:
        raise InvalidInput(
            f"condition names {unknown or missing} are {'unknown' if unknown else 'missing'}; "
            f"the network takes {_names(asked)}."
        )
    return value


def _lane(inputs: tuple[ConditionInput, ...], said: _Said) -> Lane:
    given = {e.name: input_value(e, said.values.get(e.name)) for e in inputs if not e.encoder}
    return _told(inputs, given, said.prompts)


def _null_lane(
    inputs: tuple[ConditionInput, ...],
    texts: tuple[TextEncoder, ...],
    tokenizers: Mapping[str, Tokenizer],
) -> Lane:
    """The uncond lane of a request that names no negative condition."""
    nulls = {text.name: text.null for text in texts}
    given = {}
    for entry in inputs:
        if entry.null is not None or nulls.get(entry.encoder) is None:
            given[entry.name] = null_value(entry)
    prompts = {
        name: tokenizers[name].encode(null) for name, null in nulls.items() if null is not None
    }
    return _told(inputs, given, prompts)


def _told(
    inputs: tuple[ConditionInput, ...], given: dict[str, Array], prompts: Mapping[str, Prompt]
) -> Lane:
    """The lane of values that are known and of prompts."""
    waiting = [(e, prompts[e.encoder]) for e in inputs if e.name not in given]
    masks = {e.name: _mask(e, p) for e, p in waiting if e.source is Source.TOKEN_MASK}
    return Lane({**given, **masks}, tuple((e, p) for e, p in waiting if e.name not in masks))


def _mask(entry: ConditionInput, prompt: Prompt) -> Array:
    """1 for every token that is no padding."""
    mask = np.arange(len(prompt.token_ids)) < prompt.filled
    if mask.size != np.prod(entry.shape, dtype=int):
        raise EngineError(
            f"input {entry.name!r} takes a mask of shape {entry.shape}; text encoder "
            f"{entry.encoder!r} has {mask.size} tokens. Compile the model again."
        )
    return mask.astype(entry.dtype).reshape(entry.shape)


def _fitted(entry: ConditionInput, outputs: Mapping[str, Array]) -> Array:
    """The output of a text encoder as the denoiser takes it."""
    values = outputs[entry.output]
    if values.shape != entry.shape:
        raise EngineError(
            f"output {entry.output!r} of {entry.encoder!r} is {values.shape}; the denoiser's "
            f"{entry.name!r} takes {entry.shape}. Compile the model again."
        )
    return values.astype(entry.dtype, copy=False)


def _cuts(
    what: str, texts: tuple[TextEncoder, ...], prompts: Mapping[str, Prompt]
) -> Iterator[str]:
    """A note for every prompt that was cut."""
    for text in texts:
        dropped = prompts[text.name].dropped
        whose = f" for {text.name}" if len(texts) > 1 else ""
        if dropped:
            yield f"{what} truncated{whose}: {dropped} of {text.room + dropped} tokens dropped"


def _nothing(value: object) -> dict[str, Any]:
    if value is not None:
        raise InvalidInput(f"condition {value!r} for a network without conditioning; leave it out.")
    return {}


def _names(names: list[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
