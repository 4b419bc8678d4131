"""What the fields of a named object may hold: checked as it is made, in one place for all of them.

The classes' own checks are of values (a range, an order, a level that falls) and may rely on types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from enum import Enum
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from denoisert.runtime.errors import InvalidInput

T = TypeVar("T")

SHOWN = 80
NOUNS = {float: "a number", int: "a whole number", bool: "True or False", NoneType: "None"}


def checked(kind: type[T]) -> type[T]:
    """Have a dataclass refuse, as it is made, what is not of its fields' types.

    Whole numbers count as numbers, NumPy's too; True and False do not. A field whose type is a
    protocol takes an object that has its methods, not a class and not a name.

    Args:
        kind: not yet a dataclass: this decorator stands below `@dataclass`.

    Returns:
        The class, whose `__post_init__` raises InvalidInput.
    """
    own: Callable[[Any], None] | None = getattr(kind, "__post_init__", None)

    def check(self: object) -> None:
        _check(self)
        if own is not None:
            own(self)

    kind.__post_init__ = check  # type: ignore[attr-defined]
    return kind


def _check(named: Any) -> None:  # noqa: ANN401
    for each, hint in _hints(type(named)):  # type: ignore[arg-type]
        value = getattr(named, each.name)
        if not _fits(value, hint):
            shown = repr(value)
            shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
            found = "a class" if isinstance(value, type) else f"of type {type(value).__name__}"
            raise InvalidInput(
                f"{type(named).__name__}({each.name}={shown}): it is {found}, and {each.name} has "
                f"to be {_noun(hint)}. {_advice(each, hint)}"
            )


@cache
def _hints(kind: type[Any]) -> tuple[tuple[Field[Any], object], ...]:
    hints = get_type_hints(kind)
    return tuple((each, hints[each.name]) for each in fields(kind))


def _fits(value: object, hint: Any) -> bool:  # noqa: ANN401
    """Whether a value is of a type as an annotation writes it."""
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, choice) for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and _all_fit(value, get_args(hint))
    if hint in (float, int):
        number = Real if hint is float else Integral
        return isinstance(value, number) and not isinstance(value, bool)
    return isinstance(value, hint) and not isinstance(value, type)


def _all_fit(values: tuple[object, ...], kinds: tuple[Any, ...]) -> bool:
    if kinds[-1] is Ellipsis:
        return all(_fits(value, kinds[0]) for value in values)
    return len(values) == len(kinds) and all(map(_fits, values, kinds))


def _noun(hint: Any) -> str:  # noqa: ANN401
    """A type in words."""
    if hint in NOUNS:
        return NOUNS[hint]
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(_noun, get_args(hint)))
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        if kinds[-1] is Ellipsis:
            return f"a tuple, each of its entries {_noun(kinds[0])}"
        return f"a tuple ({', '.join(map(_noun, kinds))})"
    article = "an" if hint.__name__[0] in "AEIOU" else "a"
    return f"{article} {hint.__name__}"


def _advice(field: Field[Any], hint: Any) -> str:  # noqa: ANN401
    """What to pass: any member of an enumeration, else something like the default."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"Pass {' or '.join(map(repr, hint))}."
    default = field.default if field.default_factory is MISSING else field.default_factory()
    if default in (MISSING, None, ()):
        return f"Pass {_noun(hint)}."
    return f"Pass something like {default!r}, which is the default."
