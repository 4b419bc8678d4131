"""DiT: classes, a learned variance beside the noise, guidance on the noise alone."""

import diffusers

from tests.export.diffusers_tiny import DIT
from tests.export.families.parts import alive, autoencoder

CLASSES = 1000
"""DiTPipeline takes 1000 for the null class, whatever the network says."""

NAMES = {label: f"class {label}" for label in range(CLASSES)} | {0: "cat", 1: "dog", 2: "owl"}


def transformer():
    """DiT-XL/2 made small: DDIM, names of the classes in model_index.json."""
    pipeline = diffusers.DiTPipeline(
        transformer=alive(
            diffusers.DiTTransformer2DModel(**DIT | {"num_embeds_ada_norm": CLASSES})
        ),
        vae=autoencoder(),
        scheduler=diffusers.DDIMScheduler(clip_sample=False),
        id2label=NAMES,
    )
    pipeline.register_to_config(id2label=NAMES)
    return pipeline
