"""Which shapes an engine is compiled for: every size of the card, and nothing that nobody asks."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denoisert.export.options import EngineOptions, size_range
from denoisert.export.targets.profiles import MOST_OWN, profiles_of
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.sizes import graph_sizes, pixel_size, state_dims
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.profile import Profile
from tests.export.pictures import FACTOR, card_at

Size = tuple[int, int]


def denoiser_ports(card: Card, lanes: int | str = "lanes") -> tuple[Port, ...]:
    (dims,) = state_dims(card)
    return (Port("latent", "float32", (lanes, *dims)), Port("time", "float32", (lanes,)))


def profiles(card: Card, options: EngineOptions, lanes: int | str = "lanes") -> list[str]:
    found = profiles_of(card, "denoiser", denoiser_ports(card, lanes), options)
    return [str(profile) for profile in found]


def test_one_size_has_one_profile() -> None:
    card = card_at((16, 16))
    found = profiles_of(card, "denoiser", denoiser_ports(card), EngineOptions())
    assert found == (Profile({"lanes": (1, 2, 16)}),)


@pytest.mark.parametrize(
    ("lanes", "span"), [((1, 1), (1, 1, 1)), ((4, 8), (4, 4, 8)), ((2, 2), (2, 2, 2))]
)
def test_lanes_come_from_the_options(lanes: Size, span: tuple[int, int, int]) -> None:
    card = card_at((16, 16))
    found = profiles_of(card, "denoiser", denoiser_ports(card), EngineOptions(lanes))
    assert found == (Profile({"lanes": span}),)


def test_a_few_sizes_have_one_each() -> None:
    found = profiles(card_at((16, 16), (8, 16), (24, 16), (32, 16)), EngineOptions())
    assert found == [f"lanes 1 to 16, height {height}" for height in (16, 8, 24, 32)]


def test_a_range_shares_one_beside_the_default() -> None:
    sizes = [(h // FACTOR, w // FACTOR) for h, w in size_range((512, 512), (1024, 768))]
    card = card_at((64, 64), *sizes[1:])
    found = profiles_of(card, "denoiser", denoiser_ports(card), EngineOptions())
    assert [str(profile) for profile in found] == [
        "lanes 1 to 16, height 64, width 64",
        "lanes 1 to 16, height 64 to 128, width 64 to 96",
    ]
    assert found[1].axes["height"] == (64, 96, 128)


def test_static_ones_come_last_and_have_no_open_axis() -> None:
    card = card_at((16, 16), (32, 32))
    static = ((256, 256), (128, 128))
    found = profiles_of(card, "denoiser", denoiser_ports(card), EngineOptions((1, 8), static))
    assert [str(profile) for profile in found[2:]] == [
        "lanes 2, height 32, width 32",
        "lanes 2, height 16, width 16",
    ]
    assert [profile.is_static for profile in found] == [False, False, True, True]


def test_a_static_size_that_is_the_only_shape_is_no_second_profile() -> None:
    assert profiles(card_at((16, 16)), EngineOptions((4, 4), ((128, 128),))) == ["lanes 4"]


def test_lanes_that_are_fixed_need_no_span() -> None:
    assert profiles(card_at((16, 16)), EngineOptions(), 2) == [""]
    assert profiles(card_at((16, 16), (8, 16)), EngineOptions(), 2) == ["height 16", "height 8"]


def test_a_time_without_axes_is_no_matter() -> None:
    card = card_at((16, 16))
    ports = (denoiser_ports(card)[0], Port("time", "float32", ()))
    assert profiles_of(card, "denoiser", ports, EngineOptions()) == (
        Profile({"lanes": (1, 2, 16)}),
    )


def test_a_text_encoder_has_no_size() -> None:
    card = card_at((16, 16), (32, 32), (8, 8))
    ports = (Port("tokens", "int64", ("lanes", 77)),)
    found = profiles_of(card, "text", ports, EngineOptions((1, 4), ((128, 128),)))
    assert [str(profile) for profile in found] == ["lanes 1 to 4", "lanes 2"]


def test_sizes_that_a_graph_does_not_tell_apart_are_one() -> None:
    """A decoder takes tiles: many sizes of pictures, two of tiles, and no range between them."""
    card = card_at((4, 8), *((height, 8) for height in range(8, 64, 8)), tile=(8, 8))
    ports = (Port("latent", "float32", ("lanes", 4, "height", 8)),)
    found = profiles_of(card, "decoder", ports, EngineOptions())
    assert [str(profile) for profile in found] == [
        "lanes 1 to 16, height 4",
        "lanes 1 to 16, height 8",
    ]


lengths = st.integers(1, 12).map(lambda n: 8 * n)
sizes_of_cards = st.lists(st.tuples(lengths, lengths), min_size=1, max_size=9, unique=True)
lanes_of_options = st.tuples(st.integers(1, 16), st.integers(1, 16)).map(sorted).map(tuple)


@settings(deadline=None, max_examples=80)
@given(sizes_of_cards, lanes_of_options, st.data())
def test_every_size_is_held_and_nothing_outside(
    sizes: list[Size], lanes: Size, data: st.DataObject
) -> None:
    card = card_at(*sizes)
    static = tuple(data.draw(st.lists(st.sampled_from(card.layouts), unique=True)))
    pixels = [pixel_size(card, layout) for layout in static]
    options = EngineOptions(lanes, tuple(size for size in pixels if size is not None))
    ports = denoiser_ports(card)
    found = profiles_of(card, "denoiser", ports, options)
    named = {dim for port in ports for dim in port.dims if isinstance(dim, str)}
    known = [graph_sizes(card, "denoiser", layout) for layout in card.layouts]
    for wanted, count in itertools.product(known, range(lanes[0], lanes[1] + 1)):
        assert any(profile.holds({**wanted, "lanes": count}) for profile in found)
    usual = min(max(2, lanes[0]), lanes[1])
    for layout in static:
        wanted = {**graph_sizes(card, "denoiser", layout), "lanes": usual}
        assert any(profile.is_static and profile.holds(wanted) for profile in found)
    assert all(found[0].axes[name] == (length,) * 3 for name, length in known[0].items())
    assert len(set(map(str, found))) == len(found) <= 1 + MOST_OWN + len(static)
    for profile in found:
        assert set(profile.axes) == named
        for name in known[0]:
            possible = {each[name] for each in known}
            assert set(profile.axes[name]) <= possible
        assert profile.axes["lanes"] in ((lanes[0], usual, lanes[1]), (usual,) * 3)
