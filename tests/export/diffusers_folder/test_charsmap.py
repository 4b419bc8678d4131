"""A compiled normaliser is followed to its ends before the library, which trusts it, sees it."""

import random

import pytest
from tokenizers import normalizers

from denoisert.export.sources.diffusers.charsmap import check_charsmap
from denoisert.runtime.errors import ExportError
from tests.export.diffusers_folder.t5 import FOLDED, charsmap


def changed(at, value):
    content = bytearray(charsmap())
    content[at : at + 4] = value.to_bytes(4, "little")
    return bytes(content)


def shortened(size):
    """The array cut to some bytes, with its texts."""
    return size.to_bytes(4, "little") + charsmap()[4 : 4 + size] + b"a\0"


def test_a_whole_one():
    for folded in (FOLDED, {"a": "b"}, {"\U0010ffff": "\u3000", "\U0010fffe": ""}):
        content = charsmap(folded)
        check_charsmap(content)
        found = normalizers.Precompiled(content).normalize_str("".join(folded))
        assert found == "".join(folded.values())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes, is broken: its array of 0 bytes"),
        (b"abc", "is not there"),
        (charsmap()[:100], "is not there"),
        (changed(0, 7), "array of 7 bytes is not there"),
        (changed(4, 0x3FFFF << 10), "a node has place"),
        (shortened(800), "a node has a child at"),
        (charsmap() + b"\xff", "texts are not UTF-8"),
        (charsmap()[:-4], "a text begins at"),
        (charsmap({"a": "\u00e9", "b": "c"}).replace(b"\xc3\xa9\0c", b"c\0\xc3\xa9"), "inside"),
    ],
)
def test_one_that_lies(content, reason):
    with pytest.raises(ExportError, match=reason):
        check_charsmap(content)


def test_what_passes_never_ends_the_library(capfd):
    """Random bytes changed: the library may panic over what is refused, and over nothing else."""
    rng, base, counts = random.Random(5), charsmap(), [0, 0]
    text = "".join(FOLDED) * 2 + "a\u0100\u00ff\uff23\uac00" + "".join(map(chr, range(1, 600)))
    for _ in range(400):
        content = bytearray(base)
        for _ in range(rng.choice((1, 3))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        try:
            check_charsmap(bytes(content))
        except ExportError:
            counts[0] += 1
            continue
        counts[1] += 1
        normalizers.Precompiled(bytes(content)).normalize_str(text)
    assert min(counts) > 50
    assert "panicked" not in capfd.readouterr().err
