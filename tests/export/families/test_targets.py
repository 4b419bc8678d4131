"""Every family's smallest case compiles for TensorRT for RTX; two of them in every way."""

import pytest

from denoisert.export import CompileOptions, compile_bundle
from denoisert.export.options import EngineOptions
from denoisert.export.parity import BOUNDS
from denoisert.runtime import TensorRtRtx
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.engines.profile import profile_buckets
from tests.export.families.bundles import family_bundle
from tests.export.families.folders import FAMILIES

pytestmark = pytest.mark.slow

PORTABLE = TensorRtRtx("float16")
# 7.5 has no bfloat16, and no float32 products with weights: a network that keeps some cannot go
# there.
WAYS = [
    ("digits", "float16", "7.5"),
    ("digits", "bfloat16", "12.0"),
    ("tiny", "float16", "7.5"),
    ("tiny", "bfloat16", "12.0"),
    ("sd1", "bfloat16", "12.0"),
    ("dit", "bfloat16", "12.0"),
]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_portable_engine_in_float16(once, tmp_path, name):
    out = tmp_path / "rtx.bundle"
    made = compile_bundle(family_bundle(once, name), out, options=CompileOptions((PORTABLE,)))
    bundle = Bundle.open(out)
    bundle.verify_all()
    (engines,) = bundle.manifest.engines.values()
    assert set(engines.graphs) - {"conditioner"} == set(bundle.card.components)
    denoiser = engines.graphs["denoiser"]
    assert denoiser.dtype == "float16"
    sizes = {axis for profile in denoiser.profiles for axis in profile.axes} - {"lanes"}
    assert sizes  # families are compiled at two sizes
    assert profile_buckets(denoiser.profiles) == tuple(range(1, 17))
    forms = [each for each in made.parity if each.graph == "tensorrt-rtx-float16 graph"]
    assert any(each.component == "denoiser" for each in forms)
    assert all(each.relative_error <= BOUNDS["float16"] for each in forms)


@pytest.fixture
def bundle_of(once, digits_bundle, text_bundle):
    """name -> a bundle of the zoo, of a small text model, or of a family."""
    known = {"digits": digits_bundle, "tiny": text_bundle}
    return lambda name: known.get(name) or family_bundle(once, name)


@pytest.mark.parametrize(("name", "dtype", "capability"), WAYS)
def test_engines_for_one_gpu_are_the_same_twice(bundle_of, tmp_path, name, dtype, capability):
    engines = EngineOptions(capabilities=(capability,))
    options = CompileOptions((TensorRtRtx(dtype),), engines=engines)
    digests = []
    for number in range(2):
        out = tmp_path / f"{number}.bundle"
        compile_bundle(bundle_of(name), out, options=options)
        manifest = Bundle.open(out).manifest
        (engines,) = manifest.engines.values()
        assert engines.capabilities == (capability,)
        digests.append({name: manifest.files[each.path] for name, each in engines.graphs.items()})
    assert digests[0] == digests[1]
