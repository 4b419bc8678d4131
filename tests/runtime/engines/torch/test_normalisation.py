"""Normalisations against ONNX Runtime, or against their formula where it has another one."""

import numpy as np
import pytest

from tests.runtime.engines.torch.one_node import agree, normal

X = 3 * normal(2, 6, 4, 5) + 1
EPSILON = {"epsilon": 1e-3}


@pytest.mark.parametrize("axis", [-1, 1, 2])
@pytest.mark.parametrize("has_bias", [True, False])
def test_layers(has_bias, axis, tmp_path):
    sizes = X.shape[axis:]
    given = [X, normal(*sizes, seed=1), *([normal(*sizes, seed=2)] if has_bias else [])]
    agree(tmp_path, "LayerNormalization", given, {"axis": axis} | EPSILON, rtol=2e-5)


def test_layers_with_a_scale_that_is_broadcast(tmp_path):
    given = [X, normal(5, seed=1), normal(5, seed=2)]
    agree(tmp_path, "LayerNormalization", given, {"axis": 2} | EPSILON, rtol=2e-5)


@pytest.mark.parametrize("axis", [-1, 2])
def test_root_mean_squares(axis, tmp_path):
    given = [X, normal(*X.shape[axis:], seed=1)]
    agree(tmp_path, "RMSNormalization", given, {"axis": axis} | EPSILON)


def test_root_mean_squares_with_a_scale_that_is_broadcast(tmp_path):
    def formula(model, given, names):
        root = np.sqrt((X**2).mean((2, 3), keepdims=True) + 1e-3)
        return [(X / root * given["x1"]).astype(np.float32)]

    given = [X, normal(5, seed=1)]
    agree(tmp_path, "RMSNormalization", given, {"axis": 2} | EPSILON, answer=formula)


def grouped(x, groups):
    parts = x.astype(np.float64).reshape(len(x), groups, -1)
    centred = parts - parts.mean(-1, keepdims=True)
    return (centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-3)).reshape(x.shape)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_groups_with_a_scale_per_channel(groups, tmp_path):
    def formula(model, given, names):
        scale, bias = (given[name][:, None, None] for name in ("x1", "x2"))
        return [(grouped(X, groups) * scale + bias).astype(np.float32)]

    given = [X, normal(6, seed=1), normal(6, seed=2)]
    attributes = {"num_groups": groups} | EPSILON
    agree(tmp_path, "GroupNormalization", given, attributes, answer=formula)
    agree(tmp_path, "GroupNormalization", given, attributes, rtol=2e-5)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_groups_had_a_scale_per_group_once(groups, tmp_path):
    def formula(model, given, names):
        wide = (np.repeat(given[name], 6 // groups)[:, None, None] for name in ("x1", "x2"))
        scale, bias = wide
        return [(grouped(X, groups) * scale + bias).astype(np.float32)]

    given = [X, normal(groups, seed=1), normal(groups, seed=2)]
    attributes = {"num_groups": groups} | EPSILON
    agree(tmp_path, "GroupNormalization", given, attributes, answer=formula, opset=18)


@pytest.mark.parametrize("sizes", [(4, 5), (7,), (1, 1), (2, 3, 4)], ids=str)
def test_instances(sizes, tmp_path):
    x = normal(2, 6, *sizes)
    given = [x, normal(6, seed=1), normal(6, seed=2)]
    agree(tmp_path, "InstanceNormalization", given, EPSILON, rtol=2e-5)


def test_moments_from_the_file(tmp_path):
    given = [X, *(normal(6, seed=i) for i in (1, 2, 3)), np.abs(normal(6, seed=4)) + 0.1]
    agree(tmp_path, "BatchNormalization", given, EPSILON, constants=(1, 2, 3, 4))


@pytest.mark.parametrize("p", [1, 2])
def test_unit_lengths(p, tmp_path):
    agree(tmp_path, "LpNormalization", [X], {"axis": 1, "p": p})
