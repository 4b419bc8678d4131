"""The conditioning recipe: which inputs a denoiser has, and what each of them is fed from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import prod

from denoisert.runtime.bundle.measure import Measure
from denoisert.runtime.errors import InvalidInput

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64"),
)


def check_dtype(name: str, dtype: str) -> None:
    """Refuse a type that NumPy has no name for.

    Raises:
        InvalidInput: names the input.
    """
    if dtype not in DTYPES:
        raise InvalidInput(f"input {name!r} has dtype {dtype!r}; known are {', '.join(DTYPES)}.")


TOKEN_IDS = "token_ids"
"""The input that every text encoder's graph has."""


class Source(Enum):
    """Where the values of a denoiser input come from; a closed list."""

    CLASS_LABEL = "class_label"
    ENCODER_OUTPUT = "encoder_output"
    TOKEN_MASK = "token_mask"
    POOLED = "pooled"
    HIDDEN_LAYER = "hidden_layer"
    SIZES = "sizes"
    ZEROS = "zeros"
    EXTERNAL_PICTURE = "external_picture"
    EXTERNAL_ARRAY = "external_array"
    MASK = "mask"
    TABLE_SCALAR = "table_scalar"


FROM_TEXT = (Source.ENCODER_OUTPUT, Source.POOLED, Source.HIDDEN_LAYER, Source.TOKEN_MASK)
"""Sources that a text encoder provides; the last is its tokens' mask, no output of the graph."""


@dataclass(frozen=True, slots=True)
class ConditionInput:
    """One named conditioning input of the denoiser.

    Args:
        name: the graph input.
        source: where its values come from.
        dtype: NumPy name.
        shape: per lane, without the batch dimension; () for a class label.
        classes: for CLASS_LABEL, labels are 0 .. classes - 1.
        null: what the uncond branch is fed; None where the model was not trained without condition.
        labels: names of the classes, empty when they are just numbers.
        encoder: for what comes from text, the name of the text encoder.
        output: the text encoder's graph output; "" for its token mask.
        measures: for SIZES, the numbers in their order, as many as the shape holds.
    """

    name: str
    source: Source
    dtype: str
    shape: tuple[int, ...] = ()
    classes: int = 0
    null: float | None = None
    labels: tuple[str, ...] = ()
    encoder: str = ""
    output: str = ""
    measures: tuple[Measure, ...] = ()

    def __post_init__(self) -> None:
        check_dtype(self.name, self.dtype)
        self._check_text()
        self._check_measures()
        if any(size < 1 for size in self.shape):
            raise InvalidInput(f"input {self.name!r} has shape {self.shape}; sizes start at 1.")
        is_label = self.source is Source.CLASS_LABEL
        if is_label != (self.classes > 0):
            raise InvalidInput(
                f"input {self.name!r} has source {self.source.value} and {self.classes} classes. "
                "A class_label needs at least 1, every other source 0."
            )
        if is_label and self.null is not None and not float(self.null).is_integer():
            raise InvalidInput(f"null of the class label {self.name!r} is {self.null}, no label.")
        if self.labels and len(self.labels) != self.classes:
            raise InvalidInput(
                f"input {self.name!r} has {len(self.labels)} labels for {self.classes} classes."
            )

    def _check_measures(self) -> None:
        wanted = prod(self.shape) if self.source is Source.SIZES else 0
        named = [measure.quantity.value for measure in self.measures]
        if len(named) != wanted or len(set(named)) != len(named):
            raise InvalidInput(
                f"input {self.name!r} has source {self.source.value}, shape {self.shape} and the "
                f"measures {named}; sizes have one of its own for each number, every other source "
                "none."
            )

    def _check_text(self) -> None:
        is_text = self.source in FROM_TEXT
        has_output = is_text and self.source is not Source.TOKEN_MASK
        if bool(self.encoder) != is_text or bool(self.output) != has_output:
            raise InvalidInput(
                f"input {self.name!r} has source {self.source.value}, encoder {self.encoder!r} and "
                f"output {self.output!r}. What comes from text names its encoder and, but for a "
                "token_mask, the encoder's graph output; everything else names neither."
            )


class Cleaning(Enum):
    """What happens to a prompt before it is put into the template.

    NONE: nothing. LOWER: small letters, and no white space at either end.
    """

    NONE = "none"
    LOWER = "lower"

    def __call__(self, prompt: str) -> str:
        """The prompt as it is tokenised."""
        return prompt if self is Cleaning.NONE else prompt.lower().strip()


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """A tokenizer and the graph that turns its tokens into conditioning.

    The graph takes `token_ids`, int64 (lanes, tokens): `start`, the prompt's tokens, `end`, then
    `pad`. A longer prompt is cut so that `end` stays.

    Args:
        name: the component of the bundle, for example "text_encoder".
        tokenizer: path of its tokenizer.json in the bundle.
        tokens: L, the length that the graph takes.
        start: token ids before every prompt.
        end: token ids after it.
        pad: token id that fills the rest.
        template: the text that is tokenised, with one {} for the prompt.
        null: prompt of the uncond branch; None where the model was not trained without prompt.
        cleaning: of the prompt, and of `null`.
        mask: graph input of the tokens' mask, int64 (lanes, tokens): 1 where there is no padding;
            "" where the graph takes none.
    """

    name: str
    tokenizer: str
    tokens: int
    start: tuple[int, ...] = ()
    end: tuple[int, ...] = ()
    pad: int = 0
    template: str = "{}"
    null: str | None = ""
    cleaning: Cleaning = Cleaning.NONE
    mask: str = ""

    def __post_init__(self) -> None:
        if self.mask == TOKEN_IDS:
            raise InvalidInput(
                f"text encoder {self.name!r} calls its mask {TOKEN_IDS!r}, which is the name of "
                "its other input. Call it token_mask."
            )
        if self.tokens < 1 or self.room < 1:
            raise InvalidInput(
                f"text encoder {self.name!r} takes {self.tokens} tokens, of which {len(self.start)}"
                f" stand before and {len(self.end)} after the prompt; that leaves none for it."
            )
        if self.template.count("{}") != 1:
            raise InvalidInput(f"template {self.template!r} needs exactly one {{}} for the prompt.")

    @property
    def room(self) -> int:
        """Tokens that a prompt may have."""
        return self.tokens - len(self.start) - len(self.end)
