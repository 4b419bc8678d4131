"""Our attention, patches and positions compute what diffusers' own do, at two sizes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from denoisert.export.modules.attention import use_own_attention
from denoisert.export.modules.traceable import make_traceable
from tests.export.modules.networks import CASES, Inputs

ATTENTIONS = {"unet": 8, "pixels": 4, "vae": 2, "dit": 2, "pixart": 4, "sd3": 3, "flux": 2}


def output(network: nn.Module, inputs: Inputs) -> Tensor:
    with torch.no_grad():
        return network(**inputs, return_dict=False)[0]


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", CASES)
def test_a_traceable_network_computes_the_same(name: str) -> None:
    case = CASES[name]
    network = case.network()
    own = make_traceable(copy.deepcopy(network))
    for size in case.sizes:
        inputs = case.draw(*size)
        assert error(output(own, inputs), output(network, inputs)) < 1e-5


@pytest.mark.parametrize("name", CASES)
def test_every_attention_is_ours(name: str) -> None:
    network = CASES[name].network()
    assert use_own_attention(network) == ATTENTIONS[name]
    assert use_own_attention(network) == 0, "they are ours already"
