"""From a prompt to the token ids that a text encoder's graph takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from denoisert.runtime.bundle.condition import TextEncoder
from denoisert.runtime.errors import Incompatible, InvalidInput


@dataclass(frozen=True, slots=True)
class Prompt:
    """A tokenised prompt; equal ones mean the same values, so it is the key of the cache.

    Args:
        encoder: name of the text encoder that it is for.
        token_ids: all L of them: start, the prompt's own, end, padding.
        filled: how many of them are no padding.
        dropped: tokens that did not fit.
    """

    encoder: str
    token_ids: tuple[int, ...]
    filled: int
    dropped: int = field(default=0, compare=False)

    @property
    def mask(self) -> tuple[int, ...]:
        """1 for each of the L tokens that is no padding, 0 for the others, which stand last."""
        padding = len(self.token_ids) - self.filled
        return (1,) * self.filled + (0,) * padding


class Tokenizer:
    """The tokenizer of one text encoder; may be called from several threads.

    Only the text model itself runs: special tokens, length and padding are those of the card, so
    that a truncation or template inside the file changes nothing.

    Args:
        source: a tokenizer.json, as a path or as its bytes.
        text: the text encoder that the tokens are for.

    Raises:
        Incompatible: it is no tokenizer, or one of a newer `tokenizers`.
    """

    def __init__(self, source: Path | bytes, text: TextEncoder) -> None:
        from tokenizers import Tokenizer as Model  # only once a prompt is wanted

        content = source if isinstance(source, bytes) else source.read_bytes()
        try:
            self._model = Model.from_buffer(content)
        except ValueError as error:
            raise Incompatible(
                f"tokenizer {text.tokenizer!r} cannot be read: {error}. Compile the model again, "
                "or update `tokenizers`."
            ) from error
        self._model.no_truncation()
        self._model.no_padding()
        self.text = text

    def encode(self, prompt: str) -> Prompt:
        """Clean and tokenise a prompt, cut it to the graph's length and fill it up.

        Args:
            prompt: text of any length, without lone surrogates.

        Returns:
            Its L token ids; `dropped` says what was cut.

        Raises:
            InvalidInput: no text, or text that is no valid Unicode.
        """
        text = self.text
        filled = text.template.replace("{}", text.cleaning(_checked(prompt)))
        # `encode` would hold the interpreter's lock, for seconds where a prompt is very long.
        (found,) = self._model.encode_batch_fast([filled], add_special_tokens=False)
        ids = found.ids
        kept = (*text.start, *ids[: text.room], *text.end)
        padding = (text.pad,) * (text.tokens - len(kept))
        return Prompt(text.name, (*kept, *padding), len(kept), dropped=max(0, len(ids) - text.room))


def _checked(prompt: object) -> str:
    """The prompt, if it is text; no message quotes it, because prompts are nobody else's."""
    if not isinstance(prompt, str):
        raise InvalidInput(f"a prompt must be text, not {type(prompt).__name__}.")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"the prompt has half of a surrogate pair at character {error.start}, which is no "
            "Unicode text. Decode it as UTF-16 or drop it."
        ) from error
    return prompt
