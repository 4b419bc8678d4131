"""Attention as one operator or explicit, with masks; rotary positions; pictures as tokens."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.models.embeddings import PatchEmbed
from diffusers.models.transformers.transformer_flux import FluxPosEmbed
from torch import Tensor

from denoisert.export.modules.attention import (
    LARGEST_HEAD,
    PlainAttention,
    attend,
    mask_of,
    use_own_attention,
)
from denoisert.export.modules.patches import CroppedPositions, Patches, unpatchify
from denoisert.export.modules.rotary import rotary_of
from tests.export.modules.networks import CASES
from tests.export.modules.test_traceable import error, output


def operands(keys: int = 5, width: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, 3, 7, width), *torch.randn(2, 2, 3, keys, width)


def masks() -> list[Tensor | None]:
    keep = (torch.arange(5) < torch.tensor([[2], [5]]))[:, None, None].expand(-1, -1, 7, -1)
    return [None, keep, (1 - keep.float()) * -10000.0]


@pytest.mark.parametrize("number", range(3))
def test_an_explicit_softmax_is_the_same_attention(number: int) -> None:
    mask = masks()[number]
    query, key, value = operands()
    found = attend(query, key, value, mask, largest=4)
    expected = attend(query, key, value, mask, largest=LARGEST_HEAD)
    assert found.shape == (2, 7, 24)
    assert error(found, expected) < 1e-6


def test_a_masked_key_does_not_count() -> None:
    query, key, value = operands()
    for mask in masks()[1:]:
        base = attend(query, key, value, mask, largest=LARGEST_HEAD)
        other = attend(
            query, key, value.clone().index_fill(2, torch.tensor(3), 9.0), mask, largest=8
        )
        assert error(other[0], base[0]) < 1e-6
        assert error(other[1], base[1]) > 0.1


def test_masks_of_any_form_get_a_row_for_every_query() -> None:
    queries = torch.zeros(2, 3, 7, 8)
    keep = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    for mask in (keep, keep[:, None], keep[:, None].expand(-1, 7, -1)):
        rows = mask_of(mask, queries)
        assert rows.shape == (2, 1, 7, 2)
        torch.testing.assert_close(rows[:, 0, 4], keep)


def test_wide_heads_of_an_autoencoder_are_explicit_and_the_same() -> None:
    network = CASES["vae"].network()
    wide = copy.deepcopy(network)
    assert use_own_attention(wide, {AttnProcessor2_0: PlainAttention(largest=16)}) == 2
    inputs = CASES["vae"].draw(16, 24)
    assert error(output(wide, inputs), output(network, inputs)) < 1e-5


def test_rotary_positions_are_those_of_diffusers() -> None:
    embed = FluxPosEmbed(10000, [4, 6, 6])
    ids = torch.tensor([[0, 0, 0], [0, 3, 900], [1, 63, 2], [7, 1023, 11]])
    for found, expected in zip(rotary_of(embed)(ids), embed(ids.float()), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "config",
    [
        {"pos_embed_max_size": None, "interpolation_scale": 2},
        {"pos_embed_max_size": 9},
        {"pos_embed_type": None},
    ],
)
@pytest.mark.parametrize("size", [(8, 8), (12, 6), (18, 16)])
def test_patches_are_those_of_diffusers(config: dict[str, object], size: tuple[int, int]) -> None:
    torch.manual_seed(2)
    embed = PatchEmbed(8, 8, 2, in_channels=4, embed_dim=24, **config)
    latent = torch.randn(2, 4, *size)
    found = Patches(embed)(latent)
    torch.testing.assert_close(found, embed(latent), rtol=0, atol=4e-6)
    assert bool((found[:, 0] != found[:, 1]).any())


@pytest.mark.parametrize("most", [9, 10])
@pytest.mark.parametrize("longest", [1, 5, 6, 9])
def test_the_middle_of_a_table_has_the_same_positions(most: int, longest: int) -> None:
    whole = CroppedPositions(torch.randn(1, most**2, 3), most)
    kept = whole.within(longest)
    assert kept.most <= longest + 1
    for height, width in ((longest, longest), (longest, 1), (1, longest)):
        assert kept(height, width).equal(whole(height, width))
    assert kept.within(longest + 2).most == kept.most


def test_unpatchify_puts_tokens_where_their_positions_were() -> None:
    picture = torch.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    blocks = torch.unflatten(torch.unflatten(picture, 3, (3, 2)), 2, (2, 2))
    tokens = blocks.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    with torch.no_grad():
        assert unpatchify(tokens, 2, 3, 2).equal(picture)
