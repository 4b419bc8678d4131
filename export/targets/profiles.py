"""Which shapes a graph is compiled for: lanes from the options, sizes from the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from denoisert.export.options import EngineOptions
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.sizes import graph_sizes, pixel_size
from denoisert.runtime.engines.engine import Port
from denoisert.runtime.engines.profile import LANES, Profile
from denoisert.runtime.layout import StateLayout

USUAL_LANES: Final = 2
"""A picture with guidance."""

MOST_OWN: Final = 3
"""Sizes beside the default that get a profile each; more of them share one."""

Sizes = Mapping[str, int]


def profiles_of(
    card: Card, component: str, ports: Sequence[Port], options: EngineOptions
) -> tuple[Profile, ...]:
    """Profiles of one engine; together they hold every size of the card.

    The default size has one. So has each of up to three further ones that differ in the graph; more
    than three, as of a range, share one from the least to the largest height and width. Static
    ones, of the usual number of lanes, come last.

    Args:
        card: of the bundle.
        component: name of the graph.
        ports: of the graph; axes without a name need no profile.
        options: lanes and static sizes, each one of the card's.
    """
    names = {dim for port in ports for dim in port.dims if isinstance(dim, str)}
    lanes = _, usual, _ = _lanes(options)
    lengths = [graph_sizes(card, component, layout) for layout in card.layouts]
    default, *further = (each for n, each in enumerate(lengths) if each not in lengths[:n])
    groups = [[default], *([each] for each in further)]
    if len(further) > MOST_OWN:
        groups = [[default], further]
    found = [{LANES: lanes, **_span(group)} for group in groups]
    found += [
        {LANES: (usual,) * 3, **_span([graph_sizes(card, component, layout)])}
        for layout in _static(card, options)
    ]
    axes = [{name: span for name, span in each.items() if name in names} for each in found]
    return tuple(Profile(each) for n, each in enumerate(axes) if each not in axes[:n])


def _lanes(options: EngineOptions) -> tuple[int, int, int]:
    least, most = options.lanes
    return least, min(max(USUAL_LANES, least), most), most


def _span(sizes: Sequence[Sizes]) -> dict[str, tuple[int, int, int]]:
    """Least, middle and largest length of each axis."""
    spans = {}
    for name in sizes[0]:
        lengths = sorted(each[name] for each in sizes)
        spans[name] = (lengths[0], lengths[len(lengths) // 2], lengths[-1])
    return spans


def _static(card: Card, options: EngineOptions) -> list[StateLayout]:
    known = {pixel_size(card, layout): layout for layout in card.layouts}
    return [known[size] for size in options.static]
