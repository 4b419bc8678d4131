"""Which axes of a bundle's graphs vary from size to size, their names and their lengths.

Where all layouts of a card agree an axis is a number, where they differ it has a name. The compiler
writes graphs with these dimensions, the runtime fixes them by `Engine.at`; nobody else names them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.errors import InvalidInput
from denoisert.runtime.layout import Part, StateLayout

if TYPE_CHECKING:
    from denoisert.runtime.bundle.card import Card

Dims = tuple[int | str, ...]

HEIGHT: Final = "height"
WIDTH: Final = "width"
PICTURE_AXES: Final = ("picture_height", "picture_width")
PLANES: Final = (Source.MASK, Source.EXTERNAL_PICTURE)
"""Conditions that lie beside the latent, position by position."""


def state_dims(card: Card) -> tuple[Dims, ...]:
    """Dimensions of each part in the denoiser's graph, without the lanes.

    Returns:
        One tuple per part: channels, then a number or a name for every other axis.
    """
    found = []
    for index, part in enumerate(card.layout.parts):
        shapes = [layout.parts[index].shape for layout in card.layouts]
        prefix = f"{part.name}_" if index else ""
        found.append(_dims(shapes, axis_names(part, prefix)))
    return tuple(found)


def state_sizes(card: Card, layout: StateLayout) -> dict[str, int]:
    """The lengths of the denoiser's named axes at one of the card's layouts.

    Returns:
        Name -> length, for `Engine.at`; empty where the card has one layout.
    """
    named = zip(state_dims(card), layout.parts, strict=True)
    return _lengths(pair for dims, part in named for pair in zip(dims, part.shape, strict=True))


def condition_dims(card: Card, entry: ConditionInput) -> Dims:
    """Dimensions of a condition in the denoiser's graph, without the lanes.

    A mask and a picture that the network is shown have the height and width of the first part;
    nothing else depends on the layout.
    """
    if entry.source not in PLANES:
        return entry.shape
    return (*entry.shape[:-2], *state_dims(card)[0][-2:])


def conditions_at(card: Card, layout: StateLayout) -> tuple[ConditionInput, ...]:
    """The card's conditions with the shapes that they have at one of its layouts."""
    sizes = state_sizes(card, layout)
    if not sizes:
        return card.conditions
    found = []
    for entry in card.conditions:
        shape = (sizes[dim] if isinstance(dim, str) else dim for dim in condition_dims(card, entry))
        found.append(replace(entry, shape=tuple(shape)))
    return tuple(found)


def tile_dims(card: Card) -> Dims:
    """(height, width) of the latent in the codec's graphs: a number or a name each.

    Raises:
        InvalidInput: the card has no autoencoder.
    """
    return _dims([tile_at(card, layout) for layout in card.layouts], (HEIGHT, WIDTH))


def picture_dims(card: Card) -> Dims:
    """(height, width) of the picture in the codec's graphs: a number or a name each.

    Raises:
        InvalidInput: the card has no autoencoder.
    """
    return _dims([_picture_tile(card, layout) for layout in card.layouts], PICTURE_AXES)


def coder_sizes(card: Card, layout: StateLayout) -> dict[str, int]:
    """The lengths of the codec graphs' named axes at one of the card's layouts.

    Returns:
        Name -> length, for `Engine.at`; empty where all layouts are decoded in the same tile.

    Raises:
        InvalidInput: the card has no autoencoder.
    """
    dims = (*tile_dims(card), *picture_dims(card))
    lengths = (*tile_at(card, layout), *_picture_tile(card, layout))
    return _lengths(zip(dims, lengths, strict=True))


def tile_at(card: Card, layout: StateLayout) -> tuple[int, int]:
    """(height, width) of the tiles that a latent of this layout is decoded in.

    Raises:
        InvalidInput: the card has no autoencoder.
    """
    if card.autoencoder is None:
        raise InvalidInput(f"{card.name} has no autoencoder, so there are no tiles.")
    _, height, width = layout.parts[0].shape
    return card.autoencoder.tile_at(height, width)


