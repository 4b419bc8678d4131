"""Pixels are rounded as diffusers rounds them, and come back as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor

from denoisert.runtime.bundle.picture import Autoencoder, Picture
from denoisert.runtime.codec.pixels import picture_values, pixel_values, preview_pixels
from denoisert.runtime.errors import InvalidInput

USUAL = Picture()
OTHERS = [Picture(0.0, 1.0), Picture(-0.5, 0.5), Picture(0.0, 255.0), Picture(1.0, -1.0)]


def hard_values() -> np.ndarray:
    """Values at, just below and just above every place where a pixel changes, and drawn ones."""
    edges = ((np.arange(-2, 258) + 0.5) / 255 * 2 - 1).astype(np.float32)
    drawn = np.random.default_rng(0).normal(0, 1, 4 * 260).astype(np.float32)
    near = [np.nextafter(edges, np.float32(side)) for side in (-9, 9)]
    wild = np.array([-1, 1, 0, -0.0, 1e30, -1e30, 1e-40] * 260, np.float32)[:1820]
    return np.concatenate([edges, *near, drawn, wild]).reshape(1, 1, 56, 65).repeat(3, 1)


def test_pixels_are_those_of_diffusers_bit_for_bit() -> None:
    values = hard_values()
    processor = VaeImageProcessor()
    (wanted,) = processor.postprocess(torch.from_numpy(values), output_type="pil")
    np.testing.assert_array_equal(pixel_values(values, USUAL)[0], np.asarray(wanted))


def test_picture_values_are_those_of_diffusers_bit_for_bit() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    unit = VaeImageProcessor.pil_to_numpy(VaeImageProcessor.numpy_to_pil(pixels / 255.0))
    wanted = VaeImageProcessor.normalize(VaeImageProcessor.numpy_to_pt(unit)).numpy()
    np.testing.assert_array_equal(picture_values(pixels, USUAL), wanted)


@pytest.mark.parametrize("picture", [USUAL, *OTHERS])
def test_every_pixel_survives_the_way_there_and_back(picture: Picture) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(2, 16, 8, 1).repeat(3, 3)
    values = picture_values(pixels, picture)
    assert values.shape == (2, 3, 16, 8)
    assert values.dtype == np.float32
    assert {values.min(), values.max()} == {picture.low, picture.high}
    np.testing.assert_array_equal(pixel_values(values, picture), pixels)


@pytest.mark.parametrize("picture", [USUAL, *OTHERS])
def test_values_beyond_black_and_white_are_cut(picture: Picture) -> None:
    beyond = np.float32(picture.high - picture.low)
    values = np.array([picture.low - beyond, picture.high + beyond], np.float32)
    assert pixel_values(values.reshape(2, 1, 1, 1), picture).ravel().tolist() == [0, 255]


def test_axes_are_turned_and_memory_is_in_order() -> None:
    values = np.random.default_rng(1).uniform(-1, 1, (2, 3, 4, 5)).astype(np.float32)
    pixels = pixel_values(values, USUAL)
    assert pixels.shape == (2, 4, 5, 3)
    assert pixels.flags.c_contiguous
    assert pixels[1, 2, 3, 0] == round(float((values[1, 0, 2, 3] + 1) / 2 * 255))


def test_a_preview_is_the_readout_at_every_position() -> None:
    rng = np.random.default_rng(2)
    readout = rng.normal(0, 0.3, (3, 5))
    coder = Autoencoder(8, 3, (6, 7), readout=tuple(map(tuple, readout.tolist())))
    latent = rng.standard_normal((4, 6, 7)).astype(np.float32)
    found = preview_pixels(latent, coder, USUAL)
    wanted = np.einsum("ck,khw->hwc", readout[:, :4], latent) + readout[:, 4]
    pixels = np.rint((np.clip(wanted, -1, 1) + 1) * 127.5)
    assert found.shape == (6, 7, 3)
    assert np.abs(found - pixels).max() <= 1


def test_a_preview_of_a_broken_latent_is_black_there() -> None:
    coder = Autoencoder(8, 3, (2, 2), readout=((0.0, 1.0),) * 3)
    latent = np.array([[[np.nan, 0], [np.inf, 0]]], np.float32)
    found = preview_pixels(latent, coder, USUAL)
    assert found[..., 0].tolist() == [[0, 255], [0, 255]]


def test_a_preview_needs_a_readout() -> None:
    with pytest.raises(InvalidInput, match="no readout"):
        preview_pixels(np.zeros((4, 2, 2), np.float32), Autoencoder(8, 3, (2, 2)), USUAL)
