"""diffusers' own pipelines on a model folder and on our noise.

Every oracle takes a folder, the request that our runtime is given too, and arguments for the
pipeline's call, which replace those that the request makes. What a request leaves open (steps,
size, guidance) is what diffusers does by default, except that no guidance means none.
"""

import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from unittest.mock import patch

import diffusers
import numpy as np
import torch
from PIL import Image

from tests.export.families.draws import Draws, StartedDraws, drawn, masked

RAW = {"clean_caption": False, "use_resolution_binning": False}
"""PixArt's pipelines would clean the prompt where two more libraries are there, and would make the
picture in the next of their own sizes and resize it."""

EXTRA = {"PixArtAlphaPipeline": RAW, "PixArtSigmaPipeline": RAW}

FORGETFUL = ("StableDiffusion3InpaintPipeline",)
"""Pipelines that decode without the autoencoder's shift; here it is added for them."""


@dataclass(frozen=True)
class Pictures:
    """Final latents (n, C, H, W) and pixels (n, H, W, 3) uint8 as diffusers makes them.

    The latents are scaled and unpacked, as our runtime has them; where there is no autoencoder they
    are the last state before it is clipped.
    """

    latents: np.ndarray
    pixels: np.ndarray


def opened(folder, **components):
    """The pipeline that a folder names, in float32.

    Args:
        folder: as diffusers saves it.
        components: parts to take instead, such as `scheduler`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            folder, dtype=torch.float32, **absent(folder) | components
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def absent(folder):
    """Parts that a folder says it has not, as diffusers wants to be told once more."""
    index = diffusers.DiffusionPipeline.load_config(folder)
    return {name: None for name, value in index.items() if value == [None, None]}


def text_to_image(folder, request, *, pipeline=None, **arguments):
    """A prompt's pictures.

    Args:
        folder: of any family that takes text.
        request: condition, seed, images, size, steps, guidance.
        pipeline: the folder's, when it is open already.
        arguments: of the pipeline's call.
    """
    pipeline = pipeline or opened(folder)
    asked = prompts(pipeline, request) | sizes(request)
    draws = StartedDraws(request.seed, pipeline.scheduler)
    return run(pipeline, draws, **asked | arguments)


def image_to_image(folder, request, *, pipeline=None, **arguments):
    """Pictures from the request's start: a picture of the size asked for, and a strength."""
    pipeline = diffusers.AutoPipelineForImage2Image.from_pipe(pipeline or opened(folder))
    start = {"image": pictures(request), "strength": request.start.share}
    size = sizes(request) if "height" in type(pipeline).__call__.__annotations__ else {}
    asked = prompts(pipeline, request) | start | size
    return run(pipeline, Draws(request.seed), **asked | arguments)


def inpaint(folder, request, mask, *, pipeline=None, **arguments):
    """Pictures whose masked part is new: with nine channels, or by replacement with four.

    Args:
        folder: of a family that has an inpainting pipeline.
        request: its start is the picture.
        mask: (H, W) uint8, 255 where the picture is to be made and 0 where it is to be kept.
        pipeline: the folder's, when it is open already.
        arguments: of the pipeline's call.
    """
    pipeline = inpainting(pipeline or opened(folder))
    start = {
        "image": pictures(request),
        "mask_image": [Image.fromarray(mask)] * request.images,
        "strength": 1.0 if request.start.share is None else request.start.share,
        "height": mask.shape[0],
        "width": mask.shape[1],
    }
    with masked(pipeline, Draws(request.seed)) as draws:
        return run(pipeline, draws, **prompts(pipeline, request) | start | arguments)


def inpainting(pipeline):
    """The pipeline itself where it is one for inpainting, else that of the same parts."""
    if "mask_image" in type(pipeline).__call__.__annotations__:
        return pipeline
    return diffusers.AutoPipelineForInpainting.from_pipe(pipeline)


def refined(base, refiner, request, *, share=0.6, **arguments):
    """Two folders, one path: the base makes the first part of the steps, the refiner the rest.

    Args:
        base: folder of the first network.
        refiner: folder of the second.
        request: of both.
        share: of the training times that the base leaves behind.
        arguments: of both pipelines' calls.
    """
    first, second = opened(base), opened(refiner)
    draws = StartedDraws(request.seed, first.scheduler)
    asked = prompts(first, request) | arguments
    with torch.no_grad(), drawn(first, draws):
        latents = first(**asked, **sizes(request), denoising_end=share, output_type="latent").images
    return run(second, draws, **asked, image=latents, denoising_start=share)


