"""Operations name a kernel's operation and refuse empty ranges."""

from dataclasses import replace

import pytest

from denoisert.kernels.step.row import Operation
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.sampling.fold import fold
from denoisert.runtime.sampling.guidance import Unguided
from denoisert.runtime.sampling.operations import Clip, DynamicThreshold
from denoisert.runtime.sampling.parametrisation import Parametrisation
from tests.runtime.sampling.programs import angles, ddim


def test_codes_carry_their_arguments():
    assert Clip().code() == (Operation.CLIP, -1.0, 1.0)
    assert Clip(-2.0, 3.0).code() == (Operation.CLIP, -2.0, 3.0)
    assert DynamicThreshold(0.9, 1.5).code() == (Operation.DYNAMIC_THRESHOLD, 0.9, 1.5)


@pytest.mark.parametrize("operation", [Clip(-0.2, 0.3), DynamicThreshold(0.5, 2.0)])
def test_an_operation_acts_at_every_stage_but_not_in_the_prologue(operation):
    table = fold(replace(ddim(angles(3)), bound=operation), Parametrisation.V, Unguided())
    code, a, b = operation.code()
    assert table.operation.tolist() == [[0, 0], *[[code, 0]] * 3]
    assert table.operation_args[1:, 0].tolist() == [[a, b]] * 3
    plain = fold(ddim(angles(3)), Parametrisation.V, Unguided())
    assert not plain.operation.any()


@pytest.mark.parametrize("rederive", [False, True])
def test_rederived_noise_reads_no_network_output(rederive):
    operation = Clip(rederive=rederive)
    table = fold(replace(ddim(angles(3)), bound=operation), Parametrisation.V, Unguided())
    form = table.form
    updates = table.matrix[1:3, form.register_row(0)]
    assert (updates[:, form.estimate(0)] != 0).all()
    assert (updates[:, form.branch(0)] == 0).all() == rederive


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (1.0, -1.0), (float("nan"), 1.0)])
def test_an_empty_clip_range_is_refused(low, high):
    with pytest.raises(InvalidInput, match="is empty"):
        Clip(low, high)


@pytest.mark.parametrize(
    ("ratio", "maximum"), [(0.0, 1.0), (1.1, 1.0), (0.9, 0.5), (0.9, float("nan"))]
)
def test_a_threshold_outside_its_range_is_refused(ratio, maximum):
    with pytest.raises(InvalidInput, match="dynamic threshold"):
        DynamicThreshold(ratio, maximum)