def pixel_size(card: Card, layout: StateLayout) -> tuple[int, int] | None:
    """(height, width) that a request names to get this layout; None for states without pixels."""
    shape = layout.parts[0].shape
    if len(shape) != 3:
        return None
    factor = 1 if card.autoencoder is None else card.autoencoder.factor
    return shape[1] * factor, shape[2] * factor


def layout_of(card: Card, size: Sequence[int] | None) -> StateLayout:
    """The layout that a request of this size gets, and the default where nobody has that size.

    Args:
        card: of the bundle.
        size: (height, width) in pixels, or None for the default.
    """
    wanted = None if size is None else tuple(size)
    found = (layout for layout in card.layouts if pixel_size(card, layout) == wanted)
    return card.layout if wanted is None else next(found, card.layout)


def pixel_sizes(card: Card) -> str:
    """The sizes that a bundle is compiled for, as words: "32x32 and 48x32"."""
    sizes = [pixel_size(card, layout) for layout in card.layouts]
    words = [f"{size[0]}x{size[1]}" for size in sizes if size is not None]
    if not words:
        return f"a state of shape {card.layout.parts[0].shape}"
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def graph_sizes(card: Card, component: str, layout: StateLayout) -> dict[str, int]:
    """The lengths of a graph's named axes at one of the card's layouts.

    Args:
        card: of the bundle.
        component: name of the graph.
        layout: one of the card's.
    """
    if component == "denoiser":
        return state_sizes(card, layout)
    return coder_sizes(card, layout) if component in ("decoder", "encoder") else {}


def timed_name(card: Card, component: str, layout: StateLayout) -> str:
    """What a device profile calls a graph at a layout: its name, and its size but for the first.

    Args:
        card: of the bundle.
        component: name of the graph.
        layout: one of the card's.
    """
    wanted = graph_sizes(card, component, layout)
    same = next(each for each in card.layouts if graph_sizes(card, component, each) == wanted)
    size = pixel_size(card, same)
    return component if same is card.layout or size is None else f"{component} {size[0]}x{size[1]}"


def timed_sizes(card: Card, component: str) -> dict[str, dict[str, int]]:
    """Every size that a graph is measured at: its name in a device profile -> lengths of its axes.

    Args:
        card: of the bundle.
        component: name of the graph.
    """
    return {
        timed_name(card, component, layout): graph_sizes(card, component, layout)
        for layout in card.layouts
    }


def axis_names(part: Part, prefix: str = "") -> tuple[str, ...]:
    """What the axes of a part are called where they vary; channels, the first one, never do.

    Args:
        part: of the state.
        prefix: ahead of "height" and "width": nothing for the first part, its name for others.

    Returns:
        The last two are "height" and "width"; the others have their number behind the part's name.
    """
    rank = len(part.shape)
    names = [f"{part.name}_{axis}" for axis in range(rank)]
    for axis, name in ((rank - 2, HEIGHT), (rank - 1, WIDTH)):
        if axis > 0:
            names[axis] = f"{prefix}{name}"
    return tuple(names)


def _picture_tile(card: Card, layout: StateLayout) -> tuple[int, int]:
    height, width = tile_at(card, layout)
    factor = 1 if card.autoencoder is None else card.autoencoder.factor
    return height * factor, width * factor


def _dims(shapes: Sequence[tuple[int, ...]], names: Sequence[str]) -> Dims:
    """The length of each axis where all shapes agree, else its name."""
    axes = zip(*shapes, strict=True)
    return tuple(
        lengths[0] if len(set(lengths)) == 1 else name
        for name, lengths in zip(names, axes, strict=True)
    )


def _lengths(pairs: Iterable[tuple[int | str, int]]) -> dict[str, int]:
    """Those of the named axes."""
    return {dim: length for dim, length in pairs if isinstance(dim, str)}
