"""Masks at both sides of an autoencoder, as diffusers makes them."""

import numpy as np
import pytest
import torch
from PIL import Image

from denoisert.runtime.bundle.picture import Picture
from denoisert.runtime.codec.mask import hide, latent_mask, mask_pages, read_mask
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout

SIZE = (16, 24)


def grey(seed=0):
    """Every grey somewhere, those around the middle often."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, SIZE, dtype=np.uint8)
    values[:4] = rng.integers(126, 130, (4, SIZE[1]))
    return values


@pytest.mark.parametrize("factor", [1, 2, 8])
def test_diffusers(factor):
    """Grey, 1 from 0.5 on, and the nearest pixel: bit for bit, as the masked picture is."""
    from diffusers.image_processor import VaeImageProcessor

    processor = VaeImageProcessor(
        vae_scale_factor=factor, do_normalize=False, do_binarize=True, do_convert_grayscale=True
    )
    picture = Image.fromarray(grey())
    whole = processor.preprocess(picture, *SIZE)
    small = tuple(size // factor for size in SIZE)
    wanted = torch.nn.functional.interpolate(whole, size=small)[0, 0].numpy()
    mask = read_mask(picture, (SIZE,))
    np.testing.assert_array_equal(mask, whole[0, 0].numpy() == 1)
    np.testing.assert_array_equal(latent_mask(mask, small), wanted)
    assert 0 < wanted.mean() < 1
    values = np.random.default_rng(1).uniform(-1, 1, (3, *SIZE)).astype(np.float32)
    hidden = (torch.from_numpy(values)[None] * (whole < 0.5))[0].numpy()
    np.testing.assert_array_equal(hide(values, mask, Picture()), hidden)


def test_what_a_mask_may_be():
    values = grey()
    white = values >= 128
    coloured = Image.fromarray(values).convert("RGB")
    for source in (values, white, values / 255, white.astype(np.float16), coloured):
        np.testing.assert_array_equal(read_mask(source, (SIZE,)), white)


def test_grey_lies_between_black_and_white():
    values, mask = np.ones((1, 2, 2), np.float32), np.eye(2, dtype=bool)
    np.testing.assert_array_equal(hide(values, mask, Picture(0.0, 1.0)), [[[0.5, 1.0], [1.0, 0.5]]])


@pytest.mark.parametrize("shape", [(24, 16), (16, 24, 1), (1, 16, 24), (8, 12), (16,)])
def test_another_shape(shape):
    with pytest.raises(InvalidInput, match=r"one value for each pixel, 16x24 \("):
        read_mask(np.zeros(shape), (SIZE,))


@pytest.mark.parametrize("value", [1.5, -0.1, np.nan, np.inf])
def test_values_that_are_no_mask(value):
    values = np.zeros(SIZE)
    values[3, 4] = value
    with pytest.raises(InvalidInput, match="outside 0 to 1"):
        read_mask(values, (SIZE,))
    with pytest.raises(InvalidInput, match="real numbers"):
        read_mask(np.full(SIZE, "x"), (SIZE,))
    with pytest.raises(InvalidInput, match="outside 0 to 1"):
        read_mask(np.full(SIZE, 255, np.int64), (SIZE,))


def test_pages_cover_every_channel_and_paint_what_lies_behind_the_first_part():
    layout = StateLayout((Part("latent", (3, 2, 2)), Part("sound", (2, 3))))
    mask = np.array([[1, 0], [0, 1]], np.float32)
    pages = mask_pages(mask, layout)
    assert pages["mask"].tolist() == [[1, 0, 0, 1] * 3 + [1] * 6]
    assert pages["kept"].tolist() == [[0, 1, 1, 0] * 3 + [0] * 6]
    assert {page.dtype for page in pages.values()} == {np.dtype(np.float32)}
