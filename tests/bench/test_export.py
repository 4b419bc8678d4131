"""Records of exports: what the child tells, and the line through two depths."""

import json
from pathlib import Path

import pytest
import torch

from bench.case import Setting, Size
from bench.export.cases import DEPTHS, MODELS, SHALLOW, WHOLE
from bench.export.child import Watch
from bench.export.guard import hollow
from bench.export.models import Model
from bench.export.record import extended, figures, measured
from bench.run import here
from denoisert.export.options import Progress
from denoisert.runtime.bundle.weights import read_header

SETTING = Setting(Size.FULL, here(), Path("none"))
TOLD = {
    "seconds": {"load": 40.0, "graph": 2.0, "reference": 5.0, "engines": 1.0, "parity": 4.0},
    "cpu_seconds": {"load": 30.0, "graph": 1.5, "reference": 5.0},
    "weight_bytes": 3 * 2**30,
    "anonymous_bytes": 2**32,
    "peak_bytes": 2**33,
    "nodes": 1000,
    "graph_bytes": 2048,
    "parity": 1.5e-6,
}


def test_an_export_is_told_in_figures() -> None:
    record = measured(WHOLE["sd15"], TOLD, SETTING)
    assert record.case == "export/full SD1.5 UNet, 512x512"
    assert (record.median, record.unit) == (31.5, "s of CPU")
    assert (record.extra["export_wall_s"], record.extra["check_wall_s"]) == (42, 10)
    assert record.extra["weights_gib"] == 3.0
    assert record.extra["parity"] == "1.5e-06"
    json.loads(record.line())


def test_the_whole_lies_on_the_line_through_what_was_measured() -> None:
    def at(double: int, single: int) -> dict[str, float]:
        return {"export_cpu_s": 3.0 + 2.0 * double + 0.5 * single, "nodes": 10.0 * single}

    shallow = {depths: at(*depths) for depths in SHALLOW["flux"]}
    record = extended("export/full whole", DEPTHS["flux"], shallow, SETTING)
    assert record.median == pytest.approx(3.0 + 38.0 + 19.0)
    assert record.extra["nodes"] == pytest.approx(380.0)
    assert record.extra["parity"] == "extrapolated"


@pytest.mark.parametrize("name", SHALLOW)
def test_there_is_one_depth_more_than_unknowns(name: str) -> None:
    assert len(SHALLOW[name]) == len(DEPTHS[name]) + 1
    assert all(len(depths) == len(DEPTHS[name]) for depths in SHALLOW[name])
    assert {"-".join([name, *map(str, depths)]) for depths in SHALLOW[name]} <= set(MODELS)


def test_figures_name_everything_that_is_extended() -> None:
    assert set(figures(TOLD)) >= {"export_cpu_s", "peak_anonymous_gib", "weights_gib"}


def test_the_watch_ends_with_the_first_part() -> None:
    watch = Watch()
    for phase in ("load", "graph", "load", "graph"):
        watch.note(Progress(phase, 0, 4))
    found, cpu = watch.seconds(watch.times[-1][1]), watch.cpu_seconds(watch.times[-1][2])
    assert list(found) == list(cpu) == ["load", "graph"]
    assert min(*found.values(), *cpu.values()) >= 0
    assert watch.most["peak_bytes"] >= watch.most["anonymous_bytes"] > 0


def test_a_hollow_folder_has_a_header_of_every_tensor_and_takes_no_disk(tmp_path: Path) -> None:
    config = {"num_attention_heads": 2, "attention_head_dim": 4096, "num_layers": 1}
    hollow(Model("wide", "DiTPipeline", "DiTTransformer2DModel", config, 256), tmp_path / "wide")
    (path,) = (tmp_path / "wide" / "transformer").glob("*.safetensors")
    tensors = read_header(path)
    assert sum(tensor.nbytes for tensor in tensors.values()) > 2**30
    assert path.stat().st_blocks * 512 < 2**20
    assert torch.Size(tensors["pos_embed.proj.weight"].shape)[0] == 8192
