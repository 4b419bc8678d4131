"""One compilation of several components: what each leaves in the bundle and in the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from denoisert.export.build import STAGES, WRITE, Build
from denoisert.export.bundle import write_bundle
from denoisert.export.graph.signature import decoder_signature, denoiser_signature
from denoisert.export.need import Part
from denoisert.export.options import CompileOptions, Progress
from denoisert.export.sources.module import load_component
from denoisert.export.sources.source import Component, Loaded
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.bundle.picture import Autoencoder, Picture
from denoisert.runtime.errors import InvalidInput, ParityError
from denoisert.runtime.layout import Part as StatePart
from tests.export.networks import card_of

KEY = "0" * 64
CARD = dataclasses.replace(
    card_of((StatePart("latent", (16, 4, 4)),), conditions=()),
    picture=Picture(),
    autoencoder=Autoencoder(2, 4, (4, 4), has_encoder=False),
)


class Denoiser(nn.Module):
    """Its layer has the weights of the decoder's, which is enough to be stored once."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, latent: Tensor, time: Tensor) -> Tensor:
        return self.layer(latent) * time[:, None, None, None]


class Decoder(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, latent: Tensor) -> Tensor:
        return nn.functional.pixel_shuffle(self.layer(latent), 2)


class Pair:
    """A source of both, loaded once for all tests."""

    card = CARD
    parts = (Part("both", 1 << 16),)

    def __init__(self, components: tuple[Component, ...]) -> None:
        self.components = components

    def fingerprint(self) -> str | None:
        return None

    def load(self) -> Loaded:
        card = dataclasses.replace(CARD, name="completed")
        copies = tuple(
            dataclasses.replace(each, graph=each.graph.clone()) for each in self.components
        )
        return Loaded(card, copies, {"tokenizers/words.json": b"{}"}, ("look at the whole.",))


@pytest.fixture(scope="module")
def components() -> tuple[Component, Component]:
    torch.manual_seed(5)
    layer = nn.Conv2d(16, 16, 3, padding=1)
    return (
        load_component(Denoiser(layer), denoiser_signature(CARD)),
        load_component(Decoder(layer), decoder_signature(CARD)),
    )


def build(components: tuple[Component, ...], out: Path, seen: list[Progress]) -> Build:
    made = Build(Pair(components), CompileOptions(), seen.append)
    write_bundle(out, KEY, made.fill)
    made.finish()
    return made


def changed(component: Component, change: Callable[[np.ndarray], np.ndarray]) -> Component:
    """The component whose author meant something else than the graph says."""

    def evaluate(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: change(value) for name, value in component.evaluate(inputs).items()}

    return dataclasses.replace(component, evaluate=evaluate)


def test_every_component_is_stored_built_and_compared(
    components: tuple[Component, Component], tmp_path: Path
) -> None:
    seen: list[Progress] = []
    made = build(components, tmp_path / "a.bundle", seen)
    manifest = Bundle.open(tmp_path / "a.bundle").manifest
    assert list(manifest.graphs) == ["decoder", "denoiser"]
    assert set(manifest.engines["onnxruntime"].graphs) == {"denoiser", "decoder"}
    assert manifest.card.name == "completed", "the loaded card is the one that counts"
    assert "tokenizers/words.json" in manifest.files
    figures = {(each.component, each.graph, each.output) for each in made.parity}
    assert figures == {
        (component, graph, output)
        for component, output in (("denoiser", "velocity"), ("decoder", "picture"))
        for graph in ("graph", "onnxruntime")
    }
    assert [each.phase for each in seen] == [*STAGES, *STAGES, WRITE], "one part after the other"
    assert [(each.index, each.count) for each in seen] == [(n, 11) for n in range(11)]
    assert set(made.phases_ms) == {*STAGES, WRITE}


def test_weights_of_equal_content_are_stored_once(
    components: tuple[Component, Component], tmp_path: Path
) -> None:
    build(components, tmp_path / "a.bundle", [])
    manifest = Bundle.open(tmp_path / "a.bundle").manifest
    (shared,) = {entry.weights for entry in manifest.graphs.values()}
    assert [path for path in manifest.files if path.startswith("weights/")] == list(shared)


def test_notes_say_which_component_they_mean(
    components: tuple[Component, Component], tmp_path: Path
) -> None:
    denoiser, decoder = (dataclasses.replace(each, notes=("look.",)) for each in components)
    made = build((denoiser, decoder), tmp_path / "a.bundle", [])
    assert made.notes == ("look at the whole.", "look.", "decoder: look.")


@pytest.mark.parametrize("index", [0, 1], ids=["denoiser", "decoder"])
def test_a_wrong_graph_is_refused_by_component(
    components: tuple[Component, Component], tmp_path: Path, index: int
) -> None:
    wrong = list(components)
    wrong[index] = changed(wrong[index], lambda value: value * 1.001)
    name = components[index].signature.component
    with pytest.raises(ParityError, match=f"of the {name}'s graph differs"):
        build(tuple(wrong), tmp_path / "a.bundle", [])
    assert not (tmp_path / "a.bundle").exists()


def test_the_digest_of_graphs_follows_every_component(
    components: tuple[Component, Component],
) -> None:
    def digest(*parts: Component) -> str:
        return Build(Pair(parts), CompileOptions(), None).traced_fingerprint()

    both, again = digest(*components), digest(*components)
    assert both == again
    assert digest(*reversed(components)) != both


def test_other_graphs_than_the_card_names_are_refused(
    components: tuple[Component, Component], tmp_path: Path
) -> None:
    words = "names the graphs denoiser, decoder; this kind of model has denoiser"
    with pytest.raises(InvalidInput, match=words):
        build(components[:1], tmp_path / "a.bundle", [])
    assert not (tmp_path / "a.bundle").exists()
