"""PSNR and SSIM against SciPy's filters and against their definitions."""

from math import inf

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.measure.quality import Difference, amplified, difference, pooled


def pictures(seed, shape, noise=20):
    draw = np.random.default_rng([seed, *shape])
    one = draw.integers(0, 256, size=shape, dtype=np.uint8)
    other = np.clip(one + draw.normal(0, noise, size=shape), 0, 255).astype(np.uint8)
    return one, other


def scikit_ssim(x, y):
    """scikit-image's structural_similarity(gaussian_weights=True, use_sample_covariance=False).

    Its formula written down: Gaussian moments with sigma 1.5, cut at 3.5 sigma (11 pixels), mean
    without a border of 5.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)

    def blur(a):
        return gaussian_filter(a, sigma=1.5, truncate=3.5)

    ux, uy = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - ux * ux, blur(y * y) - uy * uy, blur(x * y) - ux * uy
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * ux * uy + c1) * (2 * vxy + c2)
    ratio = top / ((ux**2 + uy**2 + c1) * (vx + vy + c2))
    return ratio[5:-5, 5:-5].mean()


@pytest.mark.parametrize("shape", [(11, 11), (16, 16), (33, 20), (64, 48)])
@pytest.mark.parametrize("noise", [1, 20, 120])
def test_ssim_is_scikit_images(shape, noise):
    one, other = pictures(noise, shape, noise)
    assert difference(one, other).ssim == pytest.approx(scikit_ssim(one, other), abs=1e-10)


def test_ssim_of_colours_is_the_mean_of_the_channels():
    one, other = pictures(3, (24, 17, 3))
    each = [scikit_ssim(one[..., c], other[..., c]) for c in range(3)]
    assert difference(one, other).ssim == pytest.approx(np.mean(each), abs=1e-10)


@pytest.mark.parametrize("shape", [(16, 16), (7, 30, 3), (4, 4), (1, 1), (2, 9)])
def test_psnr_and_largest_are_their_definitions(shape):
    one, other = pictures(1, shape)
    error = one.astype(float) - other.astype(float)
    found = difference(one, other)
    assert found.largest == np.abs(error).max()
    assert found.psnr == pytest.approx(10 * np.log10(255**2 / np.mean(error**2)), abs=1e-12)
    assert -1.0 <= found.ssim <= 1.0


def test_differences_do_not_wrap_around():
    black, white = np.zeros((12, 12), np.uint8), np.full((12, 12), 255, np.uint8)
    found = difference(black, white)
    assert (found.largest, found.psnr) == (255.0, 0.0)
    assert found.ssim == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("shape", [(16, 16), (12, 13, 3), (3, 3)])
def test_equal_pictures(shape):
    one, _ = pictures(9, shape)
    found = difference(one, one.copy())
    assert (found.psnr, found.largest) == (inf, 0.0)
    assert found.ssim == pytest.approx(1.0, abs=1e-12)
    assert str(found) == "equal pixel by pixel"


def test_order_does_not_matter_and_nothing_is_written_to():
    one, other = pictures(4, (20, 20))
    before = one.copy(), other.copy()
    assert difference(one, other) == difference(other, one)
    assert np.array_equal(one, before[0])
    assert np.array_equal(other, before[1])


def test_more_noise_is_worse_by_every_measure():
    found = [difference(*pictures(2, (40, 40), noise)) for noise in (2, 10, 40)]
    assert found[0].psnr > found[1].psnr > found[2].psnr
    assert found[0].ssim > found[1].ssim > found[2].ssim


@pytest.mark.parametrize(
    ("one", "other"), [((4, 4), (4, 5)), ((4, 4), (4, 4, 1)), ((4,), (4,)), ((0, 4), (0, 4))]
)
def test_what_cannot_be_compared_is_refused(one, other):
    with pytest.raises(InvalidInput, match="cannot be compared"):
        difference(np.zeros(one, np.uint8), np.zeros(other, np.uint8))


def test_pairs_are_pooled_as_one_large_picture():
    pairs = [pictures(seed, (16, 16), noise) for seed, noise in ((1, 3), (2, 30))]
    whole = pooled([difference(one, other) for one, other in pairs])
    stacked = [np.concatenate(each).astype(float) for each in zip(*pairs, strict=True)]
    error = stacked[0] - stacked[1]
    assert whole.psnr == pytest.approx(10 * np.log10(255**2 / np.mean(error**2)))
    assert whole.largest == np.abs(error).max()
    equal = difference(pairs[0][0], pairs[0][0])
    assert pooled([equal, equal]) == equal
    assert pooled([equal, Difference(20.0, 0.5, 9.0)]).psnr == pytest.approx(23.01, abs=0.01)


def test_the_text_has_every_figure():
    assert str(Difference(31.456, 0.98765, 12.0)) == (
        "PSNR 31.46 dB, SSIM 0.9877, largest difference 12/255"
    )


def test_a_difference_is_shown_ten_times_as_large_and_cut_at_white():
    one = np.array([[0, 10, 200, 255]], np.uint8)
    other = np.array([[3, 8, 250, 0]], np.uint8)
    found = amplified(one, other, 10)
    assert found.tolist() == [[30, 20, 255, 255]]
    assert found.dtype == np.uint8
    assert np.array_equal(found, amplified(other, one, 10))
