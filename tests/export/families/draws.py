"""Our noise in diffusers' place: whatever a pipeline draws comes from Philox.

A pipeline, its scheduler and its autoencoder call `randn_tensor` of their own modules. The first
two take the draws of the loop one after another, which is how a sampler's table counts them; the
posterior of an autoencoder takes draw 0 of the codec's purpose, however often it is asked; that of
a picture without what a mask hides takes draw 1, the same for all pictures of a request.
"""

import sys
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import numpy as np
import torch
from diffusers import CMStochasticIterativeScheduler
from diffusers.models.autoencoders import vae

from denoisert.kernels.philox import reference as philox


def noise(seed, shape, *, draw=0, purpose=philox.LATENT):
    """(n, ...) float32: what our runtime draws for the n pictures of a request.

    Args:
        seed: of the request.
        shape: (n, ...).
        draw: number of the draw inside the loop.
        purpose: whose draw it is.
    """
    count = int(np.prod(shape[1:]))
    drawn = [
        philox.normals(seed, draw=draw, image=image, count=count, purpose=purpose)
        for image in range(shape[0])
    ]
    return torch.from_numpy(np.stack(drawn).reshape(shape).astype(np.float32))


class Draws:
    """The draws of one run.

    Args:
        seed: of the request.
    """

    def __init__(self, seed):
        self.seed = seed
        self.taken = 0

    def latent(self, shape, *_, **__):
        """The next draw of the loop."""
        self.taken += 1
        return noise(self.seed, tuple(shape), draw=self.taken - 1)

    def codec(self, shape, *_, **__):
        """The draw of an autoencoder's posterior."""
        return noise(self.seed, tuple(shape), purpose=philox.CODEC)

    def masked(self, shape, *_, **__):
        """The draw of the posterior of what a mask leaves."""
        one = noise(self.seed, (1, *shape[1:]), draw=1, purpose=philox.CODEC)
        return one.expand(tuple(shape))


class StartedDraws(Draws):
    """The same where a run starts from noise alone.

    A sigma scheduler's state is x / alpha, and our x starts as the noise itself, while some of
    these schedulers begin with sigma times the noise: the first draw is scaled by the ratio.
    """

    def __init__(self, seed, scheduler):
        super().__init__(seed)
        self.scheduler = scheduler

    def latent(self, shape, *_, **__):
        scale = 1.0 if self.taken else start_scale(self.scheduler)
        return scale * super().latent(shape)


def start_scale(scheduler):
    """sqrt(1 + sigma^2) / init_noise_sigma, or 1 where the state is x itself."""
    if isinstance(scheduler, CMStochasticIterativeScheduler):
        return 1.0  # its x is x0 + sigma eps, as ours is
    begun = float(getattr(scheduler, "init_noise_sigma", 1.0))
    sigmas = getattr(scheduler, "sigmas", None)
    # 1: schedulers that hold x, or x / alpha at sigma 0; the flows have no such attribute.
    return 1.0 if sigmas is None or begun == 1.0 else float((1 + sigmas[0] ** 2) ** 0.5) / begun


@contextmanager
def masked(pipeline, draws):
    """While a pipeline looks at what a mask leaves of its picture, `draws` knows it.

    Rows lie behind one another, not channels, as pictures from PIL come: torch's group norm of
    those is off by 2e-3 where the mask leaves nothing but grey.
    """
    prepare = pipeline.prepare_mask_latents

    def prepared(*arguments, **named):
        given = [_by_rows(value) for value in arguments]
        with patch(f"{vae.__name__}.randn_tensor", draws.masked):
            return prepare(*given, **{name: _by_rows(value) for name, value in named.items()})

    with patch.object(pipeline, "prepare_mask_latents", prepared):
        yield draws


def _by_rows(value):
    return value.contiguous() if torch.is_tensor(value) else value


@contextmanager
def drawn(pipeline, draws):
    """Whatever the pipeline draws inside comes from `draws`."""
    owners = {type(part).__module__ for part in (pipeline, pipeline.scheduler)}
    places = [(name, draws.latent) for name in sorted(owners)] + [(vae.__name__, draws.codec)]
    with ExitStack() as stack:
        for name, draw in places:
            if hasattr(sys.modules[name], "randn_tensor"):
                stack.enter_context(patch(f"{name}.randn_tensor", draw))
        yield draws
