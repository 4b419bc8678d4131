"""The adapter gives what the runtime gives, under the names that diffusers users know."""

import threading

import numpy as np
import pytest
import torch
from PIL import Image

from denoisert.runtime import (
    CFG,
    Condition,
    DPMpp2M,
    Euler,
    Heun,
    Request,
    Runtime,
    Start,
    Unguided,
)
from denoisert.runtime.diffusers_like import Pipeline
from denoisert.runtime.errors import Cancelled, EngineError, InvalidInput


@pytest.fixture(scope="module")
def pipe(digits_bundle):
    with Pipeline.from_pretrained(digits_bundle, threads=1, slots=4) as opened:
        yield opened


def asked(pipe, **fields):
    return pipe.runtime.generate(Request(**fields))


def test_a_call_is_the_request_it_says(pipe):
    found = pipe(3, num_inference_steps=9, guidance_scale=2.5, seed=11, solver=DPMpp2M())
    wanted = asked(pipe, condition=3, steps=9, guidance=CFG(2.5), seed=11, solver=DPMpp2M())
    assert found.seeds == (11,)
    assert [np.asarray(image).tolist() for image in found.images] == [
        np.asarray(image).tolist() for image in wanted.images
    ]
    assert found.results[0].nfe == wanted.nfe


@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_guidance_of_one_and_less_means_none(pipe, scale):
    found = pipe(3, guidance_scale=scale, seed=1, num_inference_steps=4, output_type="latent")
    wanted = asked(pipe, condition=3, steps=4, seed=1, guidance=Unguided())
    assert np.array_equal(found.images, wanted.latents["latent"])


def test_several_prompts_and_pictures_of_each(pipe):
    found = pipe([3, 3, 7], num_images_per_prompt=2, seed=2**64 - 1, num_inference_steps=3)
    assert found.seeds == (2**64 - 1, 0, 1)
    assert len(found.images) == 6
    wanted = asked(pipe, condition=7, images=2, seed=1, steps=3)
    assert np.array_equal(np.asarray(found.images[5]), np.asarray(wanted.images[1]))
    assert not np.array_equal(np.asarray(found.images[0]), np.asarray(found.images[2]))


def test_the_negative_prompt_is_the_uncond_branch(pipe):
    said = {"guidance_scale": 3.0, "seed": 1, "num_inference_steps": 4, "output_type": "latent"}
    plain = pipe(3, **said)
    other = pipe(3, negative_prompt=8, **said)
    wanted = asked(pipe, condition=Condition(3, 8), steps=4, guidance=CFG(3.0), seed=1)
    assert np.array_equal(other.images, wanted.latents["latent"])
    assert not np.array_equal(plain.images, other.images)


def test_a_true_scale_counts_with_a_negative_prompt_only(pipe):
    said = {"guidance_scale": 1.0, "seed": 1, "num_inference_steps": 4, "output_type": "latent"}
    plain = pipe(3, true_cfg_scale=3.0, **said)
    assert np.array_equal(plain.images, pipe(3, **said).images)
    other = pipe(3, true_cfg_scale=3.0, negative_prompt=8, **said)
    wanted = asked(pipe, condition=Condition(3, 8), steps=4, guidance=CFG(3.0), seed=1)
    assert np.array_equal(other.images, wanted.latents["latent"])


def test_a_torch_generator_gives_its_seed(pipe):
    drawn = torch.Generator().manual_seed(77)
    by_generator = pipe(3, generator=drawn, num_inference_steps=3, output_type="latent")
    by_seed = pipe(3, seed=77, num_inference_steps=3, output_type="latent")
    assert by_generator.seeds == (77,)
    assert np.array_equal(by_generator.images, by_seed.images)


def test_without_a_seed_each_call_draws_one_and_tells_it(pipe):
    first = pipe(3, num_inference_steps=3, output_type="latent")
    second = pipe(3, num_inference_steps=3, output_type="latent")
    assert first.seeds != second.seeds
    again = pipe(3, num_inference_steps=3, seed=first.seeds[0], output_type="latent")
    assert np.array_equal(first.images, again.images)


def test_output_types(pipe):
    pictures = pipe(3, seed=5, num_inference_steps=3).images
    array = pipe(3, seed=5, num_inference_steps=3, output_type="np").images
    assert array.dtype == np.float32
    assert np.array_equal(np.rint(array[0] * 255), np.asarray(pictures[0]))
    latent = pipe(3, seed=5, num_inference_steps=3, output_type="latent").images
    assert latent.shape == (1, 1, 16, 16)


def test_image_starts_from_a_latent(pipe):
    source = np.random.default_rng(0).standard_normal((1, 16, 16)).astype(np.float32)
    found = pipe(3, image=source, strength=0.5, seed=5, num_inference_steps=8, output_type="latent")
    wanted = asked(pipe, condition=3, start=Start(source, 0.5), seed=5, steps=8)
    assert np.array_equal(found.images, wanted.latents["latent"])


