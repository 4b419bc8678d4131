"""Configurations of peft that ask for more than a scale, in the file or beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from denoisert.export.lora.adapter import Adapter
from denoisert.export.lora.file import open_lora
from denoisert.export.lora.lora import Lora
from denoisert.runtime.errors import ExportError
from tests.export.lora.drawn import STEM, layer, saved


def test_the_first_name_that_means_a_layer_gives_its_alpha() -> None:
    adapter = Adapter(8.0, {"^proj_in": 1.0, "attn1.to_q": 2.0, "to_q": 4.0})
    names = ("proj_in", "block.proj_in", "block.attn1.to_q", "attn2.to_q", "into_q")
    assert [adapter.scale(name, 4) for name in names] == [0.25, 2.0, 0.5, 1.0, 2.0]
    assert Adapter(8.0, {}, is_rank_stabilised=True).scale("to_q", 4) == 4.0


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
