"""What is no LoRA, no whole one, or one for another model: an error that names file and key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from denoisert.export.lora.lora import Lora
from denoisert.export.lora.merge import merge
from denoisert.runtime.errors import ExportError
from tests.export.lora.conftest import Networks
from tests.export.lora.drawn import STEM, Drawn, draw, kohya, layer, peft, saved

PATH = "mid_block.attentions.0.proj_in"
Tensors = dict[str, torch.Tensor]


def test_the_layer_of_these_tests_is_merged(
    networks: Callable[[], Networks], tmp_path: Path
) -> None:
    found, base = networks(), networks()
    merge(found, [Lora(saved(tmp_path, "good", layer()))])
    difference = [n["unet"].get_parameter(f"{PATH}.weight") for n in (found, base)]
    torch.testing.assert_close(difference[0] - difference[1], torch.full((64, 64, 1, 1), 2.0))


@pytest.mark.parametrize(
    ("ending", "method"),
    [
        ("dora_scale", "DoRA"),
        ("lora_magnitude_vector", "DoRA"),
        ("lora_magnitude_vector.weight", "DoRA"),
        ("hada_w1_a", "LoHa"),
        ("lokr_w1", "LoKr"),
        ("oft_blocks", "OFT"),
        ("diff", "a full change"),
        ("diff_b", "a change of biases"),
        ("lora_up.bias", "with a bias"),
        ("lora_B.bias", "with a bias"),
        ("lora_embedding_A", "embedding"),
    ],
)
def test_other_methods_are_named(refused: Callable[..., str], ending: str, method: str) -> None:
    text = refused({**layer(), f"{STEM}.{ending}": torch.ones(2, 2)})
    assert method in text
    assert f"{STEM}.{ending}" in text
    assert "not merged" in text


def test_weights_of_a_whole_model(refused: Callable[..., str]) -> None:
    assert "whole model" in refused({"down_blocks.0.resnets.0.conv1.weight": torch.ones(2, 2)})


@pytest.mark.parametrize("side", ["up", "down"])
def test_half_a_layer(refused: Callable[..., str], side: str) -> None:
    tensors = layer()
    del tensors[f"{STEM}.lora_{side}.weight"]
    assert f"no {side} matrix" in refused(tensors)


def test_a_layer_in_two_notations(refused: Callable[..., str]) -> None:
    text = refused({**layer(), **layer(f"unet.{PATH}")})
    assert "both change" in text
    assert PATH in text


def test_a_matrix_in_two_notations(refused: Callable[..., str]) -> None:
    text = refused({**layer(), f"{STEM}.lora_A.weight": torch.ones(2, 64)})
    assert "both are the down" in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"inputs": 48}, "needs (2, 64) and (64, 2)"),
        ({"outputs": 48}, "needs (2, 64) and (64, 2)"),
    ],
)
def test_another_size(refused: Callable[..., str], changes: dict[str, int], expected: str) -> None:
    text = refused(layer(**changes))
    for piece in (expected, f"{STEM}.lora_down.weight", "for another model", "unet", PATH):
        assert piece in text


DOWN, UP, MID = (f"{STEM}.lora_{side}.weight" for side in ("down", "up", "mid"))


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ({UP: torch.ones(64, 3, 1, 1)}, "(64, 2)"),  # of another rank
        ({DOWN: torch.ones(2, 64, 3, 3)}, "a kernel of (1, 1)"),
        ({DOWN: torch.ones(0, 64), UP: torch.ones(64, 0)}, "(0, 64)"),
        ({DOWN: torch.ones(())}, "(64, 0)"),
        ({UP: torch.ones(64)}, "(64, 2)"),
        ({MID: torch.ones(2, 3, 1, 1)}, "in 'lora_unet"),
        ({MID: torch.ones(2, 2, 3, 3)}, "a kernel of (1, 1)"),
        ({MID: torch.ones(2, 2)}, "in 'lora_unet"),
    ],
)
def test_matrices_that_do_not_go_together(
    refused: Callable[..., str], tensors: Tensors, expected: str
) -> None:
    assert expected in refused({**layer(), **tensors})


def test_a_kernel_in_the_second_matrix(refused: Callable[..., str]) -> None:
    stem = "lora_unet_mid_block_resnets_0_conv1"
    down, up = torch.ones(2, 64, 1, 1), torch.ones(64, 2, 3, 3)
    text = refused({f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up})
    assert f"the kernel of (3, 3) in '{stem}.lora_down.weight'" in text


@pytest.mark.parametrize(
    "alpha",
    [torch.tensor(0.0), torch.tensor(-1.0), torch.tensor(torch.inf), torch.ones(2),
     torch.tensor(torch.nan)],
)  # fmt: skip
def test_an_alpha_that_is_none(refused: Callable[..., str], alpha: torch.Tensor) -> None:
    text = refused({**layer(), f"{STEM}.alpha": alpha})
    assert f"{STEM}.alpha" in text
    assert "above 0" in text


def test_names_of_another_family(refused: Callable[..., str]) -> None:
    text = refused({
        **layer(),
        **layer("lora_unet_double_blocks_0_img_attn_qkv"),
        **layer("lora_unet_double_blocks_0_img_attn_proj"),
    })  # fmt: skip
    assert "for another model" in text
    assert "lora_unet_double_blocks_0_img_attn_proj.lora_down.weight" in text
    assert "2 of its 3 layers" in text
    assert "unet (UNet2DConditionModel)" in text


def test_a_text_encoder_that_the_model_does_not_have(refused: Callable[..., str]) -> None:
    text = refused({**layer(), **layer("lora_te2_text_model_encoder_layers_0_mlp_fc1")})
    assert "text_encoder_2, which is missing" in text


def test_layers_that_are_all_zero(refused: Callable[..., str]) -> None:
    """Were they left out, a file for another model could pass for a merged one."""
    zero = {key: value * 0 for key, value in layer("lora_unet_no_such_layer").items()}
    assert "changes nothing" in refused(zero)


def test_numbers_that_are_not_finite(networks: Callable[[], Networks], tmp_path: Path) -> None:
    tensors = layer()
    tensors[DOWN][0, 3] = torch.nan
    with pytest.raises(ExportError, match="not finite") as caught:
        merge(networks(), [Lora(saved(tmp_path, "bad", tensors))])
    assert DOWN in str(caught.value)


def test_a_file_of_a_larger_model_with_equal_names(
    networks: Callable[[], Networks], tmp_path: Path
) -> None:
    """SD 2 names its layers as SD 1 does; the width of the text is another."""
    found = networks()
    drawn: Drawn = draw(found["unet"], 1, keep=lambda path: path.endswith("attn2.to_k"))
    wide = {p: type(f)(f.down.repeat(1, 2), f.up) for p, f in drawn.items()}
    for tensors in (kohya(wide, "lora_unet_"), peft(wide, "unet.")):
        with pytest.raises(ExportError, match="for another model") as caught:
            merge(found, [Lora(saved(tmp_path, "sd2", tensors))])
        assert "(3, 32) and (32, 3)" in str(caught.value)
