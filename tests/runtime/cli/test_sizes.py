"""The command on a bundle of several sizes: what it lists, measures and makes."""

import argparse

import numpy as np
import pytest
from PIL import Image

from denoisert.runtime import Request, Runtime
from denoisert.runtime.cli import main
from denoisert.runtime.cli.size import read_size
from denoisert.runtime.measure.estimate import Basis
from tests.runtime.sized import SIZES, coder, sized_bundle, sized_card


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Pictures of 12 x 8 and 8 x 16 pixels."""
    card = sized_card(*SIZES, coder=coder((6, 8)))
    return sized_bundle(tmp_path_factory.mktemp("sized"), card)


@pytest.mark.parametrize(
    ("text", "size"), [("512x768", (512, 768)), ("64", (64, 64)), ("1x2", (1, 2))]
)
def test_a_size_is_height_x_width(text, size):
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "8x", "8x8x8", "-8x8", "8.0x8", "8 x 8", "²x2"])
def test_anything_else_is_no_size(text):
    with pytest.raises(argparse.ArgumentTypeError, match="write 512x768"):
        read_size(text)


def test_inspect_lists_the_sizes(bundle, capsys):
    assert main(["inspect", str(bundle)]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("state       latent (4, 6, 4)")
    assert lines[at + 1] == "            or (4, 4, 8)"
    (pictures,) = (line for line in lines if line.startswith("pictures"))
    assert "12x8 and 8x16 pixels in tiles of 12x16, decoder and encoder" in pictures
    (graph,) = (line for line in lines if "out_latent float32[" in line)
    assert "latent float32[lanes, 4, height, width]" in graph


@pytest.mark.parametrize("words", [(), ("--size", "8x16")])
def test_generate_makes_the_size_that_is_asked_for(bundle, tmp_path, words):
    asked = ["generate", str(bundle), "3", "--steps", "2", "--threads", "1", *words]
    assert main([*asked, "--out", str(tmp_path)]) == 0
    size = (8, 16) if words else (12, 8)
    with Image.open(tmp_path / "3-0-0.png") as picture:
        assert picture.size == size[::-1]
        found = np.asarray(picture)
    with Runtime.open(bundle, threads=1) as runtime:
        result = runtime.generate(Request(3, steps=2, size=size))
    assert np.array_equal(found, result.pixels[0])


def test_generate_names_the_sizes_where_it_has_no_such(bundle, tmp_path, capsys):
    words = ["generate", str(bundle), "3", "--size", "16x16", "--out", str(tmp_path / "out")]
    assert main(words) == 1
    assert "size 16x16 asked for, the bundle is compiled for 12x8 and 8x16" in (
        capsys.readouterr().err
    )


def test_a_wrong_size_is_a_wrong_option(bundle, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["generate", str(bundle), "3", "--size", "big"])
    assert caught.value.code == 2
    assert "'big' is no size; write 512x768 or 512" in capsys.readouterr().err


def test_warm_measures_every_size(bundle, tmp_path):
    words = ["warm", str(bundle), "--threads", "1", "--seconds", "0.001"]
    assert main([*words, "--cache", str(tmp_path)]) == 0
    with Runtime.open(bundle, threads=1, cache=tmp_path) as runtime:
        profile = runtime._intake.planner._first._profile
        names = dict.fromkeys(call.component for call in profile.calls)
        graphs = ("decoder", "denoiser", "encoder")
        assert sorted(names) == sorted(
            [name + suffix for name in graphs for suffix in ("", " 8x16")]
        )
        for size in ((12, 8), (8, 16)):
            time = runtime.plan(Request(3, size=size, steps=2)).time
            suffix = "" if size == (12, 8) else " 8x16"
            wanted = [profile.call(f"{name}{suffix}", 1).seconds for name in graphs[:2]]
            assert time.basis is Basis.MEASURED
            assert time.seconds == pytest.approx(wanted[0] + 2 * wanted[1])