def class_to_image(folder, request, *, pipeline=None, **arguments):
    """Pictures of a class, by DiTPipeline or by ConsistencyModelPipeline."""
    pipeline = pipeline or opened(folder)
    labels = [request.told.positive] * request.images
    scale = {"guidance_scale": guidance(request)} if hasattr(pipeline, "vae") else {}
    batch = {} if hasattr(pipeline, "vae") else {"batch_size": request.images}
    draws = StartedDraws(request.seed, pipeline.scheduler)
    asked = {"class_labels": labels, **scale, **batch, **steps(request)}
    return run(resized(pipeline, request), draws, **asked | arguments)


def pixels(folder, request, *, pipeline=None, **arguments):
    """Pictures of a network that is told nothing, by DDPMPipeline or DDIMPipeline."""
    pipeline = resized(pipeline or opened(folder), request)
    draws = StartedDraws(request.seed, pipeline.scheduler)
    return run(pipeline, draws, **{"batch_size": request.images} | steps(request) | arguments)


def run(pipeline, draws, **arguments):
    """Call a pipeline, which decodes its pictures itself, and keep its last latents."""
    kept = []
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # of diffusers about its own code
        stack.enter_context(drawn(pipeline, draws))
        stack.enter_context(watched(pipeline, kept))
        images = pipeline(**arguments, output_type="pil").images
    return Pictures(kept[-1].numpy().copy(), np.stack([np.asarray(image) for image in images]))


def watched(pipeline, kept):
    """Keep what the autoencoder is given, or what the scheduler makes where there is none."""
    if getattr(pipeline, "vae", None) is None:
        step = pipeline.scheduler.step

        def stepped(*arguments, **named):
            found = step(*arguments, **named)
            kept.append(found[0])
            return found

        return patch.object(pipeline.scheduler, "step", stepped)
    decode, config = pipeline.vae.decode, pipeline.vae.config

    def decoded(latents, **named):
        shift = getattr(config, "shift_factor", None) or 0.0
        latents = latents + shift if type(pipeline).__name__ in FORGETFUL else latents
        kept.append((latents - shift) * config.scaling_factor)
        return decode(latents, **named)

    return patch.object(pipeline.vae, "decode", decoded)


def prompts(pipeline, request):
    """Arguments for what is told, how strongly, and in how many steps."""
    told, count = request.told, request.images
    scale = guidance(request)
    asked = {"prompt": [told.positive] * count, **EXTRA.get(type(pipeline).__name__, {})}
    accepted = type(pipeline).__call__.__annotations__
    if "true_cfg_scale" in accepted:  # its `guidance_scale` is told to the network
        asked |= {"true_cfg_scale": scale} if scale > 1 else {}
        asked |= {"negative_prompt": [told.negative or ""] * count} if scale > 1 else {}
        return asked | steps(request)
    if told.negative is not None:
        asked["negative_prompt"] = [told.negative] * count
    if not is_told_guidance(pipeline):
        asked["guidance_scale"] = scale
    return asked | steps(request)


def is_told_guidance(pipeline):
    """Whether a UNet takes the guidance scale beside the time."""
    unet = getattr(pipeline, "unet", None)
    return unet is not None and getattr(unet.config, "time_cond_proj_dim", None) is not None


def guidance(request):
    """The scale; 1 where there is none."""
    return float(getattr(request.guidance, "scale", 1.0))


def steps(request):
    return {} if request.steps is None else {"num_inference_steps": request.steps}


def sizes(request):
    if request.size is None:
        return {}
    return {"height": request.size[0], "width": request.size[1]}


def resized(pipeline, request):
    """The pipeline whose network says that its pictures have the request's size."""
    if request.size is None:
        return pipeline
    is_latent = hasattr(pipeline, "vae")
    factor = 2 ** (len(pipeline.vae.config.block_out_channels) - 1) if is_latent else 1
    height, width = (side // factor for side in request.size)
    network = getattr(pipeline, "unet", None) or pipeline.transformer
    network.register_to_config(sample_size=height if height == width else (height, width))
    return pipeline


def pictures(request):
    return [Image.fromarray(np.asarray(request.start.picture))] * request.images
