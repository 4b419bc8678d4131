"""What a family is: it knows what the configurations of one kind of model mean.

Everything but `graphs` works from configurations alone, without torch, so that the cache key and
the refusal of a bad folder cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from denoisert.export.families.roster import Roster
from denoisert.export.options import CompileOptions
from denoisert.export.sources.diffusers.component import Component, Folder
from denoisert.export.sources.diffusers.readme import Readme
from denoisert.export.sources.diffusers.scheduler import Sampling
from denoisert.export.sources.diffusers.tokens import Tokens
from denoisert.runtime.bundle.card import Card

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.graph.signature import Signature

Build = Callable[[str], "nn.Module"]
"""Name of a component -> its network with weights, float32, in evaluation mode."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a folder says, read without torch.

    Args:
        folder: configurations.
        readme: licence and recommendations.
        tokens: name of a text encoder -> its tokenizer, for those that the folder has.
        options: sizes and tile that the caller asks for.
    """

    folder: Folder
    readme: Readme = field(default_factory=Readme)
    tokens: Mapping[str, Tokens] = field(default_factory=dict)
    options: CompileOptions = field(default_factory=CompileOptions)

    @property
    def parts(self) -> Mapping[str, Component]:
        """The folder's components by name."""
        return self.folder.components


class Family(Protocol):
    """One kind of model."""

    @property
    def pipelines(self) -> Mapping[str, Roster]:
        """Class names of diffusers' pipelines -> their components."""
        ...

    def sampling(self, material: Material) -> Sampling:
        """Training, recommended sampler and notes: the scheduler as the pipelines call it.

        Raises:
            ExportError: a scheduler that no table reproduces.
        """
        ...

    def card(self, material: Material, sampling: Sampling) -> Card:
        """Everything that the runtime has to know.

        Args:
            material: what the folder says.
            sampling: what `sampling` returned for it.

        Raises:
            ExportError: configurations that contradict each other, or ask for what is not fed.
            InvalidInput: a size or tile that does not fit.
        """
        ...

    def graphs(
        self, material: Material, card: Card, build: Build
    ) -> Iterator[tuple[nn.Module, Signature]]:
        """Modules to trace, the denoiser first; each network is built when it is asked for.

        Args:
            material: what the folder says.
            card: sizes and names; the caller's own where it brought one.
            build: networks by component.

        Raises:
            ExportError: configuration and weights do not fit.
        """
        ...
