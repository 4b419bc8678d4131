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
WAYS = [("7.5",), ("12.0",), ("8.6", "8.9")]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_portable_engine_in_float16(once, tmp_path, name):
    out = tmp_path / "rtx.bundle"
    made = compile_bundle(family_bundle(once, name), out, options=CompileOptions((PORTABLE,)))
    bundle = Bundle.open(out)
    bundle.verify_all()
    (engines,) = bundle.manifest.engines.values()
    assert set(engines.graphs) == set(bundle.card.components)
    denoiser = engines.graphs["denoiser"]
    assert denoiser.dtype == "float16"
    sizes = {axis for profile in denoiser.profiles for axis in profile.axes} - {"lanes"}
    assert sizes  # families are compiled at two sizes
    assert profile_buckets(denoiser.profiles) == tuple(range(1, 17))
    forms = [each for each in made.parity if each.graph == "tensorrt-rtx-float16 graph"]
    assert any(each.component == "denoiser" for each in forms)
    assert all(each.relative_error <= BOUNDS["float16"] for each in forms)


@pytest.mark.parametrize("capabilities", WAYS, ids="+".join)
@pytest.mark.parametrize("name", ["sd1", "dit"])
def test_engines_for_some_gpus_are_the_same_twice(once, tmp_path, name, capabilities):
    target = TensorRtRtx("bfloat16")
    options = CompileOptions((target,), engines=EngineOptions(capabilities=capabilities))
    digests = []
    for number in range(2):
        out = tmp_path / f"{number}.bundle"
        compile_bundle(family_bundle(once, name), out, options=options)
        manifest = Bundle.open(out).manifest
        (engines,) = manifest.engines.values()
        assert engines.capabilities == capabilities
        digests.append({name: manifest.files[each.path] for name, each in engines.graphs.items()})
    assert digests[0] == digests[1]
