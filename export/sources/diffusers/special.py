"""Which texts of a prompt are special tokens, gathered from four places that a folder may have.

`tokenizer_config.json` names start, end, unknown and pad; `added_tokens_decoder` in it describes
them, or else `special_tokens_map.json`, `added_tokens.json` and the list in `tokenizer.json` do.
T5's class has sentinels besides.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from denoisert.export.sources.diffusers.file import is_there, read_object
from denoisert.export.sources.diffusers.foreign import shown
from denoisert.export.sources.diffusers.sentinels import ADDITIONAL, EXTRA, LISTS, Sentinels
from denoisert.export.sources.diffusers.vocabulary import VOCABULARY_BYTES, WHOLE
from denoisert.runtime.errors import ExportError

START: Final = "bos_token"
END: Final = "eos_token"
UNKNOWN: Final = "unk_token"
PAD: Final = "pad_token"

MAP: Final = "special_tokens_map.json"
ADDED: Final = "added_tokens.json"
SPLIT: Final = "split_special_tokens"
FLAGS: Final = ("single_word", "lstrip", "rstrip", "normalized", "special")

Token = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Roles:
    """The special tokens that a class of tokenizers has.

    Args:
        defaults: key of the configuration -> text where it says nothing; in the order in which
            transformers adds them.
        sentinels: further tokens; None for a class without, which refuses a folder that has some.
    """

    defaults: Mapping[str, str]
    sentinels: Sentinels | None = None


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The special tokens of a tokenizer.

    Args:
        names: key of the configuration -> text.
        tokens: arguments of `tokenizers.AddedToken`, in the order in which they are added.
        places: text -> id, where the folder states it.
    """

    names: Mapping[str, str]
    tokens: tuple[Token, ...]
    places: Mapping[str, int]


def read_special(folder: Path, config: Mapping[str, Any], roles: Roles) -> SpecialTokens:
    """Gather the special tokens of a tokenizer's folder.

    Args:
        folder: directly below the model's folder.
        config: its tokenizer_config.json.
        roles: of the tokenizer's class.

    Raises:
        ExportError: a token is described wrongly, or there are others than the class has.
    """
    root = folder.absolute().parent.resolve()

    def read(name: str) -> dict[str, Any]:
        path = Path(folder.name, name)
        return read_object(path, root, VOCABULARY_BYTES) if is_there(folder / name) else {}

    older: dict[str, Any] = {}
    if "added_tokens_decoder" in config:
        added = _decoder(config["added_tokens_decoder"])
    else:
        older = {key: _as_special(value) for key, value in read(MAP).items()}
        special = _contents({**config, **older}, roles)
        added = _additions(special, read(ADDED)) | _listed(read(WHOLE).get("added_tokens", []))
    named = {**config, **older}
    _check_known(named, roles)
    names = {
        key: _content(named.get(key) or default, key) for key, default in roles.defaults.items()
    }
    tokens = {token["content"]: token for _, token in sorted(added.items())}
    asked = [(key, named.get(key) or name) for key, name in names.items()]
    if roles.sentinels is not None:
        asked += [("sentinel", value) for value in roles.sentinels.of(config, older)]
    tokens |= {name: token for name, token in _asked(asked).items() if name not in tokens}
    for content in names.values():
        tokens[content]["special"] = True
    places = {token["content"]: place for place, token in added.items()}
    return SpecialTokens(names, tuple(tokens.values()), places)


def _asked(named: Iterable[tuple[str, Any]]) -> dict[str, Token]:
    """Tokens by text; of two with one text the last counts, unless it repeats an earlier value."""
    found: dict[str, Token] = {}
    seen: list[object] = []
    for key, value in named:
        if value not in seen:
            seen.append(value)
            found[_content(value, key)] = _token(value, key)
    return found


def _check_known(named: Mapping[str, Any], roles: Roles) -> None:
    """Refuse what a folder may ask for beyond the tokens of the class."""
    refused = (SPLIT,) if roles.sentinels is not None else (SPLIT, *LISTS)
    for key, value in named.items():
        is_token = key.endswith("_token") and isinstance(value, str | dict)
        if value and (key in refused or (is_token and key not in roles.defaults)):
            raise ExportError(
                f"the tokenizer asks for {shown(key)} = {shown(value)}; only "
                f"{', '.join(roles.defaults)} are read. Remove it if the model was trained without."
            )


def _contents(named: Mapping[str, Any], roles: Roles) -> set[str]:
    """Texts that a folder without a decoder calls special."""
    found = {_content(named[key], key) for key in roles.defaults if named.get(key)}
    if roles.sentinels is not None:
        listed = named.get(EXTRA) or named.get(ADDITIONAL) or []
        found |= {_content(value, EXTRA) for value in listed}
    return found


def _as_special(value: object) -> object:
    """What the older map describes is special, whether it says so or not."""
    return {**value, "special": True} if isinstance(value, dict) else value


def _decoder(described: object) -> dict[int, Token]:
    """Tokens by id, from texts that are numbers."""
    if not isinstance(described, dict):
        raise ExportError(f"added_tokens_decoder is {shown(described)}; it must be an object.")
    return {_place(key): _token(value, key) for key, value in described.items()}


def _additions(special: Container[str], ids: Mapping[str, Any]) -> dict[int, Token]:
    """Tokens by id, from the older file of contents and ids."""
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
