"""Papers whose models come as folders of diffusers: compiled whole, and beside its pipelines."""

import shutil
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from denoisert.export import CompileOptions, Lora, compile_bundle
from denoisert.runtime import LCM, Request, Runtime, Start, Timesteps, Unguided
from denoisert.runtime.bundle.open import Bundle
from tests.export.families.bundles import assert_equal, difference, family_bundle
from tests.export.families.family import picture
from tests.export.families.folders import FAMILIES, family_folder
from tests.export.families.oracles import inpaint, opened, text_to_image
from tests.export.lora.drawn import draw, is_attention, peft, saved

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

CLOSE = 1e-3


@pytest.mark.paper(5)
def test_a_student_is_a_lora_that_is_merged_and_takes_four_steps(
    tiny_text_folder, text_bundle, tmp_path
):
    """Beside the pipeline whose layers add the file's product to their own, unmerged."""
    theirs = opened(
        tiny_text_folder,
        scheduler=diffusers.LCMScheduler.from_pretrained(tiny_text_folder, subfolder="scheduler"),
    )
    drawn = draw(theirs.unet, 1, rank=4, keep=is_attention)
    file = saved(tmp_path, "flash", peft(drawn, "unet."))
    theirs.load_lora_weights(str(tmp_path), weight_name=file.name)
    theirs.scheduler.set_timesteps(4)
    times = tuple(float(time) for time in theirs.scheduler.timesteps)
    request = Request(
        "red apple",
        seed=5,
        images=2,
        solver=LCM(),
        schedule=Timesteps(times),
        steps=4,
        guidance=Unguided(),
    )
    out, options = tmp_path / "flash.bundle", CompileOptions(loras=(Lora(file),))
    compile_bundle(tiny_text_folder, out, options=options)
    with Runtime.open(out, threads=1) as runtime:
        found = runtime.generate(request)
    assert found.nfe == 4
    wanted = text_to_image(tiny_text_folder, request, pipeline=theirs).latents
    assert np.abs(found.latents["latent"] - wanted).max() <= CLOSE * np.abs(wanted).max()
    with Runtime.open(text_bundle, threads=1) as runtime:
        assert difference(found, runtime.generate(request)) > 0.05


@pytest.mark.paper(32)
def test_another_text_encoder_leaves_the_network_s_files_as_they_are(
    tiny_text_folder, text_bundle, tmp_path
):
    """As where CLIP was trained on: its weights alone are other files of the bundle."""
    folder = shutil.copytree(tiny_text_folder, tmp_path / "tuned")
    (path,) = (folder / "text_encoder").glob("*.safetensors")
    weights = load_file(path)
    generator = torch.Generator().manual_seed(3)
    for name, value in weights.items():
        if value.is_floating_point() and value.ndim == 2:
            weights[name] = value + 0.3 * value.std() * torch.randn(
                value.shape, generator=generator
            )
    save_file(weights, path, {"format": "pt"})
    compile_bundle(folder, tmp_path / "tuned.bundle")
    before, after = (
        Bundle.open(each).manifest for each in (text_bundle, tmp_path / "tuned.bundle")
    )

    def files(manifest, graph):
        entry = manifest.graphs[graph]
        return [manifest.files[path].sha256 for path in (entry.path, *entry.weights)]

    for graph in ("denoiser", "decoder", "encoder"):
        assert files(before, graph) == files(after, graph)
    assert files(before, "text_encoder") != files(after, "text_encoder")
    request = Request("red apple", seed=3, steps=4)
    results = []
    for bundle in (text_bundle, tmp_path / "tuned.bundle"):
        with Runtime.open(bundle, threads=1) as runtime:
            results.append(runtime.generate(request))
    assert difference(*results) > 1e-3


@pytest.mark.paper(45)
def test_a_ddpm_folder_is_compiled_and_runs_as_its_pipeline(once):
    name = "ddpm"
    request = FAMILIES[name].request()
    with Runtime.open(family_bundle(once, name), threads=1) as runtime:
        found = runtime.generate(request)
        again = runtime.generate(replace(request, seed=4))
    assert_equal(found, FAMILIES[name].pictures(family_folder(once, name), request))
    assert difference(found, again) > 0.01


@pytest.mark.paper(59)
@pytest.mark.parametrize("told", [0, 1])
def test_adm_s_unet_is_compiled_with_its_learned_variance(told, once):
    """Classes, six channels out, 8 of its times: noise between the two variances, drawn by us."""
    name = "adm_classes"
    request = FAMILIES[name].request(told=told)
    with Runtime.open(family_bundle(once, name), threads=1) as runtime:
        found = runtime.generate(request)
        other = runtime.generate(FAMILIES[name].request(told=1 - told))
    assert_equal(found, FAMILIES[name].pictures(family_folder(once, name), request))
    assert difference(found, other) > 0.01


@pytest.mark.paper(72)
@pytest.mark.paper(101)
def test_a_picture_is_heard_beside_the_latent_and_a_caption_beside_both(once):
    """As inpainting models are laid out: nothing hidden, the whole picture is joined."""
    name = "sd1_inpaint"
    folder, side = family_folder(once, name), FAMILIES[name].sizes[0]
    nothing = np.zeros(side, np.uint8)
    start = Start(picture(side), 1.0, mask=nothing)
    asked = FAMILIES[name].request(guidance=1, start=start)
    with Runtime.open(family_bundle(once, name), threads=1) as runtime:
        found = runtime.generate(asked)
        empty = runtime.generate(replace(asked, condition=""))
        turned = Start(picture(side)[::-1].copy(), 1.0, mask=nothing)
        other = runtime.generate(replace(asked, start=turned))
    assert_equal(found, inpaint(folder, asked, nothing))
    assert min(difference(found, each) for each in (empty, other)) > 0.01
