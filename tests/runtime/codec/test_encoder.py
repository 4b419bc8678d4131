"""Pictures become latents: mean plus std times the request's own noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denoisert.kernels.philox import CODEC, LATENT, reference
from denoisert.runtime.codec.encoder import PictureEncoder, start_picture
from denoisert.runtime.errors import EngineError, InvalidInput, NonFinite
from tests.runtime.coders import CHANNELS, FACTOR, Painter, coder_card
from tests.runtime.networks import perceptron
from tests.runtime.spies import Spy

PAINTER = Painter.drawn(5)
TILE = (4, 6)
SIZES = [TILE, (4, 9), (7, 6), (9, 13)]


def drawn(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    shape = (size[0] * FACTOR, size[1] * FACTOR, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def made(folder: Path, size: tuple[int, int] = TILE, **card: object) -> PictureEncoder:
    engine = PAINTER.encoder_graph(TILE).engine(folder)
    return PictureEncoder(engine, coder_card(size, TILE, **card))


def moments(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = picture.transpose(2, 0, 1)[None].astype(np.float64) / 127.5 - 1.0
    mean, std = PAINTER.look(values)
    return mean[0], std[0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_a_latent_is_mean_plus_std_times_noise(
    tmp_path: Path, size: tuple[int, int], overlap: float
) -> None:
    picture = drawn(size)
    found = made(tmp_path, size, overlap=overlap).encode(picture).draw(11, image=2)
    mean, std = moments(picture)
    noise = reference.normals(11, draw=0, image=2, count=mean.size, purpose=CODEC)
    assert found.dtype == np.float32
    assert found.shape == (CHANNELS, *size)
    np.testing.assert_allclose(found, mean + std * noise.reshape(mean.shape), rtol=0, atol=1e-5)


def test_the_noise_belongs_to_seed_and_image_and_is_not_the_sampler_s(tmp_path: Path) -> None:
    encoder, picture = made(tmp_path), drawn(TILE)
    looked = encoder.encode(picture)
    first = looked.draw(1)
    np.testing.assert_array_equal(first, encoder.encode(picture).draw(1, image=0))
    mean, std = moments(picture)
    for other in (looked.draw(2), looked.draw(1, image=1)):
        assert np.abs(first - other).max() > 0.1
    sampler = reference.normals(1, draw=0, image=0, count=mean.size, purpose=LATENT)
    assert np.abs(first - (mean + std * sampler.reshape(mean.shape))).max() > 0.1


def test_an_encoder_undoes_nothing_between_calls(tmp_path: Path) -> None:
    encoder = made(tmp_path)
    first = encoder.encode(drawn(TILE, 1)).mean
    copy = first.copy()
    encoder.encode(drawn(TILE, 2))
    np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 14, 3), np.uint8),
        np.zeros((12, 8, 3), np.uint8),
        np.zeros((8, 12, 4), np.uint8),
        np.zeros((8, 12), np.uint8),
        np.zeros((8, 12, 3), np.float32),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_another_size_is_refused_with_both_sizes(tmp_path: Path, picture: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=r"\(8, 12, 3\)"):
        made(tmp_path).encode(picture)


def test_overflow_is_an_error(tmp_path: Path) -> None:
    wild = replace(PAINTER, spread=PAINTER.spread + np.float32(1e4))
    encoder = PictureEncoder(wild.encoder_graph(TILE).engine(tmp_path), coder_card(TILE, TILE))
    with pytest.raises(NonFinite, match="image encoder"):
        encoder.encode(np.full((8, 12, 3), 255, np.uint8))


def test_a_graph_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="'encoder' takes"):
        PictureEncoder(PAINTER.decoder_graph(TILE).engine(tmp_path), coder_card(TILE, TILE))


def test_closing_closes_the_engine(tmp_path: Path) -> None:
    spy = Spy(PAINTER.encoder_graph(TILE).engine(tmp_path))
    PictureEncoder(spy, coder_card(TILE, TILE)).close()
    assert spy.is_closed


def test_a_start_is_read_and_checked_where_the_request_is_made() -> None:
    card, picture = coder_card(TILE, TILE), drawn(TILE)
    np.testing.assert_array_equal(start_picture(picture, card), picture)
    np.testing.assert_array_equal(start_picture(Image.fromarray(picture), card), picture)
    with pytest.raises(InvalidInput, match="compiled for"):
        start_picture(drawn((5, 6)), card)


def test_a_start_needs_an_image_encoder() -> None:
    without = coder_card(TILE, TILE, has_encoder=False)
    for card in (without, perceptron().card()):
        with pytest.raises(InvalidInput, match="no image encoder"):
            start_picture(drawn(TILE), card)