@pytest.mark.parametrize("solver", [Euler(), Heun()])
def test_the_callback_hears_of_every_step_in_this_thread(pipe, solver):
    heard = []

    def note(caller, index, time, values):
        heard.append((caller is pipe, index, time, values, threading.get_ident()))
        return values

    found = pipe(3, seed=1, num_inference_steps=6, solver=solver, callback_on_step_end=note)
    assert [index for _, index, _, _, _ in heard] == list(range(6))
    assert all(is_pipe and not values for is_pipe, _, _, values, _ in heard)
    assert {ident for *_, ident in heard} == {threading.get_ident()}
    times = [time for _, _, time, _, _ in heard]
    assert times == sorted(times, reverse=True)
    assert times[0] > times[-1]
    quiet = pipe(3, seed=1, num_inference_steps=6, solver=solver)
    assert np.array_equal(np.asarray(found.images[0]), np.asarray(quiet.images[0]))


def test_interrupting_ends_the_call_and_the_pipe_goes_on(pipe):
    heard = []

    def interrupt(caller, index, time, values):
        heard.append(index)
        caller._interrupt = True

    with pytest.raises(Cancelled):
        pipe([3, 4], seed=1, num_inference_steps=900, callback_on_step_end=interrupt)
    assert heard == [0]
    assert len(pipe(3, seed=1, num_inference_steps=3, callback_on_step_end=print).images) == 1


def test_an_error_in_the_callback_ends_the_call(pipe):
    def fail(caller, index, time, values):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        pipe(3, seed=1, num_inference_steps=900, callback_on_step_end=fail)
    assert pipe.runtime.stats()["requests_running"] <= 1  # ends at its next tick at the latest


def test_values_from_the_callback_are_refused(pipe):
    with pytest.raises(InvalidInput, match="cannot be changed"):
        pipe(3, seed=1, num_inference_steps=5, callback_on_step_end=lambda *_: {"latents": 0})


@pytest.mark.parametrize(
    "wrong",
    [
        {"output_type": "pt"},
        {"num_steps": 3},
        {"height": 16},
        {"height": 32, "width": 32},
        {"seed": 1, "generator": torch.Generator()},
        {"generator": 3},
        {"seed": -1},
        {"num_images_per_prompt": 0},
        {"guidance_scale": float("nan")},
    ],
)
def test_what_cannot_be_honoured_is_refused(pipe, wrong):
    with pytest.raises((InvalidInput, EngineError)):
        pipe(3, **wrong)


def test_closing_closes_the_runtime(digits_bundle):
    pipe = Pipeline(Runtime.open(digits_bundle, threads=1))
    pipe.close()
    pipe.close()
    with pytest.raises(EngineError, match="closed"):
        pipe(3)


def test_words_and_a_picture_to_start_from(text_bundle):
    picture = Image.fromarray(
        np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    )
    with Pipeline.from_pretrained(text_bundle, threads=1) as pipe:
        found = pipe(
            ["red apple", "green car"],
            image=picture,
            strength=0.5,
            negative_prompt="blue cat",
            guidance_scale=4.0,
            num_inference_steps=6,
            seed=8,
        )
        wanted = asked(
            pipe,
            condition=Condition("green car", "blue cat"),
            start=Start(picture, 0.5),
            guidance=CFG(4.0),
            steps=6,
            seed=9,
        )
        assert [image.size for image in found.images] == [(32, 32)] * 2
        assert np.array_equal(np.asarray(found.images[1]), np.asarray(wanted.images[0]))


def test_a_scheduler_is_not_assigned_but_passed(pipe):
    """The commonest habit would change nothing here: it says so instead."""
    assert pipe.scheduler == pipe.runtime.card.sampler.solver
    with pytest.raises(InvalidInput, match=r"would change nothing.*solver=DPMpp2M\(\)"):
        pipe.scheduler = Heun()
    with pytest.raises(InvalidInput, match=r"options scheduler are unknown.*solver=DPMpp2M\(\)"):
        pipe(3, scheduler="euler")
    with pytest.raises(InvalidInput, match="output_type 'jpg' is unknown"):
        pipe(3, output_type="jpg")


def test_a_mask_paints_a_part_of_the_image_anew(pipe):
    source = asked(pipe, condition=7, seed=2, steps=4).latents["latent"][0]
    mask = np.zeros((16, 16), bool)
    mask[:, 8:] = True
    call = {"image": source, "seed": 5, "num_inference_steps": 6, "output_type": "latent"}
    found = pipe(3, mask_image=Image.fromarray(mask), **call).images[0]
    start = Start(source, mask=mask)
    wanted = asked(pipe, condition=3, seed=5, steps=6, start=start).latents["latent"][0]
    assert np.array_equal(found, wanted)
    assert np.array_equal(found[..., :8], source[..., :8])
    assert not np.array_equal(found[..., 8:], source[..., 8:])
    half = pipe(3, mask_image=mask, strength=0.5, **call).images[0]
    assert not np.array_equal(half[..., 8:], found[..., 8:])
    with pytest.raises(InvalidInput, match="a mask without a clean picture"):
        pipe(3, mask_image=mask)
