"""Token ids and masks of the runtime's tokenizer are transformers' own, at each length."""

import pytest
from diffusers import PixArtAlphaPipeline, PixArtSigmaPipeline
from transformers import CLIPTokenizer, T5Tokenizer

from denoisert.export.sources.diffusers.tokenizer import read_tokenizer
from denoisert.export.sources.diffusers.unigram import read_unigram
from denoisert.runtime.bundle.condition import Cleaning, TextEncoder
from denoisert.runtime.errors import ExportError
from denoisert.runtime.text.tokenizer import Tokenizer
from tests.export.diffusers_folder import clip, t5

KINDS = {
    "CLIP": (CLIPTokenizer, read_tokenizer, clip.strings),
    "T5": (T5Tokenizer, read_unigram, t5.strings),
}
LENGTHS = {"CLIP": (77, 16), "T5": (120, 256, 300, 512)}
CASES = [(kind, length) for kind, lengths in LENGTHS.items() for length in lengths]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A trained tokenizer of each kind."""
    root = tmp_path_factory.mktemp("model")
    return {
        "CLIP": clip.write_files(root / "tokenizer", *clip.train()),
        "T5": t5.write_whole(root / "tokenizer_2", t5.train(), model_max_length=512),
    }


def ours(tokens, length, **fields):
    text = TextEncoder(
        "words", "words.json", length, tokens.start, tokens.end, tokens.pad, **fields
    )
    return Tokenizer(tokens.json, text)


def theirs(tokenizer, text, length):
    """As diffusers' pipelines call it."""
    found = tokenizer(text, padding="max_length", max_length=length, truncation=True)
    return found.input_ids, found.attention_mask


def texts(draw, seed):
    """Short ones, empty ones, and ones around and beyond every length."""
    long = [f"{word} " * count for count in (74, 75, 76, 118, 119, 511, 600) for word in ("red",)]
    return [*draw(seed, 400), *long, "", " \n", " ".join(draw(seed + 1, 120)[80:])]


@pytest.mark.parametrize("seed", [11, 12, 13])
@pytest.mark.parametrize(("kind", "length"), CASES)
def test_ids_and_masks(folders, kind, length, seed):
    library, read, draw = KINDS[kind]
    tokenizer = library.from_pretrained(folders[kind])
    mine = ours(read(folders[kind]), length)
    cut = 0
    for text in texts(draw, seed):
        found = mine.encode(text)
        assert (list(found.token_ids), list(found.mask)) == theirs(tokenizer, text, length), text
        cut += found.dropped > 0
    assert cut > 0


@pytest.mark.parametrize("pipeline", [PixArtAlphaPipeline, PixArtSigmaPipeline])
@pytest.mark.parametrize("seed", [21, 22])
def test_prompts_as_pixart_takes_them(folders, pipeline, seed):
    """Where bs4 or ftfy is missing, and when clean_caption is off; both clean more otherwise."""
    tokenizer = T5Tokenizer.from_pretrained(folders["T5"])
    mine = ours(read_unigram(folders["T5"]), 120, cleaning=Cleaning.LOWER)
    plain = ours(read_unigram(folders["T5"]), 120)
    changed = 0
    for text in [*t5.strings(seed, 500), "\x1c RED Apple\x1f", "\u03a3\u0391\u03a3 \u0130"]:
        (cleaned,) = pipeline._text_preprocessing(None, text, clean_caption=False)
        found = mine.encode(text)
        assert (list(found.token_ids), list(found.mask)) == theirs(tokenizer, cleaned, 120)
        changed += found != plain.encode(text)
    assert changed > 50


@pytest.mark.parametrize("kind", KINDS)
def test_padding_in_a_prompt_is_not_hidden(folders, kind):
    """The mask says how many tokens there are, not which of them look like padding."""
    library, read, _ = KINDS[kind]
    tokenizer = library.from_pretrained(folders[kind])
    found = ours(read(folders[kind]), 16).encode(f"red {tokenizer.pad_token} red")
    at = found.token_ids.index(tokenizer.pad_token_id)
    assert found.mask[at : at + 2] == (1, 1)


@pytest.mark.parametrize("side", ["padding_side", "truncation_side"])
def test_a_clip_tokenizer_that_works_on_the_left(tmp_path, side):
    folder = clip.write_files(tmp_path / "tokenizer", *clip.train(), **{side: "left"})
    with pytest.raises(ExportError, match=f"{side} 'left'"):
        read_tokenizer(folder)
