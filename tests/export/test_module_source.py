"""A torch module as a source: its fingerprint follows everything that its graph depends on."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from enum import Enum

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from denoisert.export.sources.module import TorchModule, evaluate_module, is_module
from denoisert.runtime.errors import ExportError
from denoisert.runtime.layout import Part
from tests.export.networks import ConvDenoiser, TwoParts, card_of


class Kind(Enum):
    SOFT = "soft"


@dataclasses.dataclass(frozen=True)
class Sizes:
    width: int = 2


class Plain(nn.Module):
    """Attributes of every sort that a graph may depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("table", torch.ones(3), persistent=False)
        self.gain = 2.0
        self.sizes = Sizes()
        self.kind = Kind.SOFT
        self.levels = [1, (2, "a")]
        self.array = np.arange(4.0)
        self.loose = torch.ones(2)

    def forward(self, latent: Tensor, time: Tensor) -> Tensor:
        return self.linear(latent) * self.gain * time[:, None]


CARD = card_of((Part("latent", (2,)),), conditions=())
BASE = Plain()


def fingerprint(module: nn.Module) -> str | None:
    return TorchModule(module, CARD).fingerprint()


def test_equal_modules_have_equal_fingerprints() -> None:
    assert fingerprint(BASE) is not None
    assert fingerprint(BASE) == fingerprint(copy.deepcopy(BASE))
    assert fingerprint(BASE.train()) == fingerprint(BASE.eval())


@pytest.mark.parametrize(
    "change",
    [
        lambda module: module.linear.weight.data[0, 0].add_(1e-6),
        lambda module: module.table[2].add_(1),
        lambda module: setattr(module, "gain", 2.0000001),
        lambda module: setattr(module, "sizes", Sizes(3)),
        lambda module: setattr(module, "levels", [1, (2, "b")]),
        lambda module: setattr(module, "extra", None),
        lambda module: module.array.__setitem__(3, 7.0),
        lambda module: module.loose.add_(1),
        lambda module: setattr(module, "linear", nn.Sequential(module.linear)),
        lambda module: setattr(module, "linear", nn.Linear(2, 2, bias=False)),
    ],
)
def test_any_change_changes_the_fingerprint(change: Callable[[Plain], object]) -> None:
    changed = copy.deepcopy(BASE)
    change(changed)
    assert fingerprint(changed) not in (None, fingerprint(BASE))


def test_what_cannot_be_read_has_no_fingerprint() -> None:
    for value in (lambda x: x, object(), {"deep": [object()]}):
        opaque = copy.deepcopy(BASE)
        opaque.secret = value
        assert fingerprint(opaque) is None
    hooked = copy.deepcopy(BASE)
    hooked.linear.register_forward_hook(lambda *_: None)
    assert fingerprint(hooked) is None


def test_a_class_without_a_file_has_no_fingerprint() -> None:
    names: dict[str, object] = {"nn": nn}
    exec("class Typed(nn.Module):\n    __module__ = 'builtins'\n", names)
    assert fingerprint(names["Typed"]()) is None


def test_the_size_counts_parameters_and_buffers() -> None:
    assert [part.weight_bytes for part in TorchModule(BASE, CARD).parts] == [4 * (4 + 2 + 3)]


def test_eager_outputs_have_the_names_of_the_card() -> None:
    inputs = {
        "sound": np.ones((2, 3), np.float32),
        "picture": np.ones((2, 2, 4, 4), np.float32),
        "time": np.array([0.0, 1.0], np.float32),
    }
    found = evaluate_module(TwoParts(), ("mixed", "scaled"), inputs)
    assert {name: value.shape for name, value in found.items()} == {
        "mixed": (2, 6),
        "scaled": (2, 2, 4, 4),
    }


def test_a_result_that_is_no_tensor_is_refused() -> None:
    class Named(nn.Module):
        def forward(self, latent: Tensor, time: Tensor) -> dict[str, Tensor]:
            return {"velocity": latent}

    inputs = {"latent": np.ones((1, 2), np.float32), "time": np.ones(1, np.float32)}
    with pytest.raises(ExportError, match="returns dict"):
        evaluate_module(Named(), ("velocity",), inputs)


def test_a_card_with_more_classes_than_the_module_is_refused_with_its_own_error() -> None:
    inputs = {
        "latent": np.ones((1, 2, 6, 6), np.float32),
        "time": np.ones(1, np.float32),
        "label": np.array([99]),
    }
    with pytest.raises(ExportError, match=r"ConvDenoiser itself fails .* IndexError"):
        evaluate_module(ConvDenoiser(), ("velocity",), inputs)


def test_parameters_of_zeros_are_noted() -> None:
    module = copy.deepcopy(BASE)
    assert TorchModule(module, CARD).load().components[0].notes == ()
    nn.init.zeros_(module.linear.weight)
    (note,) = TorchModule(module, CARD).load().components[0].notes
    assert "1 parameters are all zero (linear.weight)" in note


def test_modules_are_told_from_other_things() -> None:
    assert is_module(ConvDenoiser())
    assert not is_module(ConvDenoiser)
    assert not is_module("digits")
