"""Rules' weights on the CPU device against the reference programs."""

import numpy as np
import pytest

from denoisert.kernels.gram import reference as gram
from denoisert.kernels.rule import PER_CHANNEL, RULES, VECTORS
from denoisert.kernels.rule.cpu import CFG_RESCALE, EVODIFF
from denoisert.runtime.devices.instructions import instructions
from denoisert.runtime.devices.rules import RuleScratch
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.guidance import CFG
from denoisert.runtime.sampling.solvers import EVODiff
from tests.runtime.samplers import flow_table, noise_table


@pytest.mark.parametrize("elements", [60, 5000])
@pytest.mark.parametrize(("scale", "rescale"), [(3.0, 0.7), (1.5, 1.0), (-2.0, 0.2)])
def test_weights_equal_the_reference(scale, rescale, elements):
    table = flow_table(steps=3, guidance=CFG(scale, rescale=rescale))
    layout = StateLayout((Part("latent", (1, elements)),))
    instruction = instructions(table, layout, table.form)[2]
    assert instruction.rule == CFG_RESCALE
    rng, scratch = np.random.default_rng(elements), RuleScratch()
    for _ in range(3):  # the scratch of one call must not reach the next
        vectors = rng.standard_normal((VECTORS[CFG_RESCALE], elements)).astype(np.float32)
        found = scratch.weights(instruction, vectors, np.zeros((1, 4)))
        products, sums = gram.gram(vectors.astype(np.float64))
        wanted = RULES[CFG_RESCALE](
            products, sums, elements, instruction.rule_args, np.zeros((1, 4))
        )
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 60), (5, 7), (3, 5000)])
def test_weights_of_channels_equal_the_reference(shape):
    """And what each channel carries from row to row, behind what the slot carries."""
    layout = StateLayout((Part("latent", shape),))
    table = noise_table(EVODiff(), 6)
    rows = instructions(table, layout, table.form)
    rng, scratch = np.random.default_rng(shape[0]), RuleScratch(shape[0])
    carried, kept = np.zeros((1 + shape[0], 4)), np.zeros((shape[0], 4))
    carried[0] = 7.0
    for row in rows[2:-1]:  # the last one ends at sigma = 0, where x_t does not count
        assert row.rule == EVODIFF
        vectors = rng.standard_normal((VECTORS[EVODIFF], layout.elements)).astype(np.float32)
        found = scratch.weights(row, vectors, carried)
        products, sums = gram.gram(vectors.astype(np.float64), shape[0])
        wanted = RULES[EVODIFF](products, sums, shape[1], row.rule_args, kept)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
        np.testing.assert_allclose(carried[1:], kept, rtol=1e-12)
        assert (carried[0] == 7.0).all()
    assert len(found) == shape[0]


@pytest.mark.parametrize("channels", [0, 1, 5])
def test_there_is_scratch_for_every_rule(channels):
    """But for those of channels where a state has none of one size."""
    wanted = {
        (count, channels if is_split else 1)
        for count, is_split in zip(VECTORS[1:], PER_CHANNEL[1:], strict=True)
        if channels or not is_split
    }
    assert set(RuleScratch(channels)._sizes) == wanted


def test_what_grows_with_the_channels_is_counted():
    """Products 9 + 4, sums 3 + 2 and weights 3 + 2 of float64, the 4 + 2 + 2 for whole slots."""
    assert RuleScratch(100).nbytes == 8 * (100 * (9 + 3 + 3) + 4 + 2 + 2)
