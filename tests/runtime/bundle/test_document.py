"""Strict JSON refuses what Python's parser lets pass, and has one canonical form."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denoisert.runtime.bundle.document import MAX_DEPTH, canonical, parse
from denoisert.runtime.errors import InvalidInput

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS.filter(lambda value: value not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def is_utf8(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@settings(deadline=None, max_examples=60)
@given(VALUES.filter(is_utf8))
def test_parse_inverts_canonical(value: object) -> None:
    text = canonical(value)
    assert parse(text, "it") == value
    assert canonical(parse(text, "it")) == text


def test_canonical_sorts_and_drops_whitespace() -> None:
    assert canonical({"b": [1, 2.0], "a": {"ü": None}}) == '{"a":{"ü":null},"b":[1,2.0]}'.encode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"a": 1, "a": 2}', "'a' stands there twice"),
        (b'{"x": [{"a": 1, "b": 0, "b": 0}]}', "'b' stands there twice"),
        (b'{"a": NaN}', "NaN is not a finite number"),
        (b"[-Infinity]", "-Infinity is not a finite number"),
        (b"[1e999]", "1e999 is not a finite number"),
        (b"[" + b"9" * 5000 + b"]", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b'"\xff"', "not valid JSON"),
        ('"ä"'.encode("utf-16"), "not valid JSON"),
        (b"[" * 100_000, "deeper than 32"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "deeper than 32"),
    ],
)
def test_refusal_names_the_text_and_the_reason(text: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        parse(text, "thing.json")
    assert "thing.json" in str(caught.value)


def test_depth_counts_brackets_outside_strings_only() -> None:
    assert parse(b'["' + b"[" * 100 + b'\\"{{"]', "it") == ["[" * 100 + '"{{']
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert canonical(parse(deepest, "it")) == deepest


def test_a_string_that_never_ends_is_refused_without_delay() -> None:
    with pytest.raises(InvalidInput, match="not valid JSON"):
        parse(b'"' + b'\\"' * 500_000, "it")


def test_a_text_beyond_the_limit_is_not_looked_at() -> None:
    with pytest.raises(InvalidInput, match="has 12 bytes; at most 11"):
        parse(b'["01234567"]', "it", 11)
    assert parse(b'["01234567"]', "it", 12) == ["01234567"]


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {1, 2}, b"bytes", "\ud800", object()]
)
def test_canonical_refuses_what_json_cannot_hold(value: object) -> None:
    with pytest.raises(InvalidInput, match="JSON cannot hold"):
        canonical({"value": value})
