"""Guidance weights on the CPU device against the reference rules."""

import numpy as np
import pytest

from denoisert.kernels.gram import reference as gram
from denoisert.kernels.rule import RULES, VECTORS
from denoisert.kernels.rule.cpu import CFG_RESCALE
from denoisert.runtime.devices.instructions import instructions
from denoisert.runtime.devices.rules import RuleScratch
from denoisert.runtime.layout import Part, StateLayout
from denoisert.runtime.sampling.guidance import CFG
from tests.runtime.samplers import flow_table


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


def test_there_is_scratch_for_every_rule():
    assert {len(key[0][0]) for key in RuleScratch()._sizes.values()} == set(VECTORS) - {0}
