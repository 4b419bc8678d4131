"""From token ids to what the denoiser is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from denoisert.runtime.bundle.condition import TOKEN_IDS, ConditionInput, TextEncoder
from denoisert.runtime.engines.engine import Engine, Port
from denoisert.runtime.engines.rows import RowCalls, check_ports
from denoisert.runtime.text.cache import Encoded, PromptCache
from denoisert.runtime.text.tokenizer import Prompt

LANES = 16


class PromptEncoder:
    """The graph of one text encoder, for one thread at a time.

    Args:
        engine: takes `token_ids`, int64 (lanes, L), and the mask that the card names.
        text: the text encoder on the card.
        outputs: graph outputs that the denoiser is fed from.

    Raises:
        EngineError: the graph is not the one that the card describes.
    """

    def __init__(self, engine: Engine, text: TextEncoder, outputs: Iterable[str]) -> None:
        self.text = text
        self._outputs = tuple(outputs)
        names = (TOKEN_IDS, *((text.mask,) if text.mask else ()))
        takes = tuple(Port(name, "int64", ("lanes", text.tokens)) for name in names)
        check_ports(engine, text.name, takes, self._outputs)
        self._calls = RowCalls(engine, LANES)

    def encode(self, prompts: Sequence[Prompt]) -> list[dict[str, NDArray[np.float32]]]:
        """Encode prompts, several per call.

        Args:
            prompts: of this text encoder.

        Returns:
            For each its own arrays, graph output -> (L, width) or (width,).

        Raises:
            OutOfProfile: token ids of another length than the graph takes.
            EngineError: the engine failed.
        """
        encoded: list[dict[str, NDArray[np.float32]]] = []
        for first in range(0, len(prompts), self._calls.largest):
            chunk = prompts[first : first + self._calls.largest]
            given = {TOKEN_IDS: np.array([prompt.token_ids for prompt in chunk], np.int64)}
            if self.text.mask:
                given[self.text.mask] = np.array([prompt.mask for prompt in chunk], np.int64)
            found = self._calls.run(given)
            encoded += [
                {name: found[name][row].copy() for name in self._outputs}
                for row in range(len(chunk))
            ]
        return encoded

    def forget(self) -> None:
        """Drop what is bound, so that the engine can leave memory; the next call binds anew."""
        self._calls.forget()

    def close(self) -> None:
        """Release the engine."""
        self._calls.close()


class Texts:
    """All text encoders of a bundle behind one cache, for one thread at a time.

    Args:
        encoders: by the name of the text encoder.
        cache: of encoded prompts; others may read its counters.
    """

    def __init__(self, encoders: Mapping[str, PromptEncoder], cache: PromptCache) -> None:
        self._encoders = dict(encoders)
        self.cache = cache

    def encode(self, prompts: Iterable[Prompt]) -> dict[Prompt, Encoded]:
        """The values of prompts, from the cache or from the engines, one call per text encoder.

        Args:
            prompts: of any text encoder, some perhaps twice.

        Returns:
            Prompt -> graph output -> values, read-only.

        Raises:
            EngineError: an engine failed; nothing of that call is kept.
        """
        wanted = {prompt: self.cache.get(prompt) for prompt in dict.fromkeys(prompts)}
        found: dict[Prompt, Encoded] = {
            prompt: values for prompt, values in wanted.items() if values is not None
        }
        for name, encoder in self._encoders.items():
            missing = [p for p in wanted if p not in found and p.encoder == name]
            for prompt, values in zip(missing, encoder.encode(missing), strict=True):
                found[prompt] = self.cache.put(prompt, values)
        return found

    def forget(self) -> None:
        """Drop what is bound, so that the engines can leave memory; cached prompts stay."""
        for encoder in self._encoders.values():
            encoder.forget()

    def close(self) -> None:
        """Release every engine."""
        for encoder in self._encoders.values():
            encoder.close()


def outputs_of(text: TextEncoder, conditions: Iterable[ConditionInput]) -> tuple[str, ...]:
    """The graph outputs of a text encoder that a card's conditions are fed from."""
    used = (entry.output for entry in conditions if entry.encoder == text.name and entry.output)
    return tuple(dict.fromkeys(used))
