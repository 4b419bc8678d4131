"""DiT: classes, a learned variance beside the noise; and the same shape trained as a flow."""

import diffusers
import numpy as np
import torch

from tests.export.diffusers_tiny import DIT
from tests.export.families.draws import noise
from tests.export.families.oracles import Pictures, guidance, opened
from tests.export.families.parts import alive, autoencoder

CLASSES = 1000
"""DiTPipeline takes 1000 for the null class, whatever the network says."""

NAMES = {label: f"class {label}" for label in range(CLASSES)} | {0: "cat", 1: "dog", 2: "owl"}
SHIFT = 2.0


def transformer():
    """DiT-XL/2 made small: DDIM, names of the classes in model_index.json."""
    pipeline = _pipeline(diffusers.DDIMScheduler(clip_sample=False), CLASSES)
    pipeline.register_to_config(id2label=NAMES)
    return pipeline


def flow():
    """A transformer that returns a velocity: no variance, three classes, shifted times."""
    return _pipeline(diffusers.FlowMatchEulerDiscreteScheduler(shift=SHIFT), 3, out_channels=4)


def _pipeline(scheduler, classes, **changes):
    network = diffusers.DiTTransformer2DModel(**DIT | {"num_embeds_ada_norm": classes} | changes)
    return diffusers.DiTPipeline(
        transformer=alive(network),
        vae=autoencoder(),
        scheduler=scheduler,
        id2label=NAMES if classes == CLASSES else None,
    )


@torch.no_grad()
def flow_to_image(folder, request, *, pipeline=None):
    """Pictures of a class by a flow, whose scheduler diffusers' DiTPipeline cannot run.

    Its transformer, scheduler and autoencoder, in float32 and one branch after the other.
    """
    pipeline = pipeline or opened(folder)
    network, scheduler, vae = pipeline.transformer, pipeline.scheduler, pipeline.vae
    scheduler.set_timesteps(request.steps)
    count, scale = request.images, guidance(request)
    told = torch.full((count,), request.told.positive)
    nothing = torch.full((count,), network.config.num_embeds_ada_norm)
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    height, width = (side // factor for side in request.size)
    state = noise(request.seed, (count, network.config.in_channels, height, width))
    for time in scheduler.timesteps:
        times = time.expand(count)
        velocity = network(state, timestep=times, class_labels=told).sample
        if scale > 1:
            other = network(state, timestep=times, class_labels=nothing).sample
            velocity = other + scale * (velocity - other)
        state = scheduler.step(velocity, time, state).prev_sample
    decoded = vae.decode(state / vae.config.scaling_factor).sample.permute(0, 2, 3, 1)
    pixels = (255 * (decoded / 2 + 0.5).clamp(0, 1)).round()
    return Pictures(state.numpy(), pixels.numpy().astype(np.uint8))
