"""From what a request says to the values that each branch's lane is fed.

`plan_conditions` runs where the request is made: it validates and tokenises. Engines run later, for
`Conditions.fill`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.condition import FROM_TEXT, ConditionInput, Source, TextEncoder
from denoisert.runtime.conditions import Conditions, Lane
from denoisert.runtime.errors import EngineError, Incompatible, InvalidInput
from denoisert.runtime.measures import Measures, Size, read_measures
from denoisert.runtime.request import Condition, Value
from denoisert.runtime.text.tokenizer import Prompt, Tokenizer
from denoisert.runtime.values import input_value, null_value

Array = NDArray[Any]

REPAINTED = (Source.MASK, Source.EXTERNAL_PICTURE)
SHOWN = (Source.SIZES, *REPAINTED)
"""Sources that follow from the request's size and start instead of its condition."""
SERVED = (Source.CLASS_LABEL, Source.EXTERNAL_ARRAY, Source.ZEROS, *FROM_TEXT, *SHOWN)
CONDITIONS = 2
PROMPT = "prompt"
"""In a mapping, the prompt of every text encoder that is not named itself."""


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
                f"{served}. A scalar of the table is named in network.scalars instead."
            )
    shown = [entry.name for entry in inputs if entry.source in REPAINTED]
    if shown and len({entry.source for entry in inputs if entry.source in REPAINTED}) == 1:
        raise Incompatible(
            f"inputs {_names(shown)}: this version shows a network a mask and the picture without "
            "what it hides, both or none."
        )


def plan_conditions(
    inputs: tuple[ConditionInput, ...],
    texts: tuple[TextEncoder, ...],
    tokenizers: Mapping[str, Tokenizer],
    condition: Condition,
    count: int,
    *,
    size: Size | None = None,
    mask: Array | None = None,
) -> Conditions:
    """Validate what a request says, and tokenise its prompts.

    Args:
        inputs: the card's conditioning inputs.
        texts: the card's text encoders.
        tokenizers: by the name of the text encoder.
        condition: what the request says.
        count: conditions that the table names, 1 or 2.
        size: (height, width) in pixels; None of a state without pixels.
        mask: (h, w) of the latent, 1 where it is repainted, or None.

    Returns:
        One lane per condition.

    Raises:
        InvalidInput: a prompt, label, array or number that the network cannot be told, no mask for
            a network that repaints, or more conditions than a request has.
    """
    _check_count(count)
    own, positive = read_measures(inputs, condition.positive)
    others, negative = read_measures(inputs, condition.negative)
    spoken = tuple(entry for entry in inputs if entry.source not in SHOWN)
    sides = (positive,) if count == 1 or negative is None else (positive, negative)
    said = [_Said.of(inputs, texts, tokenizers, side) for side in sides]
    lanes = [_lane(spoken, each) for each in said]
    if count > len(said):
        lanes.append(_null_lane(spoken, texts, tokenizers))
    measures = (Measures(size, own), Measures(size, others, uncond_of=own))
    seen = tuple(
        _seen(lane, inputs, each.values(inputs), mask)
        for lane, each in zip(lanes, measures, strict=False)
    )
    return Conditions(seen, (*_cuts(texts, said), *_unasked(condition, count)))


def _check_count(count: int) -> None:
    if count > CONDITIONS:
        raise InvalidInput(
            f"the guidance asks for {count} conditions; a request has {CONDITIONS}, positive and "
            "negative."
        )


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
        unsaid = (Source.ZEROS, *SHOWN)
        others = [e.name for e in inputs if not e.encoder and e.source not in unsaid]
        prompted = [text.name for text in texts]
        sizes = [measure.quantity.value for entry in inputs for measure in entry.measures]
        named = _by_name(prompted, others, value, optional=sizes)
        prompts = {name: tokenizers[name].encode(named[name]) for name in prompted}
        return cls(prompts, {name: named[name] for name in others})


def _by_name(
    prompted: list[str], others: list[str], value: Value, *, optional: list[str]
) -> Mapping[str, Any]:
    """What was said, by text encoder and denoiser input; one prompt goes to every encoder.

    Args:
        prompted: names of the text encoders.
        others: names of the inputs that need a value each.
        value: what was said, without numbers of sizes.
        optional: names of those numbers, for messages.
    """
    asked = [*prompted, *others]
    if isinstance(value, Mapping) and prompted and PROMPT in value:
        rest = {name: each for name, each in value.items() if name != PROMPT}
        value = dict.fromkeys(prompted, value[PROMPT]) | rest
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
        every = [PROMPT] if prompted else []
        also = f", and if you like {_names(sorted(set(optional)))}" if optional else ""
        raise InvalidInput(
            f"condition names {unknown or missing} are {'unknown' if unknown else 'missing'}; "
            f"the network takes {_names([*every, *asked])}{also}."
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


def _seen(
    lane: Lane, inputs: tuple[ConditionInput, ...], sizes: Mapping[str, Array], mask: Array | None
) -> Lane:
    """The lane with what follows from the request's size and start."""
    masked = {entry.name: _hidden(entry, mask) for entry in inputs if entry.source is Source.MASK}
    shown = tuple(entry for entry in inputs if entry.source is Source.EXTERNAL_PICTURE)
    return replace(lane, given={**lane.given, **sizes, **masked}, shown=shown)


def _hidden(entry: ConditionInput, mask: Array | None) -> Array:
    """The mask as the denoiser takes it."""
    if mask is None:
        raise InvalidInput(
            "this network repaints part of a picture and has to be shown both. Pass "
            "start=Start(picture, mask=mask), white where it paints; for `denoisert generate` that "
            "is --init-image FILE --mask FILE."
        )
    if entry.shape != (1, *mask.shape):
        raise EngineError(
            f"input {entry.name!r} takes a mask of shape {entry.shape}, the latent's is "
            f"{(1, *mask.shape)}. Compile the model again."
        )
    return mask.astype(entry.dtype).reshape(entry.shape)


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


def _cuts(texts: tuple[TextEncoder, ...], said: list[_Said]) -> Iterator[str]:
    """A note for every prompt that was cut, and for every negative one."""
    whats = zip(("prompt", "negative prompt"), said, strict=False)
    for (what, side), text in product(whats, texts):
        dropped = side.prompts[text.name].dropped
        whose = f" for {text.name}" if len(texts) > 1 else ""
        if dropped:
            yield f"{what} truncated{whose}: {dropped} of {text.room + dropped} tokens dropped"


def _unasked(condition: Condition, count: int) -> Iterator[str]:
    """A note for a negative condition where the guidance has no uncond branch."""
    if count == 1 and condition.negative is not None:
        yield (
            "the negative condition is not used, for no second branch runs: guide with a scale "
            "above 1, or beside a scale that the network is told with one of its own (--beside)"
        )


def _nothing(value: object) -> dict[str, Any]:
    if value is not None:
        raise InvalidInput(f"condition {value!r} for a network without conditioning; leave it out.")
    return {}


def _names(names: list[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
