"""The front matter of a model's README: licence and recommendation, nothing else of YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from denoisert.export.sources.diffusers.readme import README_BYTES, Readme, read_readme
from denoisert.runtime.errors import ExportError, InvalidInput

CARD = """---
license: apache-2.0
tags:
  - text-to-image
inference:
  parameters:
    num_inference_steps: 20
    guidance_scale: 4.5
---
# A model

license: not this one
guidance_scale: 99
"""


def readme(folder: Path, text: str) -> Readme:
    (folder / "README.md").write_text(text, encoding="utf-8")
    return read_readme(folder.resolve())


def test_the_front_matter_is_read_and_the_rest_is_not(tmp_path: Path) -> None:
    assert readme(tmp_path, CARD) == Readme("apache-2.0", 20, 4.5)
    assert readme(tmp_path, CARD.replace("\n", "\r\n")) == Readme("apache-2.0", 20, 4.5)


def test_a_licence_of_its_own_name_is_preferred(tmp_path: Path) -> None:
    text = "---\nlicense: other\nlicense_name: 'Stability Community'\n---\n"
    assert readme(tmp_path, text).licence == "Stability Community"


@pytest.mark.parametrize(
    "text",
    ["", "# A model\n", "license: mit\n", "---\nlicense: mit\n", "x\n---\nlicense: mit\n---"],
)
def test_without_front_matter_the_licence_is_unknown(tmp_path: Path, text: str) -> None:
    assert readme(tmp_path, text) == Readme("unknown", None, None)


def test_a_folder_without_readme_says_nothing(tmp_path: Path) -> None:
    assert read_readme(tmp_path) == Readme()


@pytest.mark.parametrize(
    "line", ["num_inference_steps: many", "num_inference_steps: 2.5", "guidance_scale: high"]
)
def test_a_number_that_is_none_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(InvalidInput, match="front matter"):
        readme(tmp_path, f"---\n{line}\n---\n")


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"---\nlicense: mit\xff\n---\n")
    assert read_readme(tmp_path.resolve()).licence.startswith("mit")


def test_an_absurdly_long_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="at most 1048576 are read"):
        readme(tmp_path, "-" * (README_BYTES + 1))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "README.md").symlink_to(tmp_path / "secret")
    with pytest.raises(ExportError, match="link"):
        read_readme(folder.resolve())
