"""One command compiles a file, and the bundle is that of the folder it was written from."""

from dataclasses import replace

import pytest

from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.cli import main
from tests.export.families.bundles import family_bundle
from tests.export.families.folders import FAMILIES, family_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # two compilations
    pytest.mark.filterwarnings("ignore"),
]


def command(name, folder, original, once):
    """Compile a family's file at its two sizes."""
    sizes = [f"--size={height}x{width}" for height, width in FAMILIES[name].sizes]
    config = family_folder(once, name)
    words = ["compile", original(name), "--config", config, "-o", folder, *sizes]
    return main([str(word) for word in words])


@pytest.mark.parametrize("name", ["sd1", "sdxl"])
def test_the_bundle_is_that_of_the_folder(name, original, once, tmp_path, capsys):
    """Graphs, engines, tokenizers and weights are equal byte for byte, so every picture is."""
    assert command(name, tmp_path / "bundle", original, once) == 0
    assert f"note: {name}.safetensors holds" in capsys.readouterr().out
    found, wanted = Bundle.open(tmp_path / "bundle"), Bundle.open(family_bundle(once, name))
    assert found.manifest.files == wanted.manifest.files
    assert found.manifest.graphs == wanted.manifest.graphs
    assert found.card == replace(wanted.card, name=name)
    assert command(name, tmp_path / "bundle", original, once) == 0
    assert "unchanged, nothing to do" in capsys.readouterr().out
