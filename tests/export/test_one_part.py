"""Compiling holds the weights of one part, once: in its file, then in one session."""

from __future__ import annotations

import weakref
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import nn

from denoisert.export import compile_bundle
from denoisert.export.sources.diffusers import networks
from denoisert.export.sources.diffusers.component import Component
from denoisert.export.sources.diffusers.folder import read_folder
from denoisert.export.sources.diffusers.stored import Files
from denoisert.export.sources.diffusers.weights import find_weights
from denoisert.runtime.errors import ExportError

STEMS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
}
PARTS = ["unet", "text_encoder", "vae"]
GRAPHS = 8  # of denoiser, text encoder, decoder and encoder: the graph and its engine


class Holders:
    """Everything that holds weights, in the order in which it came."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._alive: weakref.WeakValueDictionary[int, object] = weakref.WeakValueDictionary()

    @property
    def alive(self) -> list[str]:
        return [self.names[index] for index in sorted(self._alive)]

    def add(self, name: str, holder: object) -> None:
        self._alive[len(self.names)] = holder
        self.names.append(name)


@pytest.fixture
def holders(monkeypatch: pytest.MonkeyPatch) -> Holders:
    """Watches networks and sessions; each finds nothing else alive when it comes."""
    found, build = Holders(), networks.build_network

    class Session(onnxruntime.InferenceSession):
        def __init__(self, *args: object, **options: object) -> None:
            known = "vae" if "vae" in found.alive else ""  # its encoder is still to be traced
            assert found.alive == ([known] if known else []), "before a session is opened"
            super().__init__(*args, **options)
            found.add("session", self)

    def watched(component: Component, *rest: object) -> nn.Module:
        assert found.alive == [], f"before {component.name} is built"
        network = build(component, *rest)
        found.add(component.name, network)
        return network

    monkeypatch.setattr(networks, "build_network", watched)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    return found


@pytest.mark.slow  # an export of its own
def test_no_two_parts_are_in_memory(
    tiny_text_folder: Path, tmp_path: Path, holders: Holders
) -> None:
    compile_bundle(tiny_text_folder, tmp_path / "a.bundle")
    assert [name for name in holders.names if name != "session"] == PARTS
    assert holders.names.count("session") == GRAPHS


@pytest.mark.parametrize("name", PARTS)
def test_weights_are_read_where_they_lie(tiny_text_folder: Path, name: str) -> None:
    """Pages of the file, which the system can take back, instead of a copy."""
    component = read_folder(tiny_text_folder).components[name]
    (path,) = find_weights(component.folder, STEMS[name])
    network = networks.build_network(component, Files((path,), name))
    spans = mapped(path)
    for key, tensor in network.named_parameters():
        assert any(tensor.data_ptr() in span for span in spans), key


def mapped(path: Path) -> list[range]:
    """Addresses at which this process sees a file."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    ends = [line.split(maxsplit=1)[0].split("-") for line in lines if line.endswith(str(path))]
    return [range(int(first, 16), int(last, 16)) for first, last in ends]


class Drawn(nn.Module):
    """It keeps something random that no file has."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)
        self.register_buffer("table", torch.arange(3), persistent=False)
        self.register_buffer("noise", torch.randn(3), persistent=False)


def test_what_no_file_has_is_refused() -> None:
    with networks.Unfilled():
        network = Drawn()
    assert network.layer.weight.is_meta
    assert network.table.tolist() == [0, 1, 2]
    filled = {"layer.weight": torch.ones(3, 2), "layer.bias": torch.ones(3)}
    network.load_state_dict(filled, assign=True)
    with pytest.raises(ExportError, match="unet: noise is drawn at random"):
        networks.check_filled(network, "unet")
