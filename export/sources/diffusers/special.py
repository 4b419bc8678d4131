"""Which texts of a prompt are special tokens, gathered from four places that a folder may have.

`tokenizer_config.json` names start, end, unknown and pad; `added_tokens_decoder` in it describes
them, or else `special_tokens_map.json`, `added_tokens.json` and the list in `tokenizer.json` do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from denoisert.export.sources.diffusers.classes import shown
from denoisert.export.sources.diffusers.file import is_there, read_object
from denoisert.export.sources.diffusers.vocabulary import VOCABULARY_BYTES, WHOLE
from denoisert.runtime.errors import ExportError

START: Final = "bos_token"
END: Final = "eos_token"
UNKNOWN: Final = "unk_token"
PAD: Final = "pad_token"
DEFAULTS: Final[Mapping[str, str]] = {
    START: "<|startoftext|>",
    END: "<|endoftext|>",
    UNKNOWN: "<|endoftext|>",
    PAD: "<|endoftext|>",
}
"""In the order in which transformers adds them."""

MAP: Final = "special_tokens_map.json"
ADDED: Final = "added_tokens.json"
REFUSED: Final = ("additional_special_tokens", "extra_special_tokens", "split_special_tokens")
FLAGS: Final = ("single_word", "lstrip", "rstrip", "normalized", "special")

Token = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The special tokens of a tokenizer.

    Args:
        start: text before every prompt.
        end: text after it.
        unknown: text that stands for an unknown piece.
        pad: text that fills the rest.
        tokens: arguments of `tokenizers.AddedToken`, in the order in which they are added.
        places: text -> id, where the folder states it.
    """

    start: str
    end: str
    unknown: str
    pad: str
    tokens: tuple[Token, ...]
    places: Mapping[str, int]


def read_special(folder: Path, config: Mapping[str, Any]) -> SpecialTokens:
    """Gather the special tokens of a tokenizer's folder.

    Args:
        folder: directly below the model's folder.
        config: its tokenizer_config.json.

    Raises:
        ExportError: a token is described wrongly, or there are others than the four.
    """
    root = folder.absolute().parent.resolve()

    def read(name: str) -> dict[str, Any]:
        path = Path(folder.name, name)
        return read_object(path, root, VOCABULARY_BYTES) if is_there(folder / name) else {}

    if "added_tokens_decoder" in config:
        named, added = dict(config), _decoder(config["added_tokens_decoder"])
    else:
        named = {**config, **{key: _as_special(value) for key, value in read(MAP).items()}}
        added = _additions(named, read(ADDED)) | _listed(read(WHOLE).get("added_tokens", []))
    _check_known(named)
    names = {key: _content(named.get(key) or default, key) for key, default in DEFAULTS.items()}
    tokens = {token["content"]: token for _, token in sorted(added.items())}
    asked = _asked({key: named.get(key) or name for key, name in names.items()})
    tokens |= {name: token for name, token in asked.items() if name not in tokens}
    for content in names.values():
        tokens[content]["special"] = True
    places = {token["content"]: place for place, token in added.items()}
    return SpecialTokens(
        names[START], names[END], names[UNKNOWN], names[PAD], tuple(tokens.values()), places
    )


def _asked(named: Mapping[str, Any]) -> dict[str, Token]:
    """Tokens by text; of two with one text the last counts, unless it repeats an earlier value."""
    found: dict[str, Token] = {}
    seen: list[object] = []
    for key, value in named.items():
        if value not in seen:
            seen.append(value)
            found[_content(value, key)] = _token(value, key)
    return found


def _check_known(named: Mapping[str, Any]) -> None:
    """Refuse what a folder may ask for beyond the four tokens."""
    for key, value in named.items():
        is_other = key.endswith("_token") and isinstance(value, str | dict) and key not in DEFAULTS
        if value and (is_other or key in REFUSED):
            raise ExportError(
                f"the tokenizer asks for {shown(key)} = {shown(value)}; only "
                f"{', '.join(DEFAULTS)} are read. Remove it if the model was trained without."
            )


def _as_special(value: object) -> object:
    """What the older map describes is special, whether it says so or not."""
    return {**value, "special": True} if isinstance(value, dict) else value


def _decoder(described: object) -> dict[int, Token]:
    """Tokens by id, from texts that are numbers."""
    if not isinstance(described, dict):
        raise ExportError(f"added_tokens_decoder is {shown(described)}; it must be an object.")
    return {_place(key): _token(value, key) for key, value in described.items()}


def _additions(named: Mapping[str, Any], ids: Mapping[str, Any]) -> dict[int, Token]:
    """Tokens by id, from the older file of contents and ids."""
    special = {_content(named[key], key) for key in DEFAULTS if named.get(key)}
    return {
        _place(place): _token({"content": content, "special": content in special}, content)
        for content, place in ids.items()
    }


def _listed(entries: object) -> dict[int, Token]:
    """Tokens by id, from entries of tokenizer.json."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ExportError(f"{WHOLE} has added_tokens {shown(entries)}; they must be objects.")
    return {
        _place(entry.get("id")): _token({k: v for k, v in entry.items() if k != "id"}, WHOLE)
        for entry in entries
    }


def _place(value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ExportError(f"an added token has the id {shown(value)}; ids are whole numbers.")
    return int(text)


def _content(value: object, where: str) -> str:
    """The text of a token that is a text or an object."""
    content = value.get("content") if isinstance(value, dict) else value
    if not isinstance(content, str) or not content or not content.isprintable():
        raise ExportError(f"{shown(where)} is {shown(value)}; a special token is a printable text.")
    return content


def _token(value: object, where: str) -> Token:
    """Every field of a token; a text is special and looked for before the text is normalised."""
    fields = dict(value) if isinstance(value, dict) else {"content": value, "special": True}
    fields.pop("__type", None)
    flags = {key: fields.pop(key) for key in FLAGS if key in fields}
    content = _content(fields.pop("content", None), where)
    if fields or not all(isinstance(flag, bool) for flag in flags.values()):
        raise ExportError(
            f"the special token {shown(content)} is described by {shown(value)}; known are content "
            f"and the flags {', '.join(FLAGS)}."
        )
    is_special = flags.get("special", False)
    return (
        {"content": content, "special": is_special, "normalized": not is_special}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        | flags
    )
