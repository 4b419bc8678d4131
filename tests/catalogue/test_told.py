"""Papers whose method is a network that is told something: compiled, run, and beside torch."""

import numpy as np
import onnx
import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from torch import Tensor, nn

from denoisert.kernels.philox import reference as philox
from denoisert.runtime import CFG, Condition, Request, Runtime
from denoisert.runtime.bundle.condition import ConditionInput, Source
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.errors import ExportError, InvalidInput
from tests.catalogue import told
from tests.catalogue.told import CHANNELS, SHAPE, SIDE, WIDTH, compile_told, drawn, sampled

pytestmark = pytest.mark.slow

CLOSE = 1e-4
RNG = np.random.default_rng(5)


def array(name, *shape, null=None):
    return ConditionInput(name, Source.EXTERNAL_ARRAY, "float32", shape, 0, null)


def values(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def lane(value):
    """One lane of a condition, for torch."""
    return torch.from_numpy(np.asarray(value))[None]


def assert_run(runtime, module, given, *, seed=3, shape=SHAPE, guidance=None, null=None):
    """The runtime's picture is the loop's; returns it."""
    found = runtime.generate(Request(Condition(given), seed=seed, guidance=guidance)).flat[0]
    tensors = {name: lane(value) for name, value in given.items()}

    def answer(latent, time):
        cond = module(latent, time, **tensors)
        if guidance is None:
            return cond
        uncond = module(
            latent, time, **(null or {k: torch.zeros_like(v) for k, v in tensors.items()})
        )
        return uncond + guidance.scale * (cond - uncond)

    truth = sampled(answer, seed, shape)
    assert np.abs(found - truth).max() <= CLOSE * np.abs(truth).max()
    return found


class Masked(nn.Module):
    """Row 1: a UNet of pixels that masks are joined to."""

    def __init__(self):
        super().__init__()
        self.unet = UNet2DModel(
            sample_size=8,
            in_channels=1 + 6,
            out_channels=1,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=8,
            norm_num_groups=4,
        )

    def forward(self, latent: Tensor, time: Tensor, masks: Tensor) -> Tensor:
        return self.unet(torch.cat([latent, masks], 1), time).sample


@pytest.mark.paper(1)
@pytest.mark.filterwarnings("ignore")
def test_a_unet_of_masks_is_compiled_and_hears_those_of_its_own_picture(tmp_path):
    shape = (1, 8, 8)
    module = drawn(Masked)
    masks = [(RNG.random((6, 8, 8)) < 0.3).astype(np.float32) for _ in range(3)]
    with pytest.raises(ExportError):
        compile_told(module, tmp_path, [array("masks", 5, 8, 8)], shape)
    with Runtime.open(compile_told(module, tmp_path, [array("masks", 6, 8, 8)], shape)) as runtime:
        asked = [Request({"masks": each}, seed=3) for each in masks]
        together = [result.flat[0] for result in runtime.generate(asked)]
        for each, found in zip(masks, together, strict=True):
            np.testing.assert_array_equal(
                found, assert_run(runtime, module, {"masks": each}, shape=shape)
            )
        assert np.abs(together[0] - together[1]).max() > 0.01
        with pytest.raises(InvalidInput, match="masks"):
            runtime.plan(Request({"masks": masks[0][:5]}))


class Shown(nn.Module):
    """Row 72: a UNet that hears a noisy picture beside its latent and attends to a caption."""

    def __init__(self):
        super().__init__()
        self.unet = UNet2DConditionModel(
            sample_size=8,
            in_channels=2 * CHANNELS,
            out_channels=CHANNELS,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=8,
            norm_num_groups=4,
            cross_attention_dim=WIDTH,
        )

    def forward(self, latent: Tensor, time: Tensor, noisy: Tensor, caption: Tensor) -> Tensor:
        joined = torch.cat([latent, noisy], 1)
        return self.unet(joined, time, encoder_hidden_states=caption).sample


@pytest.mark.paper(72)
@pytest.mark.filterwarnings("ignore")
def test_a_noisy_picture_and_a_caption_are_heard_together(tmp_path):
    """The empty caption is a null that is fed where none is said."""
    shape, module = (CHANNELS, 8, 8), drawn(Shown)
    inputs = [array("noisy", *shape), array("caption", 5, WIDTH, null=0.0)]
    given = {"noisy": values(*shape), "caption": values(5, WIDTH)}
    with Runtime.open(compile_told(module, tmp_path, inputs, shape)) as runtime:
        found = assert_run(runtime, module, given, shape=shape)
        empty = given | {"caption": np.zeros((5, WIDTH), np.float32)}
        other = assert_run(runtime, module, empty, shape=shape)
        quiet = assert_run(
            runtime, module, given | {"noisy": given["noisy"][::-1].copy()}, shape=shape
        )
    assert np.abs(found - other).max() > 1e-3
    assert np.abs(found - quiet).max() > 1e-3


@pytest.mark.paper(15)
def test_a_transformer_is_told_the_vector_of_a_picture_and_guided_by_it(tmp_path):
    module = drawn(told.PictureTold)
    inputs = [array("vector", WIDTH, null=0.0), array("source", *SHAPE, null=0.0)]
    given = {"vector": values(WIDTH), "source": values(*SHAPE)}
    with Runtime.open(compile_told(module, tmp_path, inputs)) as runtime:
        plain = assert_run(runtime, module, given)
        guided = assert_run(runtime, module, given, guidance=CFG(3.0))
        for name in given:
            moved = given | {name: np.roll(given[name], 1)}
            assert np.abs(assert_run(runtime, module, moved) - plain).max() > 1e-3
    assert np.abs(guided - plain).max() > 1e-3


@pytest.mark.paper(22)
@pytest.mark.parametrize("top", [4, SIDE * SIDE])
def test_a_mixture_of_prompts_is_gated_in_the_graph(top, tmp_path):
    """All of the prompts need no choice in the graph, some of them do."""
    module = drawn(lambda: told.Prompted(top))
    label = ConditionInput("label", Source.CLASS_LABEL, "int64", (), 3, 3.0)
    path = compile_told(module, tmp_path, [label])
    entry = Bundle.open(path).manifest.graphs["denoiser"]
    graph = onnx.load(path / entry.path, load_external_data=False).graph
    assert ("TopK" in {node.op_type for node in graph.node}) == (top < SIDE * SIDE)
    null = {"label": torch.tensor([3])}
    with Runtime.open(path) as runtime:
        for number in (0, 2):
            given = {"label": np.int64(number)}
            assert_run(runtime, module, given, guidance=CFG(4.0), null=null)


@pytest.mark.paper(36)
def test_style_pictures_are_weighed_and_their_order_is_nothing(tmp_path):
    module = drawn(told.Styled)
    inputs = [array("styles", 4, WIDTH), array("layout", 1, SIDE, SIDE)]
    given = {"styles": values(4, WIDTH), "layout": values(1, SIDE, SIDE)}
    with Runtime.open(compile_told(module, tmp_path, inputs)) as runtime:
        found = assert_run(runtime, module, given)
        other = assert_run(runtime, module, given | {"styles": given["styles"][[2, 0, 3, 1]]})
        np.testing.assert_allclose(other, found, atol=1e-5 * np.abs(found).max())
        fewer = given | {"styles": given["styles"][[0, 0, 1, 1]]}
        assert np.abs(assert_run(runtime, module, fewer) - found).max() > 1e-3


@pytest.mark.paper(54)
def test_nodes_of_a_scene_are_padded_and_their_order_is_nothing(tmp_path):
    module, count, most = drawn(told.SceneTold), 3, 5
    inputs = [array("nodes", most, WIDTH), array("edges", most, most), array("present", most)]
    given = {"nodes": values(most, WIDTH), "edges": values(most, most)}
    given["present"] = (np.arange(most) < count).astype(np.float32)
    given["edges"][count:], given["edges"][:, count:] = 0.0, 0.0
    with Runtime.open(compile_told(module, tmp_path, inputs)) as runtime:
        found = assert_run(runtime, module, given)
        nodes = given["nodes"].copy()
        nodes[count:] = values(most - count, WIDTH)
        padded = assert_run(runtime, module, given | {"nodes": nodes})
        order = [2, 0, 1, 3, 4]
        edges = given["edges"][order][:, order]
        turned = given | {"nodes": given["nodes"][order], "edges": edges}
        moved = assert_run(runtime, module, turned)
        alone = assert_run(runtime, module, given | {"edges": np.zeros_like(edges)})
    scale = np.abs(found).max()
    np.testing.assert_allclose(padded, found, atol=1e-5 * scale)
    np.testing.assert_allclose(moved, found, atol=1e-5 * scale)
    assert np.abs(alone - found).max() > 1e-3


@pytest.mark.paper(55)
def test_a_representation_is_drawn_mixed_and_always_gives_its_picture(tmp_path):
    module = drawn(told.Represented)
    one, other = values(WIDTH), values(WIDTH)
    with Runtime.open(compile_told(module, tmp_path, [array("representation", WIDTH)])) as runtime:
        ends = [assert_run(runtime, module, {"representation": each}) for each in (one, other)]
        again = assert_run(runtime, module, {"representation": one})
        half = assert_run(runtime, module, {"representation": (one + other) / 2})
    np.testing.assert_array_equal(again, ends[0])
    apart = np.abs(ends[0] - ends[1]).max()
    assert max(np.abs(half - end).max() for end in ends) < apart


@pytest.mark.paper(24)
def test_a_network_is_told_the_length_of_its_steps(tmp_path):
    """The loop x - F(x, t, log2 N) / N beside any power of two; other counts are refused."""
    module = drawn(told.StepTold)
    path = compile_told(module, tmp_path, [], trained=told.FLOW, scalars=("size",))
    with Runtime.open(path) as runtime:
        found = {n: runtime.generate(Request(seed=3, steps=n)).flat[0] for n in (1, 2, 8)}
        with pytest.raises(InvalidInput, match=r"1, 2, 4, 8"):
            runtime.plan(Request(steps=6))
    for level, (count, latent) in zip((0, 1, 3), found.items(), strict=True):
        x = philox.normals(3, draw=0, image=0, count=latent.size)
        for step in range(count):
            given = torch.from_numpy(x.reshape(1, *SHAPE).astype(np.float32))
            numbers = torch.tensor([1.0 - step / count]), torch.tensor([float(level)])
            x = x - module(given, *numbers).double().numpy().ravel() / count
        assert np.abs(latent - x).max() <= CLOSE * np.abs(x).max()
        wrong = module(given, numbers[0], numbers[1] + 1) - module(given, *numbers)
        assert wrong.abs().max() > 1e-2


@pytest.mark.paper(104)
def test_the_uncond_branch_is_another_network_of_the_same_graph(tmp_path):
    """Guided away from a prior that knows no classes; either alone is another picture."""
    module = drawn(told.TwoNetworks)
    label = ConditionInput("label", Source.CLASS_LABEL, "int64", (), 3, 3.0)
    given, null = {"label": np.int64(1)}, {"label": torch.tensor([3])}
    with Runtime.open(compile_told(module, tmp_path, [label])) as runtime:
        guided = assert_run(runtime, module, given, guidance=CFG(3.0), null=null)
        alone = assert_run(runtime, module, given)
        prior = runtime.generate(Request(given, seed=3, guidance=CFG(0.0))).flat[0]

    def answer(latent, time):
        return module.prior(latent, time, torch.zeros(1, WIDTH))

    truth = sampled(answer, 3)
    assert np.abs(prior - truth).max() <= CLOSE * np.abs(truth).max()
    assert min(np.abs(guided - each).max() for each in (alone, prior)) > 1e-3
