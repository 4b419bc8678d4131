"""What is no LoRA, no whole one, or one for another model: an error that names file and key."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from denoisert.export.lora.file import open_lora
from denoisert.export.lora.lora import Lora
from denoisert.export.lora.merge import merge
from denoisert.runtime.errors import ExportError
from tests.export.lora.conftest import NAMES, Networks
from tests.export.lora.drawn import Drawn, draw, kohya, peft, saved

PATH = "mid_block.attentions.0.proj_in"
STEM = "lora_unet_mid_block_attentions_0_proj_in"

Tensors = dict[str, torch.Tensor]


def layer(stem: str = STEM, rank: int = 2, inputs: int = 64, outputs: int = 64) -> Tensors:
    return {
        f"{stem}.lora_down.weight": torch.ones(rank, inputs, 1, 1),
        f"{stem}.lora_up.weight": torch.ones(outputs, rank, 1, 1),
    }


@pytest.fixture
def refused(networks: Callable[[], Networks], tmp_path: Path) -> Callable[..., str]:
    """The error of a file beside a good one; the networks stay as they were."""

    def find(tensors: Mapping[str, torch.Tensor], **metadata: str) -> str:
        good = saved(tmp_path, "good", layer())
        bad = saved(tmp_path, "bad", tensors, **metadata)
        found, base = networks(), networks()
        with pytest.raises(ExportError, match=r"bad\.safetensors|bad") as caught:
            merge(found, [Lora(good), Lora(bad)])
        for name in NAMES:
            assert all(map(torch.equal, *(n[name].state_dict().values() for n in (found, base))))
        return str(caught.value)

    return find


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


CONFIGS = [
    ({"use_dora": True}, "use_dora"),
    ({"lora_bias": True}, "lora_bias"),
    ({"fan_in_fan_out": True}, "fan_in_fan_out"),
    ({"modules_to_save": ["conv_in"]}, "modules_to_save"),
    ({"a_field_of_tomorrow": 3}, "a_field_of_tomorrow"),
    ({"bias": "all"}, "bias 'all'"),
    ({"init_lora_weights": "pissa_niter_4"}, "pissa_niter_4"),
    ({"peft_type": "LOHA"}, "LOHA"),
    ({"lora_alpha": 0}, "above 0"),
    ({"lora_alpha": None}, "above 0"),
    ({"lora_alpha": True}, "above 0"),
    ({"alpha_pattern": {"(a+)+$": 2}}, "alpha_pattern"),
    ({"alpha_pattern": {"conv_in": "2"}}, "alpha_pattern"),
    ({"alpha_pattern": [1]}, "alpha_pattern"),
]


@pytest.mark.parametrize(("fields", "expected"), CONFIGS)
def test_a_configuration_that_asks_for_more(
    refused: Callable[..., str], fields: dict[str, object], expected: str
) -> None:
    packed = {f"unet.{key}": value for key, value in ({"lora_alpha": 2} | fields).items()}
    assert expected in refused(layer(), lora_adapter_metadata=json.dumps(packed))


@pytest.mark.parametrize(("fields", "expected"), CONFIGS)
def test_a_configuration_beside_a_file_of_peft(
    tmp_path: Path, fields: dict[str, object], expected: str
) -> None:
    path = saved(tmp_path, "adapter_model", layer())
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 2} | fields))
    with pytest.raises(ExportError) as caught:
        open_lora(Lora(path))
    assert expected in str(caught.value)


@pytest.mark.parametrize("text", ["[1]", "{", '{"lora_alpha": NaN}', '{"a": 1, "a": 2}'])
def test_a_configuration_that_is_no_object(refused: Callable[..., str], text: str) -> None:
    assert "Save the LoRA again" in refused(layer(), lora_adapter_metadata=text)


def test_two_things_that_scale(refused: Callable[..., str]) -> None:
    tensors = {**layer(), f"{STEM}.alpha": torch.tensor(2.0)}
    text = refused(tensors, lora_adapter_metadata=json.dumps({"unet.lora_alpha": 2}))
    assert f"{STEM}.alpha" in text
    assert "which of them scales" in text


@pytest.mark.parametrize("name", ["style.pt", "style.ckpt", "style.BIN"])
def test_pickles(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(ExportError, match="pickled"):
        open_lora(Lora(tmp_path / name))


def test_places_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="No such file"):
        open_lora(Lora(tmp_path / "none.safetensors"))
    saved(tmp_path, "inside", layer())
    with pytest.raises(ExportError, match=r"is a folder; give one file in it: inside\.safetensors"):
        open_lora(Lora(tmp_path))
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(ExportError, match="no regular file"):
        open_lora(Lora(tmp_path / "pipe.safetensors"))


def lie(path: Path, change: Callable[[dict[str, dict[str, object]]], object]) -> None:
    """Rewrite a header, without touching the data."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header[DOWN].update(shape=[2, 640, 1, 1]),
        lambda header: header[DOWN].update(data_offsets=[0, 2**40]),
        lambda header: header[DOWN].update(dtype="F64"),
        lambda header: header.pop(DOWN),
    ],
)
def test_headers_that_lie(tmp_path: Path, change: Callable[..., object]) -> None:
    path = saved(tmp_path, "bad", layer())
    lie(path, change)
    with pytest.raises(ExportError, match=r"LoRA bad\.safetensors.*Download it again"):
        open_lora(Lora(path))


def test_a_truncated_file(tmp_path: Path) -> None:
    path = saved(tmp_path, "bad", layer())
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ExportError, match=r"LoRA bad\.safetensors"):
        open_lora(Lora(path))


def test_tensors_of_whole_numbers(tmp_path: Path) -> None:
    path = saved(tmp_path, "bad", {key: value.to(torch.int32) for key, value in layer().items()})
    with pytest.raises(ExportError, match="int32"):
        open_lora(Lora(path))


def test_no_tensors_and_endless_names(tmp_path: Path) -> None:
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(ExportError, match="0 tensors"):
        open_lora(Lora(tmp_path / "empty.safetensors"))
    path = saved(tmp_path, "long", layer("a" * 400))
    with pytest.raises(ExportError, match="characters") as caught:
        open_lora(Lora(path))
    assert len(str(caught.value)) < 400


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
