"""Any number of rows through an engine's buckets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.rows import RowCalls, check_ports
from denoisert.runtime.errors import EngineError, OutOfProfile
from tests.runtime.coders import CHANNELS, Painter
from tests.runtime.spies import Spy

TILE = (3, 4)
PAINTER = Painter.drawn()
TAKES = Port("latent", "float32", ("lanes", CHANNELS, *TILE))


def drawn(count: int) -> np.ndarray:
    shape = (count, CHANNELS, *TILE)
    return np.random.default_rng(count).standard_normal(shape).astype(np.float32)


def spied(folder: Path, lanes: int | str = "lanes") -> Spy:
    return Spy(PAINTER.decoder_graph(TILE, lanes).engine(folder))


def test_rows_come_back_in_order(tmp_path: Path) -> None:
    calls = RowCalls(spied(tmp_path), 8)
    for count in (1, 5, 8):
        latents = drawn(count)
        found = calls.run({"latent": latents})["picture"]
        np.testing.assert_allclose(found, PAINTER.paint(latents), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("lanes", "largest"), [(1, 1), (7, 7), (16, 16), (99, 16), (0, 1)])
def test_lanes_bound_a_call(tmp_path: Path, lanes: int, largest: int) -> None:
    calls = RowCalls(spied(tmp_path), lanes)
    assert calls.largest == largest
    with pytest.raises(OutOfProfile, match=f"1 to {largest}"):
        calls.run({"latent": drawn(largest + 1)})


def test_a_fixed_bucket_is_padded_with_rows_that_are_never_returned(tmp_path: Path) -> None:
    engine = spied(tmp_path, 4)
    calls = RowCalls(engine, 1)
    assert calls.largest == 4
    latents = drawn(3)
    calls.run({"latent": drawn(4) * np.float32(np.nan)})
    found = calls.run({"latent": latents})["picture"]
    assert len(found) == 3
    np.testing.assert_allclose(found, PAINTER.paint(latents), rtol=0, atol=1e-6)
    assert engine.runs == [4, 4]


def test_padding_repeats_the_first_row(tmp_path: Path) -> None:
    seen = []
    graph = PAINTER.decoder_graph(TILE, 4).engine(tmp_path)
    engine = Spy(graph, before=lambda buffers: seen.append(buffers["latent"].copy()))
    RowCalls(engine, 4).run({"latent": drawn(2)})
    np.testing.assert_array_equal(seen[0], drawn(2)[[0, 1, 0, 0]])


def test_buffers_are_bound_again_only_for_another_bucket(tmp_path: Path) -> None:
    engine = spied(tmp_path)
    calls = RowCalls(engine, 4)
    for count in (2, 2, 3, 3, 2):
        calls.run({"latent": drawn(count)})
    assert [bucket for bucket, _ in engine.binds] == [2, 3, 2]


@pytest.mark.parametrize(
    "rows",
    [
        {"latent": drawn(2).astype(np.float64)},
        {"latent": drawn(2)[:, :2]},
        {"latent": drawn(2)[..., None]},
        {"picture": drawn(2)},
        {"latent": drawn(1)[:0]},
    ],
    ids=["dtype", "channels", "dimensions", "name", "none"],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, rows: dict[str, np.ndarray]) -> None:
    with pytest.raises(OutOfProfile):
        RowCalls(spied(tmp_path), 4).run(rows)


def test_a_failed_call_can_be_tried_again(tmp_path: Path) -> None:
    engine = Spy(PAINTER.decoder_graph(TILE).engine(tmp_path), failing=(1,))
    calls = RowCalls(engine, 4)
    with pytest.raises(EngineError, match="injected"):
        calls.run({"latent": drawn(2)})
    found = calls.run({"latent": drawn(2)})["picture"]
    np.testing.assert_allclose(found, PAINTER.paint(drawn(2)), rtol=0, atol=1e-6)


def test_closed_calls_say_so(tmp_path: Path) -> None:
    calls = RowCalls(spied(tmp_path), 4)
    calls.run({"latent": drawn(1)})
    calls.close()
    with pytest.raises(EngineError, match="closed"):
        calls.run({"latent": drawn(1)})


def test_ports_are_compared_with_the_card(tmp_path: Path) -> None:
    engine = spied(tmp_path)
    check_ports(engine, "decoder", (TAKES,), ("picture",))
    wrong = (
        ((), ("picture",)),
        ((TAKES, Port("more", "float32", ("lanes",))), ("picture",)),
        ((Port("latent", "float32", ("lanes", CHANNELS, 4, 3)),), ("picture",)),
        ((Port("latent", "float16", TAKES.dims),), ("picture",)),
        ((TAKES,), ("picture", "mean")),
    )
    for inputs, outputs in wrong:
        with pytest.raises(EngineError, match=r"'decoder' takes .* Compile the model again"):
            check_ports(engine, "decoder", inputs, outputs)
