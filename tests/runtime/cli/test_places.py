"""Names of files, contact sheets, and files that are replaced in one step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denoisert.runtime.cli.output import Output, check_place, replaced, stems
from denoisert.runtime.cli.sheet import enlargement, near_square, sheet
from denoisert.runtime.cli.write import write_arrays
from denoisert.runtime.errors import InvalidInput


def picture(value: int, size: tuple[int, int] = (16, 16), mode: str = "L") -> Image.Image:
    return Image.new(mode, size, value if mode == "L" else (value,) * 3)


def test_names_keep_letters_and_stay_different() -> None:
    assert stems(["red apple", "3", "a/b", "a_b", "../x", "3"], 7) == [
        "red_apple-7",
        "3-7",
        "a_b-7",
        "a_b.2-7",
        "_x-7",
        "3.2-7",
    ]


@pytest.mark.parametrize("name", ["", "...", "/", "a" * 500, "\0", "ä ö"])
def test_any_text_becomes_a_file_name(name: str, tmp_path: Path) -> None:
    (stem,) = stems([name], 1)
    assert "/" not in stem
    assert not stem.startswith(".")
    (tmp_path / f"{stem}.png").write_bytes(b"")


@pytest.mark.parametrize(
    ("size", "factor"), [((16, 16), 4), ((8, 32), 8), ((64, 64), 1), ((65, 900), 1), ((33, 40), 2)]
)
def test_small_pictures_are_enlarged_by_a_whole_factor(size: tuple[int, int], factor: int) -> None:
    assert enlargement(size) == factor


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (9, 3), (10, 4)])
def test_columns_near_a_square(count: int, columns: int) -> None:
    assert near_square(count) == columns


def test_a_sheet_puts_every_picture_in_its_place() -> None:
    whole = np.asarray(sheet([picture(10), picture(20), None, picture(40)], 2))
    assert whole.shape == (130, 130)
    assert {int(value) for value in whole[:64, :64].flat} == {10}
    assert {int(value) for value in whole[:64, 66:].flat} == {20}
    assert {int(value) for value in whole[66:, :64].flat} == {255}
    assert {int(value) for value in whole[66:, 66:].flat} == {40}
    assert {int(value) for value in whole[64:66].flat} == {255}


def test_a_sheet_keeps_colours() -> None:
    assert sheet([picture(5, mode="RGB")], 1).mode == "RGB"


@pytest.mark.parametrize("cells", [[], [None], [picture(1), picture(1, (8, 8))]])
def test_a_sheet_needs_pictures_of_one_size(cells: list[Image.Image | None]) -> None:
    with pytest.raises(InvalidInput, match="sheet"):
        sheet(cells, 1)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replaced(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail() -> None:
        with replaced(path) as draft:
            draft.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_arrays_of_any_name_come_back_and_bytes_repeat(tmp_path: Path) -> None:
    arrays = {"file": np.arange(6.0).reshape(2, 3), "latent": np.zeros(0), "seed": np.uint64(7)}
    for name in ("one.npz", "two.npz"):
        write_arrays(tmp_path / name, {key: np.asarray(value) for key, value in arrays.items()})
    with np.load(tmp_path / "one.npz") as read:
        for key, value in arrays.items():
            np.testing.assert_array_equal(read[key], value)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_a_place_that_can_be_written_passes(tmp_path: Path) -> None:
    check_place("--out", None, ".svg", tmp_path / "x.bundle")
    check_place("--out", tmp_path / "a.SVG", ".svg", tmp_path / "x.bundle")
    (tmp_path / "b.svg").write_text("older")
    check_place("--out", tmp_path / "b.svg", ".svg", tmp_path / "x.bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["b.svg"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.png", "must end in .svg"),
        ("svg", "must end in .svg"),
        ("missing/a.svg", "is not a folder"),
        ("folder.svg", "is a folder"),
        ("x.bundle/a.svg", "lies in the bundle"),
        ("x.bundle/deep/../a.svg", "lies in the bundle"),
    ],
)
def test_a_place_that_cannot_be_meant_is_refused(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "x.bundle" / "deep").mkdir(parents=True)
    with pytest.raises(InvalidInput, match=says):
        check_place("--svg", tmp_path / name, ".svg", tmp_path / "x.bundle")


def test_a_folder_that_looks_like_a_file(tmp_path: Path) -> None:
    bundle, place = tmp_path / "a.bundle", tmp_path / "cat.PNG"
    output = Output(place, None, None, None)
    with pytest.raises(InvalidInput, match=r"cat\.PNG is the folder .* --grid FILE\.png"):
        output.check(bundle)
    place.mkdir()
    output.check(bundle)
