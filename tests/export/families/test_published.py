"""Configurations as the folders of well-known models have them, with every key that is in the way.

Written down by hand in `published.json`, without weights and tokenizers: nulls, keys of earlier
versions and of other classes, components without a part in a bundle.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from denoisert.export.families.family import Material
from denoisert.export.families.table import family_of
from denoisert.export.sources.diffusers.folder import read_folder
from denoisert.export.sources.diffusers.keys import check_keys
from denoisert.export.sources.diffusers.networks import build_skeleton
from denoisert.export.sources.diffusers.tokens import Tokens
from denoisert.runtime.sampling.guidance import CFG, EmbeddedGuidance, Guidance, Unguided
from denoisert.runtime.sampling.solvers import (
    DDIM,
    DDPM,
    LCM,
    PLMS,
    ConsistencyMultistep,
    DPMpp2M,
    Euler,
    EulerAncestral,
    FlowEuler,
)

PUBLISHED = json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))
CLIP = Tokens(b"{}", length=77, size=49408, start=(49406,), end=(49407,), pad=49407)
T5 = Tokens(b"{}", length=512, size=32100, start=(), end=(1,), pad=0)

EXPECTED: dict[str, tuple[tuple[int, ...], type, int, Guidance]] = {
    "sd15": ((4, 64, 64), PLMS, 25, CFG(7.5)),
    "sd21": ((4, 96, 96), DDIM, 25, CFG(7.5)),
    "sd_turbo": ((4, 64, 64), Euler, 4, Unguided()),
    "sdxl": ((4, 128, 128), Euler, 25, CFG(5.0)),
    "sdxl_turbo": ((4, 64, 64), EulerAncestral, 4, Unguided()),
    "sdxl_refiner": ((4, 128, 128), Euler, 25, CFG(5.0)),
    "sdxl_inpaint": ((4, 128, 128), Euler, 25, CFG(7.5)),
    "sd3_medium": ((16, 128, 128), FlowEuler, 28, CFG(7.0)),
    "sd35_medium": ((16, 128, 128), FlowEuler, 28, CFG(7.0)),
    "flux_dev": ((16, 128, 128), FlowEuler, 28, EmbeddedGuidance(3.5)),
    "flux_schnell": ((16, 128, 128), FlowEuler, 4, Unguided()),
    "pixart_1024": ((4, 128, 128), DPMpp2M, 25, CFG(4.5)),
    "pixart_512": ((4, 64, 64), DPMpp2M, 25, CFG(4.5)),
    "pixart_sigma": ((4, 128, 128), DPMpp2M, 25, CFG(4.5)),
    "dit_256": ((4, 32, 32), DDIM, 25, CFG(4.0)),
    "lcm_dreamshaper": ((4, 64, 64), LCM, 4, EmbeddedGuidance(8.5)),
    "ddpm_cifar10": ((3, 32, 32), DDPM, 250, Unguided()),
    "cd_imagenet64": ((3, 64, 64), ConsistencyMultistep, 1, Unguided()),
}
"""Name -> latent, solver, steps and guidance of its card."""


def write(name: str, root: Path) -> Path:
    """The folder of a model, with empty configurations of its tokenizers."""
    model: dict[str, Any] = PUBLISHED["models"][name]
    (root / "model_index.json").write_text(json.dumps(model["index"]), encoding="utf-8")
    parts = {key: PUBLISHED["configurations"][meant] for key, meant in model["parts"].items()}
    tokenizers = [key for key, value in model["index"].items() if _is_tokenizer(key, value)]
    for key, config in (parts | {key: {} for key in tokenizers}).items():
        kind = {"scheduler": "scheduler_config", **dict.fromkeys(tokenizers, "tokenizer_config")}
        (root / key).mkdir()
        path = root / key / f"{kind.get(key, 'config')}.json"
        path.write_text(json.dumps(config), encoding="utf-8")
    return root


def _is_tokenizer(key: str, value: object) -> bool:
    return key.startswith("tokenizer") and value != [None, None]


def material(root: Path) -> Material:
    folder = read_folder(root)
    texts = {key: part.class_name for key, part in folder.components.items() if "text" in key}
    tokens = {key: T5 if "T5" in kind else CLIP for key, kind in texts.items()}
    return Material(folder, tokens=tokens)


def test_every_model_has_an_expectation() -> None:
    assert PUBLISHED["models"].keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_the_card_of_a_published_model(name: str, tmp_path: Path) -> None:
    given = material(write(name, tmp_path))
    family = family_of(given.folder.class_name)
    card = family.card(given, family.sampling(given))
    solver = getattr(card.sampler.solver, "solver", card.sampler.solver)
    shape = card.layout.parts[0].shape
    assert (shape, type(solver), card.sampler.steps, card.sampler.guidance) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_no_setting_of_a_published_model_is_foreign(name: str, tmp_path: Path) -> None:
    for key, part in material(write(name, tmp_path)).parts.items():
        if not key.startswith(("scheduler", "tokenizer")):
            check_keys(part, build_skeleton(part))
