"""Convolutions and pooling in one to three dimensions against ONNX Runtime."""

import pytest

from denoisert.runtime.errors import BuildError
from tests.runtime.engines.torch.one_node import agree, normal

SIZES = {1: (9,), 2: (9, 8), 3: (5, 6, 7)}


def picture(dimensions, channels=4):
    return normal(2, channels, *SIZES[dimensions])


def kernel(dimensions, out=6, into=4, size=3):
    return normal(out, into, *(size,) * dimensions, seed=1)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("has_bias", [True, False])
def test_plain_convolutions(has_bias, dimensions, tmp_path):
    given = [picture(dimensions), kernel(dimensions), *([normal(6, seed=2)] if has_bias else [])]
    attributes = {"pads": [1] * (2 * dimensions)}
    agree(tmp_path, "Conv", given, attributes, constants=(1, 2)[: len(given) - 1])


CONVOLUTIONS = {
    "no attributes": {},
    "strides": {"strides": [2, 3], "kernel_shape": [3, 3]},
    "dilations": {"dilations": [2, 1], "pads": [2, 1, 2, 1]},
    "asymmetric": {"pads": [0, 0, 1, 1], "strides": [2, 2]},
    "one side": {"pads": [2, 0, 0, 1]},
    "same upper": {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    "same lower": {"auto_pad": "SAME_LOWER", "strides": [2, 1]},
    "valid": {"auto_pad": "VALID"},
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_pads_strides_and_dilations(kind, tmp_path):
    given = [picture(2), kernel(2), normal(6, seed=2)]
    agree(tmp_path, "Conv", given, CONVOLUTIONS[kind], constants=(1, 2))


@pytest.mark.parametrize("group", [2, 4])
@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [1, 0, 0, 1]])
def test_groups_of_channels(pads, group, tmp_path):
    weight = normal(8, 4 // group, 3, 3, seed=1)
    attributes = {"group": group, "pads": pads}
    agree(tmp_path, "Conv", [picture(2), weight], attributes, constants=(1,))


def test_weights_may_be_fed(tmp_path):
    agree(tmp_path, "Conv", [picture(1), kernel(1)])


TRANSPOSED = {
    "no attributes": {},
    "strides": {"strides": [2, 3]},
    "pads": {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    "asymmetric": {"strides": [2, 2], "pads": [0, 1, 1, 0]},
    "dilations": {"dilations": [2, 2]},
}


@pytest.mark.parametrize("kind", TRANSPOSED)
def test_transposed_convolutions(kind, tmp_path):
    given = [picture(2), normal(4, 5, 3, 3, seed=1), normal(5, seed=2)]
    agree(tmp_path, "ConvTranspose", given, TRANSPOSED[kind], constants=(1, 2))


@pytest.mark.parametrize("dimensions", [1, 3])
def test_transposed_convolutions_of_other_ranks(dimensions, tmp_path):
    given = [picture(dimensions), normal(4, 2, *(3,) * dimensions, seed=1)]
    attributes = {"group": 2, "strides": [2] * dimensions}
    agree(tmp_path, "ConvTranspose", given, attributes, constants=(1,))


@pytest.mark.parametrize("op", ["AveragePool", "MaxPool"])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_pooling(dimensions, op, tmp_path):
    attributes = {"kernel_shape": [2] * dimensions, "strides": [2] * dimensions}
    agree(tmp_path, op, [picture(dimensions)], attributes)
    agree(tmp_path, op, [picture(dimensions)], attributes | {"pads": [1] * (2 * dimensions)})


def test_pads_may_count_in_the_mean(tmp_path):
    attributes = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}
    agree(tmp_path, "AveragePool", [picture(2)], attributes)


def test_windows_with_gaps(tmp_path):
    agree(tmp_path, "MaxPool", [picture(2)], {"kernel_shape": [2, 2], "dilations": [2, 3]})


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
def test_pooling_of_everything(op, tmp_path):
    agree(tmp_path, op, [picture(2)])


def test_pads_that_differ_are_refused_for_pools(tmp_path):
    attributes = {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1]}
    with pytest.raises(BuildError, match="AveragePool 'node' pads its two sides differently"):
        agree(tmp_path, "AveragePool", [picture(2)], attributes)
