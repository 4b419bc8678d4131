"""Networks on pixels: DDPM, DDIM, ADM's learned variance with and without classes, consistency."""

import diffusers

from tests.export.families.parts import alive

SIDE = 32
CLASSES = 3
UNET = {
    "sample_size": SIDE,
    "in_channels": 3,
    "out_channels": 3,
    "layers_per_block": 1,
    "block_out_channels": (16, 32),
    "norm_num_groups": 8,
    "attention_head_dim": 8,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}
RESIZING = {
    "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "resnet_time_scale_shift": "scale_shift",
}
"""ADM's blocks: resampling inside residual blocks, the time scales and shifts."""

LEARNED = {"variance_type": "learned_range", "beta_schedule": "linear"}


def ddpm():
    """Ho et al. 2020: ancestral sampling, the samples clipped."""
    return diffusers.DDPMPipeline(unet=unet(), scheduler=diffusers.DDPMScheduler())


def ddim():
    """Song et al. 2020."""
    return diffusers.DDIMPipeline(unet=unet(), scheduler=diffusers.DDIMScheduler())


def learned():
    """Dhariwal and Nichol 2021 without classes: six channels, the last three the variance."""
    scheduler = diffusers.DDPMScheduler(**LEARNED)
    return diffusers.DDPMPipeline(unet=unet(out_channels=6, **RESIZING), scheduler=scheduler)


def learned_classes():
    """The same with classes, in the only pipeline of diffusers that passes them to such a UNet."""
    network = unet(out_channels=6, num_class_embeds=CLASSES, **RESIZING)
    scheduler = diffusers.DDPMScheduler(**LEARNED)
    return diffusers.ConsistencyModelPipeline(unet=network, scheduler=scheduler)


def consistency():
    """Song et al. 2023, with classes: Karras levels from 80, the network inside the boundary."""
    network = unet(num_class_embeds=CLASSES, **RESIZING)
    scheduler = diffusers.CMStochasticIterativeScheduler()
    return diffusers.ConsistencyModelPipeline(unet=network, scheduler=scheduler)


def unet(**changes):
    return alive(diffusers.UNet2DModel(**UNET | changes))
