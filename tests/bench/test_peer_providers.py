"""Who is compared with whom: every provider has a module, a form, an environment and a dtype."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from bench.peers import peer_denoisert, prepare
from bench.peers.place import Place
from bench.peers.provider import (
    ENVIRONMENTS,
    PEERS,
    PROVIDERS,
    REFERENCE,
    REQUIREMENTS,
    TARGETS,
    WITH_CLASSES,
    Provider,
    offered,
    ours,
)
from denoisert.runtime.engines.target import engine_key, target_of_key
from denoisert.runtime.measure.against import OURS

ROOT = Path(__file__).parents[2]

LIBRARIES = {
    "diffusers": ("torch", "diffusers", "transformers"),
    "openvino_genai": ("openvino-genai", "openvino-tokenizers"),
    "optimum_onnx": ("torch", "optimum-onnx", "onnxruntime"),
    "optimum_intel": ("torch", "optimum-intel", "openvino"),
    "denoisert": ("numpy", "onnxruntime", "tokenizers", "pillow"),
    "denoisert_openvino": ("numpy", "openvino", "tokenizers", "pillow"),
}


def test_every_provider_has_a_module_a_form_and_requirements():
    for provider in PROVIDERS:
        module = import_module(f"bench.peers.peer_{provider.peer}")
        assert provider.form in module.FORMS
        assert (REQUIREMENTS / f"{provider.environment}.txt").exists()
    assert len({each.name for each in PROVIDERS}) == len(PROVIDERS)
    assert {OURS, REFERENCE} <= {each.name for each in PROVIDERS}
    assert prepare.writers(PROVIDERS) == {
        "bundle": "denoisert",
        "openvino": "optimum_intel",
        "onnx": "optimum_onnx",
    }


def test_ours_is_opened_on_every_target_that_its_bundle_was_compiled_for():
    assert [engine_key(target) for target in TARGETS] == list(peer_denoisert.FORMS)
    assert [target_of_key(key) for key in peer_denoisert.FORMS] == list(TARGETS)
    mine = [each for each in PROVIDERS if each.peer == OURS]
    assert [(each.form, each.dtype) for each in mine] == [
        (engine_key(target), target.dtype) for target in TARGETS
    ]
    assert {each.dtype for each in mine} == {"float32", "bfloat16", "int8"}
    assert ours(TARGETS[0]).environment == OURS
    lines = (REQUIREMENTS / "denoisert_openvino.txt").read_text()
    assert "onnxruntime" not in lines  # what is weighed is what a target needs


def test_half_precision_is_named_as_such():
    for provider in PROVIDERS:
        assert (provider.dtype == "bfloat16") == provider.name.endswith("bfloat16")


@pytest.mark.parametrize(
    ("kind", "peers"),
    [("StableDiffusionPipeline", set(PEERS)), ("DiTPipeline", set(WITH_CLASSES))],
)
def test_a_model_of_classes_is_left_to_those_that_have_a_pipeline_for_it(tmp_path, kind, peers):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": kind}))
    assert {each.peer for each in offered(tmp_path)} == peers


@pytest.mark.parametrize("peer", ENVIRONMENTS)
def test_requirements_are_exact_and_without_what_breaks(peer):
    lines = (REQUIREMENTS / f"{peer}.txt").read_text().splitlines()
    names = {line.split("==")[0].lower() for line in lines}
    assert all(line.count("==") == 1 for line in lines)
    assert names >= set(LIBRARIES[peer])
    assert "torchvision" not in names
    assert not [name for name in names if name.startswith("nvidia")]
    assert ("torch==2.13.0" in lines) == ("torch" in LIBRARIES[peer])


def test_no_peer_imports_a_library_before_it_loads():
    named = ", ".join(f"bench.peers.peer_{peer}" for peer in PEERS)
    code = f"import sys, {named}; print({{'numpy', 'torch', 'openvino'}} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_commands_name_the_environment_of_the_peer(tmp_path):
    provider, place = Provider("a b", "diffusers", "bfloat16", "model", ""), Place(tmp_path, "dit")
    command = place.command(provider, "cold")
    assert command[0].startswith(str(tmp_path / "venv-diffusers"))
    assert command[-3:] == ["bfloat16", "--task", "cold"]
    assert str(tmp_path / "dit" / "files" / "model") in command
    assert " " not in place.pictures(provider.name, "one").name
    assert place.surroundings()["HF_HUB_OFFLINE"] == "1"
    mine = place.command(ours(TARGETS[1]), "cold")
    assert mine[0].startswith(str(tmp_path / "venv-denoisert_openvino"))
    assert mine[1:3] == ["-m", "bench.peers.peer_denoisert"]
