"""How named objects are written: as JSON in cards and bundles, as text on the command line."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from enum import Enum
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints, overload

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.names import (
    EVERYTHING,
    FIELDS,
    GUIDANCE,
    OPERATIONS,
    SCHEDULES,
    SOLVERS,
    SPACINGS,
)

T = TypeVar("T")

LONGEST_TEXT = 400
LARGEST_WHOLE = 2**53  # beyond it a float no longer holds every whole number
ALIKE, MOST_ALIKE = 0.65, 3  # how near a name has to be to be proposed, and how many are

KINDS: tuple[tuple[Mapping[str, type[object]], str, str], ...] = (
    (SOLVERS, "a solver", "solvers"),
    (SPACINGS, "a schedule of steps", "schedules of steps"),
    (SCHEDULES, "a noise schedule", "noise schedules"),
    (GUIDANCE, "a guidance", "guidances"),
    (OPERATIONS, "an operation", "operations"),
)
"""What the names of a table are called."""


def to_dict(value: object) -> dict[str, Any]:
    """The JSON form of a named object: {"name": ..., every field}.

    Raises:
        InvalidInput: an object of a class that has no name.
    """
    for name, kind in EVERYTHING.items():
        if type(value) is kind:
            return {"name": name} | {
                key: _encode(getattr(value, key)) for key in _field_names(kind)
            }
    raise InvalidInput(f"{value!r} has no name. Known names: {_known(EVERYTHING)}.")


@overload
def from_dict(data: Mapping[str, Any]) -> object: ...


@overload
def from_dict(data: Mapping[str, Any], table: Mapping[str, type[T]]) -> T: ...


def from_dict(data: Mapping[str, Any], table: Mapping[str, type[object]] = EVERYTHING) -> object:
    """The inverse of `to_dict`; fields left out take their defaults.

    Args:
        data: {"name": ..., fields}.
        table: the names that are allowed here.

    Raises:
        InvalidInput: an unknown name or field, or a value of another type than the field's.
    """
    name = data.get("name") if isinstance(data, Mapping) else None
    if not isinstance(name, str):
        raise InvalidInput(f'{data!r} is not of the form {{"name": ..., fields}}.')
    return _build(table, name, {key: value for key, value in data.items() if key != "name"})


def parse(table: Mapping[str, type[T]], text: str) -> T:
    """An object written as on the command line: `ddim`, `ddim(eta=0.5)`, `karras(final=last)`.

    Names are those of the table or of the classes, so that what an object's repr and a message
    print can be pasted: `Karras(rho=5.0, final=Final.LAST)`.

    Args:
        table: the names that are allowed here.
        text: a name, with keyword arguments in parentheses or without; a value is a literal, one
            of a field's known words, or an object written the same way.

    Raises:
        InvalidInput: text of another form, an unknown name or field, or a value of another type.
    """
    try:
        name, values = _read(text)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise InvalidInput(_unreadable(table, text[:LONGEST_TEXT])) from None
    return _build(table, name, values)


def _unreadable(table: Mapping[str, type[object]], text: str) -> str:
    """What to write instead: the fields of a name that is known, else the names."""
    name = _name(table, text.split("(")[0].strip())
    words = ", ".join(f"{field}=.." for field in _field_names(table[name])) if name else ""
    known = f"{name}({words})" if name else f"name(field=1.5). Known names: {_known(table)}"
    return f"cannot read {text!r}. Write a name, or a name with values by field: {known}."


def _name(table: Mapping[str, type[object]], word: str) -> str | None:
    """The name that a word means: a name of the table, or a class in it."""
    if word in table:
        return word
    return next((name for name, kind in table.items() if kind.__name__ == word), None)


def _read(text: str) -> tuple[str, dict[str, object]]:
    """Name and keyword arguments; ValueError where there is anything else."""
    if len(text) > LONGEST_TEXT:
        raise ValueError("too long")
    return _read_call(ast.parse(text.strip(), mode="eval").body)


def _read_call(node: ast.expr) -> tuple[str, dict[str, object]]:
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    words = [word.arg for word in call.keywords if word.arg is not None]
    is_plain = len(set(words)) == len(call.keywords) and not call.args
    if not isinstance(call.func, ast.Name) or not is_plain:
        raise ValueError("not a name with keyword arguments")
    values = [_read_value(word.value) for word in call.keywords]
    return call.func.id, dict(zip(words, values, strict=True))


def _read_value(node: ast.expr) -> object:
    """A literal, a word (`last`, `Final.LAST`), or an object as its JSON form (`ddim(eta=1)`)."""
    if isinstance(node, ast.Call):
        name, values = _read_call(node)
        return {"name": name} | values
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def _build(table: Mapping[str, type[T]], name: str, values: Mapping[str, object]) -> T:
    found = _name(table, name)
    if found is None:
        raise InvalidInput(_unknown(table, name))
    kind: type[Any] = table[found]
    hints, known = get_type_hints(kind), _field_names(kind)
    for key in values:
        if key not in known:
            raise InvalidInput(
                f"{name} has no field {key!r}. Its fields: {', '.join(known) or 'none'}."
            )
    built: T = kind(
        **{key: _decode(f"{name}.{key}", hints[key], value) for key, value in values.items()}
    )
    return built


def _unknown(table: Mapping[str, type[object]], name: str) -> str:
    """What is asked for, what the name is instead, what may be meant, and all there is."""
    kind, kinds = next((words for known, *words in KINDS if known is table), ("a name", "names"))
    others = [other for known, other, _ in KINDS if known is not table and _name(known, name)]
    found = f"is {others[0]}, not {kind}" if others else f"is not {kind}"
    close = get_close_matches(name.lower(), table, MOST_ALIKE, ALIKE)
    meant = f"Did you mean {' or '.join(close)}? " if close else ""
    return f"{name!r} {found}. {meant}Known {kinds}: {_known(table)}."


def _known(table: Mapping[str, type[object]]) -> str:
    return ", ".join(sorted(table))


def _field_names(kind: type[object]) -> list[str]:
    return [field.name for field in fields(kind)] if is_dataclass(kind) else []


def _encode(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return to_dict(value)
    return [_encode(item) for item in value] if isinstance(value, tuple) else value


def _decode(where: str, hint: object, value: object) -> object:
    """`value` as `hint`: lists become tuples, whole numbers floats, enum values members."""
    if hint in FIELDS:
        return _decode_named(where, FIELDS[hint], value)
    if get_origin(hint) in (Union, UnionType):
        return _decode_any(where, hint, value)
    if get_origin(hint) is tuple:
        return _decode_tuple(where, hint, value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        known = {member.value: member for member in hint}
        if isinstance(value, str) and value.lower() in known:
            return known[value.lower()]
        raise InvalidInput(f"{where} = {value!r} is unknown. Known values: {', '.join(known)}.")
    if hint is float and type(value) is int and abs(value) <= LARGEST_WHOLE:
        return float(value)
    if type(value) is hint:
        return value
    raise InvalidInput(f"{where} = {value!r} must be of type {getattr(hint, '__name__', hint)}.")


def _decode_named(where: str, table: Mapping[str, type[object]], value: object) -> object:
    if type(value) in table.values():
        return value
    if isinstance(value, str):
        return from_dict({"name": value}, table)
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{where} = {value!r} must be one of {_known(table)}, with its fields.")
    return from_dict(value, table)


def _decode_any(where: str, hint: object, value: object) -> object:
    for choice in get_args(hint):
        try:
            return _decode(where, choice, value)
        except InvalidInput:
            continue
    raise InvalidInput(f"{where} = {value!r} must be of type {hint}.")


def _decode_tuple(where: str, hint: object, value: object) -> tuple[object, ...]:
    kinds = get_args(hint)
    if not isinstance(value, list | tuple):
        raise InvalidInput(f"{where} = {value!r} must be a list.")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise InvalidInput(f"{where} = {value!r} must have {len(kinds)} values.")
    return tuple(_decode(where, kind, item) for kind, item in zip(kinds, value, strict=True))
