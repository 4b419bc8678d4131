"""Attention against ONNX Runtime: ranks, heads, masks, scales, and what is refused."""

import numpy as np
import pytest

from denoisert.runtime.errors import BuildError
from tests.runtime.engines.torch.one_node import agree, normal, reference_answer

HEADS = {"q_num_heads": 4, "kv_num_heads": 4}
QUERIES, KEYS = 6, 9


def split(heads=4, keys=KEYS, width=8):
    """q, k and v of rank 4."""
    q = normal(2, 4, QUERIES, width)
    return [q, *(normal(2, heads, keys, width, seed=i) for i in (1, 2))]


def packed(heads=4, keys=KEYS):
    """q, k and v of rank 3."""
    return [normal(2, QUERIES, 32), *(normal(2, keys, 8 * heads, seed=i) for i in (1, 2))]


def test_heads_as_a_dimension(tmp_path):
    agree(tmp_path, "Attention", split())


def test_heads_inside_the_channels(tmp_path):
    agree(tmp_path, "Attention", packed(), HEADS)


def test_a_single_head(tmp_path):
    agree(tmp_path, "Attention", packed(), {"q_num_heads": 1, "kv_num_heads": 1})


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_scales(scale, tmp_path):
    agree(tmp_path, "Attention", split(), {"scale": scale})


@pytest.mark.parametrize("keys", [QUERIES, KEYS])
def test_causal_attention_counts_from_the_first_key(keys, tmp_path):
    agree(tmp_path, "Attention", split(keys=keys), {"is_causal": 1}, answer=reference_answer)
    agree(tmp_path, "Attention", packed(keys=keys), HEADS | {"is_causal": 1})


MASKS = [(QUERIES, KEYS), (2, 1, QUERIES, KEYS), (1, 4, QUERIES, KEYS), (2, 4, QUERIES, KEYS)]


@pytest.mark.parametrize("shape", MASKS, ids=str)
def test_masks_that_are_added(shape, tmp_path):
    agree(tmp_path, "Attention", [*split(), normal(*shape, seed=3)])
    agree(tmp_path, "Attention", [*packed(), normal(*shape, seed=3)], HEADS)


@pytest.mark.parametrize("shape", MASKS, ids=str)
def test_masks_that_say_who_attends(shape, tmp_path):
    mask = normal(*shape, seed=3) > -0.5
    mask[..., 0] = True
    agree(tmp_path, "Attention", [*split(), mask])


@pytest.mark.parametrize("kind", ["float", "bool"])
def test_masks_of_causal_attention(kind, tmp_path):
    mask = normal(QUERIES, KEYS, seed=3)
    mask = mask if kind == "float" else mask > -0.5
    if kind == "bool":
        mask[:, 0] = True
    agree(tmp_path, "Attention", [*split(), mask], {"is_causal": 1})


@pytest.mark.parametrize("heads", [1, 2])
def test_several_queries_share_a_head_of_keys(heads, tmp_path):
    agree(tmp_path, "Attention", split(heads))
    agree(tmp_path, "Attention", packed(heads), HEADS | {"kv_num_heads": heads})


def test_values_may_have_another_width_than_keys(tmp_path):
    q, k, _ = split()
    agree(tmp_path, "Attention", [q, k, normal(2, 4, KEYS, 5, seed=2)])


def test_settings_that_change_nothing_are_taken(tmp_path):
    agree(tmp_path, "Attention", split(), {"softcap": 0.0, "qk_matmul_output_mode": 0})


def test_a_soft_cap_is_refused_by_name(tmp_path):
    with pytest.raises(BuildError, match=r"Attention 'node' has softcap = 30\.0.* only 0\.0 is"):
        agree(tmp_path, "Attention", split(), {"softcap": 30.0})


def test_past_keys_are_refused(tmp_path):
    past = [normal(2, 4, 3, 8, seed=i) for i in (4, 5)]

    def shape_only(model, given, names):
        return [np.zeros((2, 4, QUERIES, 8), np.float32)]

    with pytest.raises(BuildError, match="Attention 'node' has past keys or values"):
        agree(tmp_path, "Attention", [*split(), None, *past], answer=shape_only)


def test_several_outputs_are_refused(tmp_path):
    def shape_only(model, given, names):
        return [np.zeros((2, 4, QUERIES, 8), np.float32)] * 2

    with pytest.raises(BuildError, match="gives the first 1"):
        agree(tmp_path, "Attention", split(), answer=shape_only, count=2)


def test_rank_three_without_heads_is_refused(tmp_path):
    def shape_only(model, given, names):
        return [np.zeros((2, QUERIES, 32), np.float32)]

    with pytest.raises(BuildError, match="rank 3 and no number of heads"):
        agree(tmp_path, "Attention", packed(), answer=shape_only)
