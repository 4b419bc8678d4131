"""The manifest: what a bundle holds, and the SHA-256 of every byte of it.

The file is canonical JSON, byte for byte, so that nothing in it can change unseen; the bundle id is
the SHA-256 of the same text without its id. There is no time in it: equal content has an equal id.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.codecs import CODECS
from denoisert.runtime.bundle.document import Plain, canonical, parse
from denoisert.runtime.bundle.typed import decode, encode, shown
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.profile import Profile
from denoisert.runtime.engines.target import FLOAT32
from denoisert.runtime.errors import InvalidInput, ManifestMismatch, Tampered

FORMAT = 2
READABLE = (1, 2)  # this version and the one before
NAME = "manifest.json"
MAX_PATH_BYTES = 1024
MAX_FILE_NAME_BYTES = 255
_DIGEST = re.compile(r"[0-9a-f]{64}")


def _check_digest(what: str, digest: str) -> None:
    if not _DIGEST.fullmatch(digest):
        raise InvalidInput(
            f"{what} is {shown(digest)}; it must be a SHA-256, 64 hexadecimal digits."
        )


def check_path(path: str) -> None:
    """Refuse a path that could leave the bundle or name one file in two ways.

    Args:
        path: relative, with forward slashes.

    Raises:
        InvalidInput: absolute, "." or "..", a backslash, a control character, or too long.
    """
    pieces = path.split("/")
    is_plain = all(piece not in ("", ".", "..") for piece in pieces)
    is_printable = path.isprintable() and "\\" not in path
    longest = max(len(piece.encode("utf-8", "replace")) for piece in pieces)
    if (
        not is_plain
        or not is_printable
        or longest > MAX_FILE_NAME_BYTES
        or len(path) > MAX_PATH_BYTES
    ):
        raise InvalidInput(f"path {shown(path)} is not a plain relative path inside the bundle.")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file.

    Args:
        sha256: of its content, 64 hexadecimal digits.
        size: in bytes.
    """

    sha256: str
    size: int

    def __post_init__(self) -> None:
        _check_digest("sha256", self.sha256)
        if self.size < 0:
            raise InvalidInput(f"size is {self.size} bytes; it cannot be negative.")


@dataclass(frozen=True, slots=True)
class GraphEntry:
    """One graph or engine file and what it needs.

    Args:
        path: the file.
        weights: the weight files that it reads.
        inputs: what it reads.
        outputs: what it writes.
        opset: ONNX operator set, 0 for a file that is not ONNX.
        dtype: that it computes in; its ports have dtypes of their own.
        profiles: shapes that it was compiled for; none where it takes all that its ports allow.
    """

    path: str
    weights: tuple[str, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    opset: int = 0
    dtype: str = FLOAT32
    profiles: tuple[Profile, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """The engines of one target.

    Args:
        version: of the library that built them, as it prints itself.
        graphs: component, for example "denoiser" -> its engine, below engines/<target>/.
        buckets: lane counts that it was compiled for; empty means any.
        capabilities: of the GPUs it was compiled for; empty means all that the library supports.
    """

    version: str
    graphs: Mapping[str, GraphEntry]
    buckets: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if list(self.buckets) != sorted({bucket for bucket in self.buckets if bucket > 0}):
            raise InvalidInput(f"buckets {self.buckets} must be positive, ascending and different.")


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that `manifest.json` says; an instance is consistent in itself.

    Args:
        format: version of the bundle format.
        id: SHA-256 of the canonical manifest without its id.
        source: fingerprint of what was compiled (weights, card, options, versions), 64 hexadecimal
            digits.
        created_by: program and version.
        card: the model card.
        graphs: component -> graph.
        engines: key of a target -> its engines.
        files: path -> digest and size of every file except the manifest.
    """

    format: int
    id: str
    source: str
    created_by: str
    card: Card
    graphs: Mapping[str, GraphEntry]
    engines: Mapping[str, EngineEntry]
    files: Mapping[str, FileEntry]

    def __post_init__(self) -> None:
        _check_digest("source", self.source)
        for path in self.files:
            check_path(path)
        if NAME in self.files:
            raise InvalidInput(f"{NAME} cannot list itself.")
        for text in self.card.texts:
            if text.tokenizer not in self.files:
                raise InvalidInput(
                    f"{shown(text.tokenizer)}, the tokenizer of {shown(text.name)}, is not among "
                    "the files."
                )
        for graph in self.graphs.values():
            self._check_graph(graph, "graphs/")
        for target, engine in self.engines.items():
            missing = sorted(set(self.card.components) - set(engine.graphs))
            if missing:
                raise InvalidInput(f"the engines of {shown(target)} lack {', '.join(missing)}.")
            for graph in engine.graphs.values():
                self._check_graph(graph, f"engines/{target}/")

    def _check_graph(self, graph: GraphEntry, folder: str) -> None:
        if not graph.path.startswith(folder):
            raise InvalidInput(f"{shown(graph.path)} must lie in {folder}.")
        for path in (graph.path, *graph.weights):
            if path not in self.files:
                raise InvalidInput(f"{shown(path)} is used and not among the files.")

    def with_id(self) -> Manifest:
        """This manifest as it will be read back, with the id that its content has."""
        plain = encode(Manifest, self, CODECS)
        normal: Manifest = decode(Manifest, plain, NAME, CODECS)  # 1 and 1.0 become one text
        return replace(normal, id=_identify(encode(Manifest, normal, CODECS)))

    def to_json(self) -> bytes:
        """The text of `manifest.json`."""
        return canonical(encode(Manifest, self, CODECS))

    @classmethod
    def from_json(cls, text: bytes) -> Manifest:
        """Read `manifest.json`.

        Raises:
            ManifestMismatch: another format version.
            Tampered: the text does not have its own id, or is no manifest at all.
        """
        try:
            data = parse(text, NAME)
            _check_format(data)
            if canonical(data) != text or data.get("id") != _identify(data):
                raise Tampered(
                    f"{NAME} was changed after the bundle was written: its content does not have "
                    f"the id {shown(data.get('id'))}. Fetch the bundle again, or delete it and "
                    "compile it again."
                )
            manifest: Manifest = decode(Manifest, data, NAME, CODECS)
        except InvalidInput as error:
            raise Tampered(f"this is no bundle that can be used: {error}") from error
        return manifest


def _check_format(data: Plain) -> None:
    found = data.get("format") if isinstance(data, dict) else None
    if type(found) is not int:
        raise InvalidInput(f"{NAME} has format {shown(found)}; it must be a whole number.")
    if found not in READABLE:
        raise ManifestMismatch(
            f"the bundle has format {found}; this DenoiseRT reads "
            f"{' and '.join(map(str, READABLE))}. Compile it again, or use the DenoiseRT that "
            "wrote it."
        )


def _identify(data: Mapping[str, Any]) -> str:
    content = {key: value for key, value in data.items() if key != "id"}
    return hashlib.sha256(canonical(content)).hexdigest()
