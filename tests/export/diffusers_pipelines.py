"""diffusers' own pipelines run on our noise: the oracle of words to pictures."""

from dataclasses import dataclass
from unittest.mock import patch

import diffusers
import numpy as np
import torch

from denoisert.kernels.philox import reference as philox
from denoisert.runtime.request import Request
from denoisert.runtime.sampler import Sampler

IMAGE_TO_IMAGE = "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img"
POSTERIOR = "diffusers.models.autoencoders.vae"


@dataclass(frozen=True)
class Pictures:
    """Final latents (n, C, H, W) and pixels (n, H, W, C) as diffusers makes them."""

    latents: np.ndarray
    pixels: np.ndarray


def noise(request: Request, shape, purpose=philox.LATENT):
    """What our runtime draws first for every picture of a request."""
    count = int(np.prod(shape))
    drawn = [
        philox.normals(request.seed, draw=0, image=image, count=count, purpose=purpose)
        for image in range(request.images)
    ]
    return torch.from_numpy(np.stack(drawn).reshape(-1, *shape).astype(np.float32))


def pipeline(kind, folder, scheduler):
    """A diffusers pipeline of a folder in float32 with another of its schedulers."""
    pipe = kind.from_pretrained(folder, dtype=torch.float32)
    pipe.scheduler = scheduler
    pipe.set_progress_bar_config(disable=True)
    return pipe


def text_to_image(folder, scheduler, request: Request, card) -> Pictures:
    """diffusers' StableDiffusionPipeline from the noise that our runtime starts from."""
    pipe = pipeline(diffusers.StableDiffusionPipeline, folder, scheduler)
    latents = noise(request, card.layout.parts[0].shape)
    return _call(pipe, request, latents=_started(scheduler, request, latents, card))


def image_to_image(folder, scheduler, request: Request, card) -> Pictures:
    """diffusers' StableDiffusionImg2ImgPipeline with both of its draws replaced by ours."""
    from PIL import Image

    pipe = pipeline(diffusers.StableDiffusionImg2ImgPipeline, folder, scheduler)
    shape = card.layout.parts[0].shape
    drawn = noise(request, shape)
    coded = noise(request, shape, philox.CODEC)
    with (
        patch(f"{IMAGE_TO_IMAGE}.randn_tensor", lambda *_, **__: drawn),
        patch(f"{POSTERIOR}.randn_tensor", lambda *_, **__: coded),
    ):
        return _call(
            pipe,
            request,
            image=[Image.fromarray(request.start.latent)] * request.images,
            strength=request.start.strength,
        )


def _started(scheduler, request: Request, latents, card):
    """Noise as the scheduler's own start: sigma schedulers multiply it by a scale of their own."""
    scheduler.set_timesteps(Sampler.of(request, card).steps)
    sigmas = getattr(scheduler, "sigmas", None)
    scale = float(scheduler.init_noise_sigma)
    if sigmas is None or scale == 1.0:
        return latents
    # States of sigma schedulers are x / alpha, and x starts as the noise itself.
    return latents * float((1 + sigmas[0] ** 2) ** 0.5) / scale


def _call(pipe, request: Request, **start) -> Pictures:
    told = request.told
    count = request.images
    asked = {
        "prompt": [told.positive] * count,
        "negative_prompt": None if told.negative is None else [told.negative] * count,
        "num_inference_steps": request.steps,
        "guidance_scale": getattr(request.guidance, "scale", 1.0),
    }
    latents = pipe(**asked, **start, output_type="latent").images
    with torch.no_grad():
        decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    pictures = pipe.image_processor.postprocess(decoded, output_type="pil")
    return Pictures(latents.numpy(), np.stack([np.asarray(each) for each in pictures]))
