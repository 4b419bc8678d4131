"""Features that a small network of its own makes of a drawing, added inside a UNet."""

import numpy as np
import pytest
import torch
from diffusers import T2IAdapter, UNet2DConditionModel
from torch import Tensor, nn

from denoisert.runtime import Request, Runtime
from denoisert.runtime.bundle.condition import ConditionInput, Source
from tests.catalogue.told import compile_told, drawn, sampled

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SHAPE, CAPTION = (2, 8, 8), (5, 16)
FEATURES = {"fine": (8, 8, 8), "coarse": (16, 4, 4)}
SEED, CLOSE = 3, 1e-4
RNG = np.random.default_rng(6)


def values(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


class Steered(nn.Module):
    """A UNet on whose way down an adapter's features are added, and which attends to a caption."""

    def __init__(self):
        super().__init__()
        self.unet = UNet2DConditionModel(
            sample_size=SHAPE[1],
            in_channels=SHAPE[0],
            out_channels=SHAPE[0],
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            attention_head_dim=8,
            norm_num_groups=4,
            cross_attention_dim=CAPTION[1],
        )

    def forward(
        self, latent: Tensor, time: Tensor, caption: Tensor, fine: Tensor, coarse: Tensor
    ) -> Tensor:
        told = {"down_intrablock_additional_residuals": [fine, coarse]}
        return self.unet(latent, time, encoder_hidden_states=caption, **told).sample


@pytest.mark.paper(5)
def test_an_adapter_s_features_are_arrays_of_a_request(tmp_path):
    """diffusers' own adapter, run once for a drawing; features of zero are the UNet alone."""
    module, caption = drawn(Steered), values(*CAPTION)
    adapter = drawn(lambda: T2IAdapter(3, [8, 16], num_res_blocks=1, downscale_factor=8), seed=1)
    shapes = {"caption": CAPTION, **FEATURES}
    inputs = [
        ConditionInput(name, Source.EXTERNAL_ARRAY, "float32", shape)
        for name, shape in shapes.items()
    ]
    drawing = values(3, 64, 64)
    made = [adapter(torch.from_numpy(each)[None]) for each in (drawing, -drawing)]
    made.append([torch.zeros(1, *shape) for shape in FEATURES.values()])
    found = []
    with Runtime.open(compile_told(module, tmp_path, inputs, SHAPE)) as runtime:
        for features in made:
            told = dict(zip(shapes, (torch.from_numpy(caption)[None], *features), strict=True))
            given = {name: value[0].numpy() for name, value in told.items()}
            found.append(runtime.generate(Request(given, seed=SEED)).flat[0])
            assert_close(found[-1], lambda x, t, told=told: module(x, t, **told))
    text = torch.from_numpy(caption)[None]
    assert_close(found[-1], lambda x, t: module.unet(x, t, encoder_hidden_states=text).sample)
    assert min(np.abs(found[0] - other).max() for other in found[1:]) > 1e-3


def assert_close(found, answer):
    """What the runtime made, and the loop in torch around `answer(latent, time)`."""
    truth = sampled(answer, SEED, SHAPE)
    assert np.abs(found - truth).max() <= CLOSE * np.abs(truth).max()
