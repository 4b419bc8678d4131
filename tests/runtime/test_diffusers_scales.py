"""guidance_scale and true_cfg_scale, on networks that are told a scale and on others."""

import pytest

from denoisert.runtime import CFG, EmbeddedGuidance, Unguided
from denoisert.runtime.diffusers_scales import guidance_of
from tests.runtime.networks import perceptron
from tests.runtime.sampling.test_embedded import card_of


@pytest.mark.parametrize(
    ("scale", "second", "expected"),
    [
        (None, None, None),
        (2.0, None, EmbeddedGuidance(2.0)),
        (0.0, None, EmbeddedGuidance(0.0)),
        (None, 4.0, EmbeddedGuidance(3.5, beside=CFG(4.0))),
        (2.0, 4.0, EmbeddedGuidance(2.0, beside=CFG(4.0))),
        (2.0, 1.0, EmbeddedGuidance(2.0)),
    ],
)
def test_a_network_that_is_told_a_scale(scale, second, expected):
    assert guidance_of(scale, second, card_of("scale")) == expected


@pytest.mark.parametrize(
    ("scale", "second", "expected"),
    [
        (None, None, None),
        (3.0, None, CFG(3.0)),
        (1.0, None, Unguided()),
        (None, 4.0, CFG(4.0)),
        (3.5, 4.0, CFG(4.0)),
        (3.5, 1.0, Unguided()),
    ],
)
def test_a_network_that_is_told_none(scale, second, expected):
    assert guidance_of(scale, second, perceptron().card()) == expected
