"""Drawing the fixed captions: what the pipeline is asked, and (slow) what the shipped one draws."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import denoisert.export.zoo.emoji as emoji
from denoisert.export.zoo.emoji import draw as module
from denoisert.export.zoo.emoji.data import GLYPH_PX, load_glyphs
from denoisert.export.zoo.emoji.draw import BATCH, draw, main
from denoisert.export.zoo.emoji.folder import load_pipeline
from denoisert.export.zoo.emoji.quality import (
    ORIGINALS_FILE,
    fixed_captions,
    read_sheet,
    score,
    shuffled,
)

FOLDER = Path(emoji.__file__).parent / "model"


class Draughtsman:
    """A pipeline that knows the glyphs, mixes in its noise, and keeps what it was asked."""

    def __init__(self, share: float = 0.0) -> None:
        self.share = share
        self.calls: list[dict[str, object]] = []
        glyphs = read_sheet(ORIGINALS_FILE, GLYPH_PX) / 255.0
        self.glyphs = {glyph.caption: glyphs[n] for n, glyph in enumerate(load_glyphs())}

    def __call__(self, captions: list[str], *, generator: list[torch.Generator], **settings):
        self.calls.append({"captions": captions, **settings})
        noise = [torch.rand(64, 64, 3, generator=one).numpy() for one in generator]
        images = [
            (1 - self.share) * self.glyphs[caption] + self.share * own
            for caption, own in zip(captions, noise, strict=True)
        ]
        return SimpleNamespace(images=np.stack(images))


class TestDraw:
    def test_captions_steps_and_guidance_reach_the_pipeline(self):
        pipeline, asked = Draughtsman(), fixed_captions()[: BATCH + 3]
        pictures = draw(pipeline, asked, steps=7, guidance_scale=2.5)
        glyphs = load_glyphs()
        drawn = [caption for call in pipeline.calls for caption in call["captions"]]
        assert drawn == [glyphs[place].caption for place in asked]
        assert [len(call["captions"]) for call in pipeline.calls] == [BATCH, 3]
        assert {call["num_inference_steps"] for call in pipeline.calls} == {7}
        assert {call["guidance_scale"] for call in pipeline.calls} == {2.5}
        assert pictures.dtype == np.uint8
        assert score(pictures, asked).top1 == 1.0

    def test_the_noise_depends_on_seed_and_place_not_on_the_batch(self):
        pipeline, asked = Draughtsman(share=1.0), fixed_captions()[: BATCH + 2]
        whole = draw(pipeline, asked)
        np.testing.assert_array_equal(draw(pipeline, asked[-1:]), whole[-1:])
        assert not np.array_equal(draw(pipeline, asked[-1:], seed=1), whole[-1:])
        assert not np.array_equal(whole[0], whole[1])


class TestCommand:
    def test_it_prints_the_measure_and_writes_the_sheet(self, monkeypatch, capsys, tmp_path):
        monkeypatch.setattr(module, "load_pipeline", lambda folder: Draughtsman())
        sheet = tmp_path / "pictures.png"
        main(["--model", "anywhere", "--captions", "30", "--sheet", str(sheet)])
        printed = capsys.readouterr().out
        assert "30 captions, 20 steps, guidance 4\n" in printed
        assert "top-1 100.0%, top-5 100.0%; shuffled top-1 0.0%" in printed
        assert "autoencoder: mean squared error 0.000" in printed
        with Image.open(sheet) as picture:
            assert picture.size == (20 * GLYPH_PX, 2 * GLYPH_PX)

    def test_a_blind_pipeline_gets_no_credit(self, monkeypatch, capsys):
        monkeypatch.setattr(module, "load_pipeline", lambda folder: Draughtsman(share=1.0))
        main(["--model", "anywhere", "--captions", "20"])
        top1 = float(capsys.readouterr().out.split("top-1 ")[1].split("%")[0])
        assert top1 <= 5.0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
class TestShipped:
    def test_the_pipeline_draws_what_is_asked_for(self):
        asked = fixed_captions()[:40]
        pictures = draw(load_pipeline(FOLDER), asked)
        found = score(pictures, asked)
        assert found.top1 >= 0.6
        assert found.top5 >= 0.85
        assert score(pictures, shuffled(asked)).top1 <= 0.05

    def test_img2img_loads_and_keeps_the_start_at_little_strength(self):
        from diffusers import StableDiffusionImg2ImgPipeline

        pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(
            FOLDER, torch_dtype=torch.float32, local_files_only=True
        )
        asked = fixed_captions()[:4]
        starts = read_sheet(ORIGINALS_FILE, GLYPH_PX)[asked]
        images = pipeline(
            [load_glyphs()[place].caption for place in asked],
            image=[Image.fromarray(start) for start in starts],
            strength=0.3,
            num_inference_steps=20,
            generator=torch.Generator().manual_seed(0),
            output_type="np",
        ).images
        assert np.abs(images * 255 - starts).mean() < 20
        assert score((images * 255).round().astype(np.uint8), asked).top1 == 1.0
