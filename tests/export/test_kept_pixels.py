"""What inpainting keeps of a picture, in pixels: on the shipped autoencoder, a trained one.

The latent is kept bit for bit. Decoded, the edge of what is painted shows through as far as the
decoder looks.
"""

from dataclasses import replace

import numpy as np
import pytest

from denoisert.export.zoo.emoji.data import GLYPH_PX
from denoisert.export.zoo.emoji.quality import ORIGINALS_FILE, read_sheet
from denoisert.runtime import Request, Runtime, Start

pytestmark = pytest.mark.slow

EDGE_PX = 8
MIDDLE = GLYPH_PX // 2
FAR = np.s_[:, :, : MIDDLE - EDGE_PX]
PAINTED = np.s_[:, :, MIDDLE:]


@pytest.mark.parametrize(("glyph", "prompt"), [(10, "octopus"), (200, "red apple")])
def test_known_pixels_are_kept_to_the_autoencoder_s_own_error(glyph, prompt, emoji_bundle):
    picture = read_sheet(ORIGINALS_FILE, GLYPH_PX)[glyph]
    mask = np.zeros((GLYPH_PX, GLYPH_PX), np.uint8)
    mask[:, MIDDLE:] = 255
    asked = Request(prompt, seed=3, images=2, steps=12, start=Start(picture, mask=mask))
    with Runtime.open(emoji_bundle, threads=1) as runtime:
        painted = runtime.generate(asked)
        copied = runtime.generate(replace(asked, start=Start(picture, 0.0)))
        free = runtime.generate(replace(asked, start=None))
    own = error(copied, picture, FAR)
    assert own < 20
    assert error(painted, picture, FAR) < 1.5 * own
    assert error(free, picture, FAR) > 3 * own
    assert error(painted, picture, PAINTED) > 3 * error(copied, picture, PAINTED)


def error(result, picture, where):
    """Root mean square over a result's pictures, in 0 .. 255."""
    pixels = np.stack([np.asarray(image) for image in result.images]).astype(float)
    return np.sqrt(np.mean((pixels - picture)[where] ** 2))
