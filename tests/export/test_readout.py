"""The linear read-out: exact where the decoder is linear, close where it is not, and repeatable."""

from __future__ import annotations

import numpy as np
import pytest

from denoisert.export.sources.diffusers.readout import estimate_readout

SHAPE = (4, 6, 5)
FACTOR = 3
MATRIX = np.array([[0.5, -1.0, 0.25, 2.0], [1.5, 0.0, -0.75, 0.1], [0.0, 0.3, 0.2, -0.4]])
BIAS = np.array([0.1, -0.2, 0.7])


def enlarged(values: np.ndarray) -> np.ndarray:
    return values.repeat(FACTOR, 2).repeat(FACTOR, 3)


def linear(latents: np.ndarray) -> np.ndarray:
    mixed = np.einsum("kc,bchw->bkhw", MATRIX, latents) + BIAS[:, None, None]
    return enlarged(mixed).astype(np.float32)


def applied(readout: tuple[tuple[float, ...], ...], latents: np.ndarray) -> np.ndarray:
    weights = np.array(readout)
    mixed = np.einsum("kc,bchw->bkhw", weights[:, :-1], latents)
    return mixed + weights[:, -1, None, None]


def test_a_linear_decoder_is_found_exactly() -> None:
    readout = estimate_readout(linear, SHAPE)
    assert len(readout) == 3
    np.testing.assert_allclose(np.array(readout)[:, :-1], MATRIX, atol=2e-4)
    np.testing.assert_allclose(np.array(readout)[:, -1], BIAS, atol=2e-4)


def test_pixels_inside_a_position_count_by_their_mean() -> None:
    def rippled(latents: np.ndarray) -> np.ndarray:
        ripple = np.array([-1.0, 0.0, 1.0], np.float32)
        return linear(latents) + np.tile(ripple, SHAPE[2])[None, None, None, :]

    np.testing.assert_allclose(
        estimate_readout(rippled, SHAPE), estimate_readout(linear, SHAPE), atol=2e-4
    )


def test_a_saturating_decoder_is_read_better_than_by_its_mean() -> None:
    generator = np.random.default_rng(4)
    readout = estimate_readout(lambda latents: np.tanh(linear(latents)), SHAPE)
    latents = generator.standard_normal((8, *SHAPE))
    wanted = np.tanh(linear(latents))[:, :, ::FACTOR, ::FACTOR]
    error = np.mean((applied(readout, latents) - wanted) ** 2)
    assert error < 0.25 * wanted.var()


def test_it_repeats_and_is_rounded() -> None:
    first, again = (estimate_readout(linear, SHAPE) for _ in range(2))
    assert first == again
    for value in np.array(first).reshape(-1):
        assert float(f"{value:.4e}") == value


@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 3, 7), (16, 8, 8)])
def test_any_size_and_number_of_channels(shape: tuple[int, ...]) -> None:
    def sums(latents: np.ndarray) -> np.ndarray:
        return enlarged(latents.sum(1, keepdims=True)).astype(np.float32)

    (row,) = estimate_readout(sums, shape)
    assert len(row) == shape[0] + 1
    if shape[0] < 12 * shape[1] * shape[2] - 1:
        np.testing.assert_allclose(row[:-1], 1.0, atol=1e-3)


def test_a_picture_of_one_latent_at_a_time_is_decoded() -> None:
    seen = []

    def watched(latents: np.ndarray) -> np.ndarray:
        seen.append((latents.shape, latents.dtype))
        return linear(latents)

    estimate_readout(watched, SHAPE)
    assert set(seen) == {((1, *SHAPE), np.dtype(np.float32))}
