"""The conditions of a request: values by denoiser input, and what they still wait for.

What a text encoder makes of tokens and the image encoder of a picture is filled in by
`Conditions.fill`, once the engines have run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from denoisert.runtime.bundle.condition import ConditionInput
from denoisert.runtime.errors import EngineError
from denoisert.runtime.text.tokenizer import Prompt

Array = NDArray[Any]
Encode = Callable[[Prompt], Mapping[str, Array]]


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """What one condition feeds to its lanes.

    Args:
        given: denoiser input -> values that are known already.
        told: (denoiser input, prompt) of those that wait for a text encoder.
        shown: denoiser inputs that wait for the latent of the picture without what is repainted.
    """

    given: Mapping[str, Array]
    told: tuple[tuple[ConditionInput, Prompt], ...] = ()
    shown: tuple[ConditionInput, ...] = ()

    def fill(
        self, encoded: Mapping[Prompt, Mapping[str, Array]], picture: Array | None
    ) -> dict[str, Array]:
        """All values, denoiser input -> array."""
        told = {entry.name: _fitted(entry, encoded[prompt]) for entry, prompt in self.told}
        shown = {entry.name: _shown(entry, picture) for entry in self.shown}
        return {**self.given, **told, **shown}


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """The conditions of one request, validated and tokenised.

    Args:
        lanes: cond, then uncond where the guidance asks for it.
        notes: what the user should know, such as a prompt that was cut.
        conditioned_bytes: of what a conditioner makes of them before the denoiser is fed; 0 where
            it is fed as they are.
    """

    lanes: tuple[Lane, ...]
    notes: tuple[str, ...] = ()
    conditioned_bytes: int = 0

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """What has to be encoded, each once."""
        return tuple(dict.fromkeys(prompt for lane in self.lanes for _, prompt in lane.told))

    @property
    def needs_picture(self) -> bool:
        """Whether an input waits for the image encoder."""
        return any(lane.shown for lane in self.lanes)

    def fill(self, encode: Encode, picture: Array | None = None) -> tuple[Mapping[str, Array], ...]:
        """The values of one lane per condition.

        Args:
            encode: gives the text encoder's outputs of a prompt; called once per prompt.
            picture: (C, h, w) latent of the picture without what is repainted, where it is needed.

        Returns:
            Per condition, denoiser input -> values.

        Raises:
            EngineError: a text encoder's output or the latent does not fit the denoiser's input.
        """
        encoded = {prompt: encode(prompt) for prompt in self.prompts}
        return tuple(lane.fill(encoded, picture) for lane in self.lanes)


def _fitted(entry: ConditionInput, outputs: Mapping[str, Array]) -> Array:
    """The output of a text encoder as the denoiser takes it."""
    values = outputs[entry.output]
    if values.shape != entry.shape:
        raise EngineError(
            f"output {entry.output!r} of {entry.encoder!r} is {values.shape}; the denoiser's "
            f"{entry.name!r} takes {entry.shape}. Compile the model again."
        )
    return values.astype(entry.dtype, copy=False)


def _shown(entry: ConditionInput, picture: Array | None) -> Array:
    """The latent of a picture as the denoiser takes it."""
    shape = None if picture is None else picture.shape
    if picture is None or shape != entry.shape:
        raise EngineError(
            f"input {entry.name!r} takes a picture's latent of shape {entry.shape}, the image "
            f"encoder's is {shape}. Compile the model again."
        )
    return picture.astype(entry.dtype, copy=False)
