"""Latents become pixels, whole or in tiles, the same whatever is decoded beside them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from denoisert.runtime.codec.decoder import Decoder
from denoisert.runtime.codec.pixels import pixel_values
from denoisert.runtime.errors import EngineError, InvalidInput, NonFinite, OutOfProfile
from tests.runtime.coders import CHANNELS, FACTOR, Painter, coder_card
from tests.runtime.networks import perceptron
from tests.runtime.spies import Spy

PAINTER = Painter.drawn(3)
TILE = (4, 6)


def drawn(count: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    shape = (count, CHANNELS, *size)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def made(folder: Path, *, lanes: int | str = "lanes", **card: object) -> tuple[Decoder, Spy]:
    spy = Spy(PAINTER.decoder_graph(TILE, lanes).engine(folder))
    return Decoder(spy, coder_card((8, 12), TILE, **card)), spy


def expected(latents: np.ndarray) -> np.ndarray:
    card = coder_card((8, 12), TILE)
    return pixel_values(PAINTER.paint(latents).astype(np.float32), card.picture)


@pytest.mark.parametrize("size", [TILE, (4, 7), (5, 6), (8, 12), (11, 17)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_pixels_are_the_painter_s(tmp_path: Path, size: tuple[int, int], overlap: float) -> None:
    decoder, _ = made(tmp_path, overlap=overlap)
    latents = drawn(2, size)
    found = decoder.decode(latents)
    assert found.dtype == np.uint8
    assert found.shape == (2, size[0] * FACTOR, size[1] * FACTOR, 3)
    assert np.abs(found.astype(int) - expected(latents)).max() <= 1  # rounding at a half
    assert (found != expected(latents)).mean() < 1e-2


@pytest.mark.parametrize("size", [TILE, (8, 12)])
def test_a_picture_alone_and_among_others_is_the_same(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    decoder, spy = made(tmp_path)
    latents = drawn(7, size)
    together = decoder.decode(latents)
    assert max(spy.runs) > 1
    for latent, picture in zip(latents, together, strict=True):
        np.testing.assert_array_equal(decoder.decode(latent[None])[0], picture)


def test_a_graph_for_one_tile_at_a_time_will_do(tmp_path: Path) -> None:
    decoder, spy = made(tmp_path, lanes=1)
    latents = drawn(2, (8, 12))
    reference, _ = made(tmp_path)
    np.testing.assert_array_equal(decoder.decode(latents), reference.decode(latents))
    assert set(spy.runs) == {1}


def test_other_kinds_of_numbers_are_rounded_first(tmp_path: Path) -> None:
    decoder, _ = made(tmp_path)
    latents = drawn(1, TILE)
    np.testing.assert_array_equal(
        decoder.decode(latents.astype(np.float64)), decoder.decode(latents)
    )


@pytest.mark.parametrize(
    "shape", [(4, 6), (1, CHANNELS + 1, 4, 6), (1, CHANNELS, 3, 6), (1, CHANNELS, 9, 5), (4, 8, 12)]
)
def test_latents_of_another_shape_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    decoder, _ = made(tmp_path)
    with pytest.raises(OutOfProfile, match="latents of shape"):
        decoder.decode(np.zeros(shape, np.float32))


def test_no_pictures_are_no_pictures(tmp_path: Path) -> None:
    decoder, spy = made(tmp_path)
    assert decoder.decode(drawn(0, TILE)).shape == (0, 8, 12, 3)
    assert not spy.runs


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_picture_that_is_not_finite_is_an_error_and_never_black(
    tmp_path: Path, value: float
) -> None:
    decoder, _ = made(tmp_path)
    latents = drawn(2, (8, 12))
    latents[1, :, 7, 11] = [value, 1, -1, value if np.isnan(value) else -value]
    with pytest.raises(NonFinite, match="decoder"):
        decoder.decode(latents)
    assert len(decoder.decode(latents[:1])) == 1


def test_the_card_must_have_an_autoencoder(tmp_path: Path) -> None:
    engine = PAINTER.decoder_graph(TILE).engine(tmp_path)
    with pytest.raises(InvalidInput, match="no autoencoder"):
        Decoder(engine, perceptron().card())


def test_a_graph_of_another_tile_is_refused(tmp_path: Path) -> None:
    engine = PAINTER.decoder_graph((4, 5)).engine(tmp_path)
    with pytest.raises(EngineError, match="'decoder' takes"):
        Decoder(engine, coder_card((8, 12), TILE))


def test_a_failed_engine_is_told_and_the_next_call_works(tmp_path: Path) -> None:
    spy = Spy(PAINTER.decoder_graph(TILE).engine(tmp_path), failing=(2,))
    decoder = Decoder(spy, coder_card((8, 12), TILE))
    latents = drawn(5, (11, 17))
    with pytest.raises(EngineError, match="injected"):
        decoder.decode(latents)
    assert np.abs(decoder.decode(latents).astype(int) - expected(latents)).max() <= 1


def test_memory_is_the_picture_and_one_call(tmp_path: Path) -> None:
    """In float32 the picture alone would take four times its pixels."""
    tile = (16, 16)
    decoder = Decoder(PAINTER.decoder_graph(tile).engine(tmp_path), coder_card(tile, tile))
    latents = drawn(1, (320, 320))
    decoder.decode(latents[:, :, :32, :32])
    tracemalloc.start()
    pixels = decoder.decode(latents)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * pixels.nbytes


def test_closing_closes_the_engine(tmp_path: Path) -> None:
    decoder, spy = made(tmp_path)
    decoder.close()
    assert spy.is_closed
