"""Toys of several sizes: one graph whose height and width have names, and bundles of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx

from denoisert.export.bundle import Contents, Draft, write_bundle
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.manifest import EngineEntry, GraphEntry
from denoisert.runtime.bundle.picture import Autoencoder
from denoisert.runtime.bundle.sizes import state_dims, tile_dims
from denoisert.runtime.engines.ort import OrtEngine
from denoisert.runtime.layout import Part, StateLayout
from tests.runtime.coders import CHANNELS, FACTOR, Painter
from tests.runtime.networks import OPSET, Toy, convolution

SIZES = ((6, 4), (4, 8))
"""Of latents; pixels are twice as many where there is a painter."""

PAINTER = Painter.drawn()
ORT = "onnxruntime"


def layouts(*sizes: tuple[int, int], channels: int = CHANNELS) -> tuple[StateLayout, ...]:
    """States of one plane, one for each size."""
    return tuple(StateLayout((Part("latent", (channels, *size)),)) for size in sizes)


def network(first: StateLayout, **shape: object) -> Toy:
    """The same weights whatever the layout, since they are drawn by its channels alone."""
    return convolution(seed=5, layout=first, **shape)


def sized_card(*sizes: tuple[int, int], coder: Autoencoder | None = None, **fields: object) -> Card:
    """A card of a convolution that takes latents of several sizes."""
    first, *others = layouts(*sizes)
    toy = network(first)
    return toy.card(further=tuple(others), autoencoder=coder, **fields)


def coder(tile: tuple[int, int], **fields: object) -> Autoencoder:
    """The painter's, for tiles of at most this size."""
    return replace(Autoencoder(FACTOR, 3, tile), **fields)


def sized_model(card: Card, **shape: object) -> onnx.ModelProto:
    """The network's graph with the axes that the card names."""
    model = network(card.layout, **shape).model
    ports = {port.name: port for port in (*model.graph.input, *model.graph.output)}
    (dims,) = state_dims(card)
    for name in ("latent", "out_latent"):
        sizes = list(ports[name].type.tensor_type.shape.dim)[1:]
        for size, dim in zip(sizes, dims, strict=True):
            if isinstance(dim, str):
                size.dim_param = dim  # in place of the value
    onnx.checker.check_model(model)
    return model


def models(card: Card, **shape: object) -> dict[str, onnx.ModelProto]:
    """Every graph of the card's bundle, by component."""
    found = {"denoiser": sized_model(card, **shape)}
    if card.autoencoder is not None:
        found["decoder"] = PAINTER.decoder_graph(tile_dims(card)).model
        found["encoder"] = PAINTER.encoder_graph(tile_dims(card)).model
    return found


def sized_bundle(folder: Path, card: Card, **shape: object) -> Path:
    """A bundle of the card, for ONNX Runtime and torch."""
    return bundle_of(folder, card, models(card, **shape))


def bundle_of(folder: Path, card: Card, found: Mapping[str, onnx.ModelProto]) -> Path:
    """A bundle of a card and its graphs, by component."""

    def fill(draft: Draft) -> Contents:
        graphs = {}
        for name, model in found.items():
            path = f"graphs/{name}.onnx"
            draft.write(path, model.SerializeToString())
            engine = OrtEngine(draft.folder / path, draft.folder, threads=1)
            graphs[name] = GraphEntry(path, (), engine.inputs, engine.outputs, OPSET)
            engine.close()
        engines = {}
        for name, entry in graphs.items():
            path = f"engines/{ORT}/{name}.onnx"
            draft.write(path, found[name].SerializeToString())
            engines[name] = replace(entry, path=path)
        return Contents(card, graphs, {ORT: EngineEntry("1.0", engines)}, "tests")

    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "sized.bundle"
    write_bundle(out, hashlib.sha256(card.to_json()).hexdigest(), fill, lock_timeout_s=60.0)
    return out
