"""Plain JSON values to frozen dataclasses and back, strictly and by their annotations.

Every key is known, every value has its type, and an error names the place: `card.training: unknown
key ...`. Fields with a default may be left out, so that a person can write a card by hand. What
JSON alone cannot tell (a solver, a schedule) is converted by the `Codec` given for its annotation.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from denoisert.runtime.bundle.document import Plain
from denoisert.runtime.errors import InvalidInput

Kind = Any  # an annotation


SCALARS: Mapping[type, str] = {
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    bool: "true or false",
}
EXACT_IN_FLOAT = 2**53


class Codec(NamedTuple):
    """How values of one annotation become plain and come back; `decode` also gets the place."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any, str], Any]


Codecs = Mapping[Kind, Codec]


def encode(kind: Kind, value: Plain, codecs: Codecs) -> Plain:
    """Plain values of `value`, which is annotated as `kind`."""
    if kind in codecs:
        return codecs[kind].encode(value)
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return {
            field.name: encode(hints[field.name], getattr(value, field.name), codecs)
            for field in fields(kind)
        }
    origin: Kind = get_origin(kind)
    if origin in (Union, types.UnionType):
        return encode(_member(kind, value), value, codecs)
    if origin is tuple:
        return [encode(get_args(kind)[0], item, codecs) for item in value]
    if origin is not None:
        return {key: encode(get_args(kind)[1], item, codecs) for key, item in value.items()}
    return float(value) if kind is float else value


def decode(kind: Kind, data: Plain, where: str, codecs: Codecs) -> Plain:
    """The value of annotation `kind` that plain `data` stands for.

    Args:
        kind: a dataclass, enum, `tuple[X, ...]`, `Mapping[str, X]`, union, int, float, str, bool or
            a codec's.
        data: what `document.parse` returns.
        where: the place of `data`, for errors.
        codecs: annotation -> codec.

    Raises:
        InvalidInput: a missing or unknown key, or a value of another type; names place, finding and
            choice.
    """
    if kind in codecs:
        return codecs[kind].decode(data, where)
    if is_dataclass(kind):
        return _decode_fields(kind, data, where, codecs)
    origin: Kind = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(kind, data, where, codecs)
    if origin is tuple:
        return _decode_items(get_args(kind)[0], data, where, codecs)
    if origin is not None:
        return _decode_mapping(get_args(kind)[1], data, where, codecs)
    if issubclass(kind, Enum):
        return _decode_enum(kind, data, where)
    return _decode_scalar(kind, data, where)


def shown(data: Plain) -> str:
    """A value in an error, cut short."""
    text = repr(data)
    return text if len(text) <= 60 else text[:57] + "..."


def _decode_fields(kind: Kind, data: Plain, where: str, codecs: Codecs) -> Plain:
    known = [field.name for field in fields(kind)]
    if not isinstance(data, dict):
        raise InvalidInput(
            f"{where} must be an object with the keys {', '.join(known)}; found {shown(data)}."
        )
    for key in data.keys() - set(known):
        raise InvalidInput(
            f"{where}: unknown key {shown(key)} with value {shown(data[key])}. "
            f"The known keys are {', '.join(known)}."
        )
    for field in fields(kind):
        is_needed = field.default is MISSING and field.default_factory is MISSING
        if is_needed and field.name not in data:
            raise InvalidInput(
                f"{where}: key {field.name!r} is missing; found "
                f"{', '.join(sorted(data)) or 'no key'}. The known keys are {', '.join(known)}."
            )
    hints = get_type_hints(kind)
    values = {key: decode(hints[key], data[key], f"{where}.{key}", codecs) for key in data}
    try:
        return kind(**values)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from error


def _decode_items(kind: Kind, data: Plain, where: str, codecs: Codecs) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise InvalidInput(f"{where} must be a list; found {shown(data)}.")
    return tuple(decode(kind, item, f"{where}[{n}]", codecs) for n, item in enumerate(data))


def _decode_mapping(kind: Kind, data: Plain, where: str, codecs: Codecs) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise InvalidInput(f"{where} must be an object; found {shown(data)}.")
    return {key: decode(kind, item, f"{where}[{key!r}]", codecs) for key, item in data.items()}


def _decode_union(kind: Kind, data: Plain, where: str, codecs: Codecs) -> Plain:
    member = _member(kind, data)
    return None if member is type(None) else decode(member, data, where, codecs)


def _member(kind: Kind, data: Plain) -> Kind:
    """The member of a union that a value belongs to: None, the scalar of its type, or the last."""
    members = [member for member in get_args(kind) if member is not type(None)]
    if data is None and len(members) < len(get_args(kind)):
        return type(None)
    return next((member for member in members if type(data) is member), members[-1])


def _decode_enum(kind: type[Enum], data: Plain, where: str) -> Enum:
    known = {str(member.value): member for member in kind}
    if not isinstance(data, str) or data not in known:
        raise InvalidInput(f"{where} is {shown(data)}; known values are {', '.join(known)}.")
    return known[data]


def _decode_scalar(kind: type, data: Plain, where: str) -> Plain:
    if kind is float and type(data) is int and abs(data) <= EXACT_IN_FLOAT:
        return float(data)
    if type(data) is not kind or (isinstance(data, float) and not math.isfinite(data)):
        raise InvalidInput(f"{where} must be {SCALARS[kind]}; found {shown(data)}.")
    return data
