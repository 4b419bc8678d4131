"""DiT: compiled, and equal to diffusers' pipeline on our noise."""

from dataclasses import replace

import pytest

from denoisert.runtime import CFG, Request, Runtime
from tests.export.families.bundles import ENGINES, assert_equal, changes, difference, family_bundle
from tests.export.families.folders import FAMILIES, family_folder
from tests.export.families.oracles import class_to_image

pytestmark = pytest.mark.filterwarnings("ignore")

DIT = FAMILIES["dit"]
LIVE = 0.1


@pytest.fixture(scope="module")
def folder(once):
    return family_folder(once, "dit")


@pytest.fixture(scope="module")
def bundle(once):
    return family_bundle(once, "dit")


@pytest.fixture(scope="module", params=ENGINES)
def runtime(request, bundle):
    with Runtime.open(bundle, threads=1, devices=(ENGINES[request.param],)) as opened:
        yield opened


@pytest.mark.parametrize("guidance", [0, 1])
@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("told", [0, 1])
def test_classes_to_pictures(told, size, guidance, runtime, folder):
    """Guided on every channel of the latent."""
    asked = DIT.request(told=told, size=size, guidance=guidance)
    assert_equal(runtime.generate(asked), class_to_image(folder, asked))


def test_what_the_card_recommends(runtime, folder):
    """Nothing but a class by its name; the guidance is the pipeline's own default."""
    asked = Request("owl", seed=5, size=(32, 32))
    theirs = class_to_image(
        folder,
        DIT.request(told=1, seed=5, images=1),
        guidance_scale=4.0,
        num_inference_steps=runtime.card.sampler.steps,
    )
    assert_equal(runtime.generate(asked), theirs)


def test_a_scale_of_one_is_no_guidance(runtime):
    plain = runtime.generate(DIT.request())
    found = runtime.generate(replace(DIT.request(), guidance=CFG(1.0)))
    assert difference(plain, found) == 0
    assert found.nfe == 8


@pytest.mark.parametrize("layout", [0, 1])
def test_every_condition_counts(layout, bundle):
    found = changes(bundle, layout)
    assert set(found) == {"time", "label"}
    assert min(found.values()) > LIVE, found
