"""A small bundle in any number of different versions, and a look at which one lies there."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from denoisert.export.bundle import Contents, Draft, write_bundle, write_weights
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.manifest import GraphEntry, Manifest
from denoisert.runtime.bundle.open import Bundle

STORED = Path(__file__).parents[1] / "data" / "format-1.bundle" / "manifest.json"
CARD = Card.from_dict(json.loads(STORED.read_bytes())["card"])


def source(version: int) -> str:
    return hashlib.sha256(b"version %d" % version).hexdigest()


def filler(version: int, elements: int = 3000) -> Callable[[Draft], Contents]:
    """A function that fills a draft with weights, a graph and an engine that tell the version."""

    def fill(draft: Draft) -> Contents:
        values = np.full(elements, version, np.float32)
        name, _ = write_weights(draft.folder / "weights", {"values": values})
        weights = (f"weights/{name}",)
        draft.write("graphs/denoiser.onnx", b"graph %d " % version, bytes(range(256)))
        draft.write(f"graphs/only-in-{version}.txt", b"")
        graph = GraphEntry("graphs/denoiser.onnx", weights, (), (), 23)
        return Contents(CARD, {"denoiser": graph}, {}, "tests")

    return fill


def write(out: Path, version: int, elements: int = 3000) -> Manifest:
    return write_bundle(out, source(version), filler(version, elements), lock_timeout_s=60.0)


def version_at(out: Path) -> int:
    """The version of a bundle that is whole; raises where it is not."""
    bundle = Bundle.open(out)
    bundle.verify_all()
    version = int((out / "graphs" / "denoiser.onnx").read_bytes().split()[1])
    assert bundle.manifest.source == source(version)
    return version
