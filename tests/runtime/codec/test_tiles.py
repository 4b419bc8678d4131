"""Tiles cover a plane, agree with the whole where they can, and blend as diffusers blends."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from denoisert.runtime.codec.tiles import Tiles, run_tiles

SIZES = [(4, 4), (5, 4), (7, 9), (8, 8), (13, 6), (16, 21)]


def whole(planes: np.ndarray, tiles: Tiles, call, lanes: int = 3, scales=(1, 2)) -> np.ndarray:
    """All pieces in one array; each value must come exactly once."""
    height, width = tiles.size
    found, seen = None, None
    for image, window, values in run_tiles(planes, tiles, call, lanes=lanes, scales=scales):
        if found is None:
            size = (height * scales[1], width * scales[1])
            found = np.full((len(planes), values.shape[0], *size), np.nan, np.float32)
            seen = np.zeros((len(planes), *size), int)
        found[(image, slice(None), *window)] = values
        seen[(image, *window)] += 1
    assert (seen == 1).all()
    return found


def enlarged(planes: np.ndarray) -> np.ndarray:
    return planes.repeat(2, axis=2).repeat(2, axis=3)


@pytest.mark.parametrize("overlap", [0, 1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_starts_cover_the_plane_with_the_overlap(size: tuple[int, int], overlap: int) -> None:
    tiles = Tiles(size, (4, 4), (overlap, overlap))
    for axis in (0, 1):
        starts = tiles.starts(axis)
        assert starts[0] == 0
        assert starts[-1] + 4 == size[axis]
        assert all(0 < b - a <= 4 - overlap for a, b in pairwise(starts))
        assert all(b - a == 4 - overlap for a, b in list(pairwise(starts))[:-1])


@pytest.mark.parametrize("lanes", [1, 3, 16])
@pytest.mark.parametrize("overlap", [(0, 0), (1, 2), (2, 1)])
@pytest.mark.parametrize("size", SIZES)
def test_where_a_position_decodes_alone_tiles_equal_the_whole(
    size: tuple[int, int], overlap: tuple[int, int], lanes: int
) -> None:
    planes = np.random.default_rng(1).standard_normal((3, 2, *size)).astype(np.float32)
    found = whole(planes, Tiles(size, (4, 4), overlap), enlarged, lanes)
    np.testing.assert_allclose(found, enlarged(planes), rtol=0, atol=1e-6)


def test_one_tile_is_the_whole_bit_for_bit() -> None:
    planes = np.random.default_rng(2).standard_normal((2, 3, 4, 4)).astype(np.float32)
    found = whole(planes, Tiles((4, 4), (4, 4), (1, 1)), enlarged)
    np.testing.assert_array_equal(found, enlarged(planes))


def test_calls_take_several_tiles_also_of_several_planes() -> None:
    counts = []

    def call(crops: np.ndarray) -> np.ndarray:
        counts.append(len(crops))
        assert crops.shape[1:] == (2, 4, 4)
        return enlarged(crops)

    planes = np.zeros((3, 2, 4, 7), np.float32)
    whole(planes, Tiles((4, 7), (4, 4), (1, 1)), call, lanes=4)
    assert counts == [4, 2]


def test_a_tile_takes_over_linearly() -> None:
    """Tiles of constant value: the seams show the shares."""
    numbers = iter(range(100))

    def call(crops: np.ndarray) -> np.ndarray:
        return np.stack([np.full((1, 4, 4), next(numbers), np.float32) for _ in crops])

    tiles = Tiles((4, 9), (4, 4), (2, 2))
    assert tiles.starts(1) == (0, 2, 4, 5)
    row = whole(np.zeros((1, 1, 4, 9), np.float32), tiles, call, scales=(1, 1))[0, 0, 0]
    np.testing.assert_array_equal(row, [0, 0, 0, 0.5, 1, 1.5, 2.5, 3, 3])


def test_rows_take_over_as_columns_do() -> None:
    numbers = iter(range(100))

    def call(crops: np.ndarray) -> np.ndarray:
        return np.stack([np.full((1, 4, 4), next(numbers), np.float32) for _ in crops])

    tiles = Tiles((8, 4), (4, 4), (2, 2))
    column = whole(np.zeros((1, 1, 8, 4), np.float32), tiles, call, scales=(1, 1))[0, 0, :, 0]
    np.testing.assert_array_equal(column, [0, 0, 0, 0.5, 1, 1.5, 2, 2])


def test_encoding_scales_the_other_way() -> None:
    pictures = np.random.default_rng(3).standard_normal((1, 3, 14, 18)).astype(np.float32)

    def shrunk(planes: np.ndarray) -> np.ndarray:
        n, c, h, w = planes.shape
        return planes.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))

    found = whole(pictures, Tiles((7, 9), (4, 4), (1, 2)), shrunk, scales=(2, 1))
    np.testing.assert_allclose(found, shrunk(pictures), rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def coder() -> Iterator[AutoencoderKL]:
    """A random autoencoder with group norm and attention, which see their whole tile."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny operations; more threads only wait for each other
    torch.manual_seed(0)
    built = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=16,
    ).eval()
    built.tile_latent_min_size, built.tile_sample_min_size = 8, 16
    yield built
    torch.set_num_threads(threads)


def decoded(coder: AutoencoderKL, latents: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        inner = coder.post_quant_conv(torch.from_numpy(latents))
        return coder.decoder(inner).numpy()


@pytest.mark.parametrize(
    ("overlap", "steps"), [(0.0, (1, 2)), (0.25, (0, 0)), (0.25, (2, 1)), (0.5, (2, 3))]
)
def test_blending_equals_that_of_diffusers(
    coder: AutoencoderKL, overlap: float, steps: tuple[int, int]
) -> None:
    """Where both have whole tiles: diffusers ends with smaller ones inside the last overlap."""
    shared = int(8 * overlap)
    size = tuple(8 + count * (8 - shared) for count in steps)
    latents = np.random.default_rng(4).standard_normal((2, 4, *size)).astype(np.float32)
    found = whole(latents, Tiles(size, (8, 8), (shared, shared)), lambda x: decoded(coder, x))
    coder.tile_overlap_factor = overlap
    with torch.no_grad():
        wanted = coder.tiled_decode(torch.from_numpy(latents)).sample.numpy()
    assert found.shape == wanted.shape
    rows, columns = (2 * (side - shared) for side in size)
    difference = np.abs(found - wanted)[:, :, :rows, :columns].max()
    assert difference < 1e-5
    if shared and min(steps) > 0:
        apart = np.concatenate(
            [decoded(coder, latents[..., i : i + 8, :8]) for i in (0, 8 - shared)]
        )
        assert np.abs(apart[0] - apart[1]).max() > 1e-2


def test_tiled_encoding_equals_that_of_diffusers(coder: AutoencoderKL) -> None:
    pictures = np.random.default_rng(5).standard_normal((1, 3, 40, 28)).astype(np.float32)

    def moments(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return coder.quant_conv(coder.encoder(torch.from_numpy(x))).numpy()

    found = whole(pictures, Tiles((20, 14), (8, 8), (2, 2)), moments, scales=(2, 1))
    coder.tile_overlap_factor = 0.25
    with torch.no_grad():
        wanted = coder._tiled_encode(torch.from_numpy(pictures)).numpy()
    assert np.abs(found - wanted)[:, :, :18, :12].max() < 1e-5
