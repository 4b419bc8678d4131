"""Weights beside a graph: mapped where they lie, refused where they do not."""

import numpy as np
import pytest
import torch

from denoisert.runtime.engines.torch.external import ExternalFiles
from denoisert.runtime.errors import BuildError

VALUES = np.arange(12, dtype=np.float32)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "bundle"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "w.bin").write_bytes(b"head" + VALUES.tobytes())
    (tmp_path / "outside.bin").write_bytes(VALUES.tobytes())
    return folder


def tensor(root, location="weights/w.bin", shape=(3, 4), dtype=torch.float32, **entries):
    entries = {"location": location, "offset": "4", "length": "48"} | entries
    return ExternalFiles(root).tensor("w", entries, dtype, shape)


def test_a_weight_is_a_range_of_a_file(root):
    assert torch.equal(tensor(root), torch.arange(12.0).view(3, 4))


def test_a_range_that_is_not_aligned_is_copied(root):
    path = root / "weights" / "w.bin"
    path.write_bytes(b"h" + VALUES.tobytes())
    assert torch.equal(tensor(root, offset="1"), torch.arange(12.0).view(3, 4))


def test_the_length_may_be_left_out(root):
    files = ExternalFiles(root)
    entries = {"location": "weights/w.bin", "offset": "8"}
    found = files.tensor("w", entries, torch.float32, (2,))
    assert found.tolist() == [1.0, 2.0]


def test_an_empty_weight_needs_no_file(root):
    found = tensor(root, "weights/none.bin", (0, 4), length="0")
    assert found.shape == (0, 4)


def test_a_file_is_mapped_once_and_never_changed(root):
    files = ExternalFiles(root)
    entries = {"location": "weights/w.bin", "offset": "4", "length": "48"}
    one, other = (files.tensor("w", entries, torch.float32, (12,)) for _ in range(2))
    assert one.data_ptr() == other.data_ptr()
    one.fill_(7)
    assert (root / "weights" / "w.bin").read_bytes() == b"head" + VALUES.tobytes()


def test_a_range_beyond_the_file_is_refused_with_its_bytes(root):
    with pytest.raises(BuildError, match=r"bytes 8 to 56 of 'weights/w\.bin', which has 52"):
        tensor(root, offset="8")


@pytest.mark.parametrize("location", ["../outside.bin", "weights/../../outside.bin", ""])
def test_a_location_outside_the_folder_is_refused(location, root):
    with pytest.raises(BuildError, match="outside the folder of weights"):
        tensor(root, location, offset="0")


def test_an_absolute_location_is_refused(root, tmp_path):
    with pytest.raises(BuildError, match="outside the folder of weights"):
        tensor(root, str(tmp_path / "outside.bin"), offset="0")


def test_a_link_that_leads_outside_is_refused(root, tmp_path):
    (root / "weights" / "link.bin").symlink_to(tmp_path / "outside.bin")
    with pytest.raises(BuildError, match="outside the folder of weights"):
        tensor(root, "weights/link.bin", offset="0")


def test_a_file_that_is_not_there_is_refused(root):
    with pytest.raises(BuildError, match=r"weights/none\.bin', which cannot be mapped"):
        tensor(root, "weights/none.bin")


def test_an_empty_file_is_refused(root):
    (root / "weights" / "empty.bin").touch()
    with pytest.raises(BuildError, match="cannot be mapped"):
        tensor(root, "weights/empty.bin")


@pytest.mark.parametrize("text", ["-4", "four", ""])
def test_an_offset_that_is_no_number_is_refused(text, root):
    with pytest.raises(BuildError, match=f"offset {text!r}, no number"):
        tensor(root, offset=text)


def test_a_length_of_another_shape_is_refused(root):
    with pytest.raises(BuildError, match="needs 40 bytes, the graph gives it 48"):
        tensor(root, shape=(10,))
