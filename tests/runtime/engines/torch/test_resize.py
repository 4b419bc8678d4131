"""Resizing against ONNX Runtime, in every coordinate system that torch has, and refusals."""

import numpy as np
import pytest

from denoisert.runtime.errors import BuildError
from tests.runtime.engines.torch.one_node import agree, ints, normal

X = normal(2, 3, 5, 6)


def by_scales(x, *scales):
    return [x, None, np.array((1.0, 1.0, *scales), np.float32)], (2,)


def by_sizes(x, *sizes):
    return [x, None, None, ints(*x.shape[:2], *sizes)], (3,)


def check(tmp_path, target, **attributes):
    given, constants = target
    names = {
        "system": "coordinate_transformation_mode",
        "rounding": "nearest_mode",
        "axes": "axes",
        "mode": "mode",
    }
    given_attributes = {names[name]: value for name, value in attributes.items()}
    return agree(tmp_path, "Resize", given, given_attributes, constants=constants, rtol=2e-5)


NEAREST = {"mode": "nearest", "system": "asymmetric", "rounding": "floor"}


@pytest.mark.parametrize("scales", [(2.0, 2.0), (3.0, 1.0), (0.5, 0.5), (1.5, 2.5)], ids=str)
def test_nearest_neighbours_by_scales(scales, tmp_path):
    x = X[:, :, :4] if scales[0] != 3.0 else X
    check(tmp_path, by_scales(np.ascontiguousarray(x), *scales), **NEAREST)


@pytest.mark.parametrize("sizes", [(10, 12), (7, 9), (3, 3), (5, 6)], ids=str)
def test_nearest_neighbours_by_sizes(sizes, tmp_path):
    check(tmp_path, by_sizes(X, *sizes), **NEAREST)


@pytest.mark.parametrize("rank", [3, 5])
def test_nearest_neighbours_in_one_and_three_dimensions(rank, tmp_path):
    x = normal(2, 3, *(4, 5, 3)[: rank - 2])
    check(tmp_path, by_scales(x, *(2.0,) * (rank - 2)), **NEAREST)


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil"])
def test_nearest_centres(rounding, tmp_path):
    check(tmp_path, by_scales(X, 2.0, 3.0), mode="nearest", system="half_pixel", rounding=rounding)


@pytest.mark.parametrize("system", ["half_pixel", "pytorch_half_pixel", "align_corners"])
@pytest.mark.parametrize("target", [by_scales(X, 2.0, 1.5), by_sizes(X, 9, 4)], ids=["x", "to"])
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_interpolation(mode, target, system, tmp_path):
    check(tmp_path, target, mode=mode, system=system)


@pytest.mark.parametrize("rank", [3, 5])
def test_linear_interpolation_in_one_and_three_dimensions(rank, tmp_path):
    x = normal(2, 3, *(4, 5, 3)[: rank - 2])
    check(tmp_path, by_scales(x, *(2.0,) * (rank - 2)), mode="linear", system="half_pixel")


def test_named_axes(tmp_path):
    target = [X, None, np.array((2.0, 2.0), np.float32)], (2,)
    check(tmp_path, target, axes=[2, 3], **NEAREST)


REFUSED = {
    "rows that torch does not pick": {
        "mode": "nearest",
        "system": "asymmetric",
        "rounding": "ceil",
    },
    "linear from the corner": {"mode": "linear", "system": "asymmetric"},
    "tf crops": {"mode": "nearest", "system": "tf_crop_and_resize"},
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_systems_are_refused_by_name(kind, tmp_path):
    def shape_only(model, given, names):
        return [np.zeros((2, 3, 10, 12), np.float32)]

    given, constants = by_scales(X, 2.0, 2.0)
    names = ("mode", "coordinate_transformation_mode", "nearest_mode")
    attributes = dict(zip(names, REFUSED[kind].values(), strict=False))
    with pytest.raises(BuildError, match=attributes["coordinate_transformation_mode"]):
        agree(tmp_path, "Resize", given, attributes, constants=constants, answer=shape_only)


def test_lanes_are_not_resized(tmp_path):
    given = [X, None, np.array((2.0, 1.0, 1.0, 1.0), np.float32)]
    with pytest.raises(BuildError, match="lanes and channels stay as they are"):
        agree(tmp_path, "Resize", given, {"mode": "nearest"}, constants=(2,))
