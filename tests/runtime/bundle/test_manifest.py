"""The manifest: its id follows from its content, and nothing in it can change unseen."""

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from denoisert.runtime.bundle.document import canonical
from denoisert.runtime.bundle.manifest import EngineEntry, Manifest, check_path
from denoisert.runtime.errors import BundleError, InvalidInput, ManifestMismatch, Tampered

STORED = Path(__file__).parents[2] / "data" / "format-1.bundle" / "manifest.json"
Change = Callable[[dict[str, Any]], object]


def signed(data: dict[str, Any]) -> bytes:
    """The text with the id that fits, as a hostile but careful writer would make it."""
    body = {key: value for key, value in data.items() if key != "id"}
    return canonical({**body, "id": hashlib.sha256(canonical(body)).hexdigest()})


def test_stored_manifest_keeps_its_bytes_through_the_types() -> None:
    text = STORED.read_bytes()
    assert signed(json.loads(text)) == text
    manifest = Manifest.from_json(text)
    again = Manifest.from_json(manifest.with_id().to_json())
    assert again == manifest.with_id()
    assert again.files == manifest.files
    assert again.card == manifest.card


def test_id_is_the_digest_of_the_rest() -> None:
    data = json.loads(STORED.read_bytes())
    found = data.pop("id")
    assert found == hashlib.sha256(canonical(data)).hexdigest()
    assert Manifest.from_json(STORED.read_bytes()).id == found


def test_equal_content_has_an_equal_id_whatever_the_order_or_number_form() -> None:
    manifest = Manifest.from_json(STORED.read_bytes())
    shuffled = Manifest(
        format=manifest.format,
        id="",
        source=manifest.source,
        created_by=manifest.created_by,
        card=manifest.card,
        graphs=dict(reversed(manifest.graphs.items())),
        engines=manifest.engines,
        files=dict(reversed(manifest.files.items())),
    )
    assert shuffled.with_id().id == manifest.with_id().id


def test_every_flipped_byte_is_noticed() -> None:
    text = STORED.read_bytes()
    generator = random.Random(20)
    for place in generator.sample(range(len(text)), 300):
        changed = bytearray(text)
        changed[place] ^= 1 << generator.randrange(8)
        with pytest.raises((Tampered, ManifestMismatch)):
            Manifest.from_json(bytes(changed))


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"null", b'"x"', b"\x00" * 100, b"{" * 99])
def test_a_text_that_is_no_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(Tampered, match=r"manifest\.json"):
        Manifest.from_json(text)


def test_whitespace_is_a_change() -> None:
    with pytest.raises(Tampered, match="was changed"):
        Manifest.from_json(STORED.read_bytes() + b"\n")


@pytest.mark.parametrize("found", [0, 3, 99, -1])
def test_another_version_is_named_with_the_readable_ones(found: int) -> None:
    text = signed({**json.loads(STORED.read_bytes()), "format": found})
    with pytest.raises(ManifestMismatch, match=f"format {found}; this DenoiseRT reads 1 and 2"):
        Manifest.from_json(text)


def test_a_version_from_the_future_needs_no_known_keys() -> None:
    with pytest.raises(ManifestMismatch, match="format 7"):
        Manifest.from_json(b'{"format":7,"secrets":[]}')


def test_a_changed_id_is_refused() -> None:
    data = json.loads(STORED.read_bytes())
    with pytest.raises(Tampered, match="does not have the id 'abc'"):
        Manifest.from_json(canonical({**data, "id": "abc"}))
    del data["id"]
    with pytest.raises(Tampered, match="does not have the id None"):
        Manifest.from_json(canonical(data))


def engine(data: dict[str, Any]) -> dict[str, Any]:
    return data["engines"]["onnxruntime"]["graphs"]["denoiser"]


def speaking(card: dict[str, Any]) -> dict[str, Any]:
    """What a card of a model with text has in addition, without its tokenizer's file."""
    states = {"name": "states", "source": "encoder_output", "dtype": "float32", "shape": [4, 2]}
    states |= {"encoder": "words", "output": "states"}
    text = {"name": "words", "tokenizer": "tokenizers/words.json", "tokens": 4}
    return {"conditions": [*card["conditions"], states], "texts": [text]}


CONSISTENT_LIES: list[tuple[Change, str]] = [
    (lambda data: data.update(extra=1), "unknown key 'extra'"),
    (lambda data: data.pop("source"), "key 'source' is missing"),
    (lambda data: data.update(source="yesterday"), "must be a SHA-256"),
    (lambda data: data["card"].update(name=1), r"manifest\.json\.card\.name"),
    (
        lambda data: data["files"].update({"../x": {"sha256": "0" * 64, "size": 1}}),
        "plain relative",
    ),
    (lambda data: data["files"].update({"/etc/x": {"sha256": "0" * 64, "size": 1}}), "relative"),
    (lambda data: data["files"].update({"a": {"sha256": "0" * 63, "size": 1}}), "SHA-256"),
    (lambda data: data["files"].update({"a": {"sha256": "0" * 64, "size": -1}}), "negative"),
    (lambda data: data["files"].update({"a": {"sha256": "0" * 64, "size": 1.0}}), "whole number"),
    (
        lambda data: data["files"].update({"manifest.json": {"sha256": "0" * 64, "size": 1}}),
        "cannot list itself",
    ),
    (lambda data: data["files"].pop("graphs/denoiser.onnx"), "not among the files"),
    (lambda data: engine(data).update(path="graphs/denoiser.onnx"), "must lie in engines/onnxru"),
    (lambda data: engine(data).update(path="engines/onnxruntime/../../x"), "not among the files"),
    (lambda data: engine(data).update(weights=["weights/none"]), "not among the files"),
    (lambda data: engine(data).update(inputs=[{"name": "x", "dtype": "f", "dims": [[]]}]), "dims"),
    (lambda data: data["engines"]["onnxruntime"].update(buckets=[2, 1]), "ascending"),
    (lambda data: data["engines"]["onnxruntime"].update(version=None), "must be a text"),
    (lambda data: data["engines"]["onnxruntime"].update(graphs={}), "'onnxruntime' lack denoiser"),
    (lambda data: data["card"].update(speaking(data["card"])), "tokenizer of 'words', is not"),
]


@pytest.mark.parametrize(("change", "says"), CONSISTENT_LIES)
def test_a_manifest_with_a_fitting_id_is_still_not_believed(change: Change, says: str) -> None:
    data = json.loads(STORED.read_bytes())
    change(data)
    with pytest.raises(BundleError, match=says):
        Manifest.from_json(signed(data))


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/etc/passwd", "..", "../a", "a/../b", "a/..", ".", "./a", "a//b", "a/"),
        *(
            "a\\b",
            "..\\b",
            "a\0b",
            "a\nb",
            "\x7f",
            "\u202ea",
            "a" * 256,
            "a/" * 600 + "a",
            "ü" * 128,
        ),
    ],
)
def test_a_path_that_could_mislead_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="not a plain relative path"):
        check_path(path)


@pytest.mark.parametrize("path", ["a", "weights/0.safetensors", "a/b/..c/d", "...", "ü/é", "a b"])
def test_a_plain_path_is_accepted(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize("buckets", [(0,), (-1, 1), (1, 1), (2, 1)])
def test_buckets_are_positive_and_ascending(buckets: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="ascending"):
        EngineEntry("1", {}, buckets)
