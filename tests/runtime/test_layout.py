"""States of any rank and of several parts as one flat vector."""

from __future__ import annotations

import numpy as np
import pytest

from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout

IMAGE = Part("latent", (4, 3, 5))
VIDEO = Part("video", (2, 3, 4, 4))
VECTOR = Part("vector", (768,))


@pytest.mark.parametrize(
    ("part", "elements", "channels", "stride"),
    [(IMAGE, 60, 4, 15), (VIDEO, 96, 2, 48), (VECTOR, 768, 768, 1), (Part("one", (1,)), 1, 1, 1)],
)
def test_sizes_of_a_part(part: Part, elements: int, channels: int, stride: int) -> None:
    assert (part.elements, part.channels, part.channel_stride) == (elements, channels, stride)


def test_channels_are_neighbours_in_the_flat_vector() -> None:
    values = np.arange(IMAGE.elements).reshape(IMAGE.shape)
    stride = IMAGE.channel_stride
    for channel in range(IMAGE.channels):
        flat = values.reshape(-1)[channel * stride : (channel + 1) * stride]
        np.testing.assert_array_equal(flat, values[channel].reshape(-1))


def test_parts_lie_one_after_another() -> None:
    layout = StateLayout((IMAGE, VIDEO, VECTOR))
    assert layout.elements == 60 + 96 + 768
    assert layout.ranges == ((0, 60), (60, 156), (156, 924))


def test_a_single_part_covers_everything() -> None:
    assert StateLayout((VIDEO,)).ranges == ((0, VIDEO.elements),)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (-1, 4)])
def test_empty_shapes_are_refused_with_the_name(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="latent"):
        Part("latent", shape)


@pytest.mark.parametrize("parts", [(), (IMAGE, Part("latent", (2,)))])
def test_a_state_needs_parts_of_different_names(parts: tuple[Part, ...]) -> None:
    with pytest.raises(InvalidInput, match="different names"):
        StateLayout(parts)


def test_equal_layouts_are_equal_keys() -> None:
    one, other = StateLayout((IMAGE, VECTOR)), StateLayout((IMAGE, VECTOR))
    assert one == other
    assert len({one, other, StateLayout((VECTOR, IMAGE))}) == 2


def test_json_and_back() -> None:
    layout = StateLayout((IMAGE, VIDEO))
    assert StateLayout.from_dict(layout.to_dict()) == layout
