"""One change of a network's weights: which tensors of a file, times what, go where.

Linear     delta = scale * up down
kernel     delta[o, i, y, x] = scale * sum_r up[o, r] down[r, i, y, x]
Tucker     delta[o, i, y, x] = scale * sum_rq up[o, r] mid[r, q, y, x] down[q, i]

all in float64. Source: Hu et al. 2021, arXiv 2106.09685, section 4.1; Yeh et al. 2023, arXiv
2309.14859, section 3.1, for convolutions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from denoisert.export.lora.file import LoraFile
from denoisert.export.lora.keys import Layer
from denoisert.export.lora.places import Place, Shape, Site
from denoisert.runtime.errors import ExportError

Read = Callable[[str], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Change:
    """A layer of a LoRA file and the places that it fits.

    Args:
        file: what it is read from.
        layer: its keys.
        places: where its outputs go, in order.
        scale: weight of the LoRA times alpha by rank.
    """

    file: LoraFile
    layer: Layer
    places: tuple[Place, ...]
    scale: float

    def delta(self, read: Read) -> torch.Tensor:
        """What is added to the weights.

        Args:
            read: key -> tensor of the file.

        Returns:
            float64, (outputs of all places, inputs) or (outputs, inputs, height, width).

        Raises:
            ExportError: the file holds numbers that are not finite.
        """
        down, up = read(self.layer.down).double(), read(self.layer.up).double()
        up = up.flatten(1)
        if self.layer.mid is None:
            found = (up @ down.flatten(1)).reshape(-1, *down.shape[1:])
        else:
            mid = read(self.layer.mid).double()
            found = torch.einsum("or,rqyx,qi->oiyx", up, mid, down.flatten(1))
        if not bool(torch.isfinite(found).all()):
            raise ExportError(
                f"LoRA {self.file.name}: {self.layer.down!a} and {self.layer.up!a} hold numbers "
                "that are not finite. The file is damaged; download it again."
            )
        scaled: torch.Tensor = self.scale * found
        return scaled


def check_shapes(file: LoraFile, layer: Layer, places: tuple[Place, ...], site: Site) -> int:
    """Compare the tensors of a layer with the weights that they change.

    Returns:
        The rank.

    Raises:
        ExportError: a shape does not fit.
    """
    down, up = file.shape(layer.down), file.shape(layer.up)
    weight = site.shapes[places[0].path]
    mid = None if layer.mid is None else file.shape(layer.mid)
    outputs, rank = sum(place.rows for place in places), down[0] if down else 0
    kernel = (*down[2:], *up[2:]) if mid is None else mid[2:]
    expected_up = (outputs, rank if mid is None else mid[0])
    is_matrix = min(len(down), len(up), 4 if mid is None else len(mid)) >= 2 and rank > 0
    if not is_matrix or up[:2] != expected_up or down[1] != weight[1]:
        _refuse(file, layer, site, places, f"({rank}, {weight[1]}) and {expected_up}")
    if mid is None and _plain(up[2:]):
        _refuse(file, layer, site, places, f"the kernel of {weight[2:] or '1x1'} in {layer.down!a}")
    if mid is not None and (len(mid) != 4 or mid[1] != rank or _plain((*down[2:], *up[2:]))):
        _refuse(file, layer, site, places, f"a kernel ({up[1]}, {rank}, ...) in {layer.mid!a}")
    if _plain(kernel) != _plain(weight[2:]):
        _refuse(file, layer, site, places, f"a kernel of {weight[2:] or '1x1'}")
    return expected_up[1]


def _plain(kernel: Shape) -> Shape:
    """A kernel without its ones: a linear layer and a convolution of one position are the same."""
    return tuple(size for size in kernel if size != 1)


def _refuse(
    file: LoraFile, layer: Layer, site: Site, places: tuple[Place, ...], expected: str
) -> None:
    paths = ", ".join(place.path for place in places)
    raise ExportError(
        f"LoRA {file.name}: {layer.down!a} is {file.shape(layer.down)} and {layer.up!a} is "
        f"{file.shape(layer.up)}; {paths} of {site.component} with weights "
        f"{site.shapes[places[0].path]} needs {expected}. This is a LoRA for another model; use "
        "one that was trained on this family and size."
    )
