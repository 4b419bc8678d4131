"""Files of whole models under their authors' names, one for each family and run."""

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from denoisert.export import CompileOptions
from denoisert.export.compile import find_source
from tests.export.families.folders import family_folder
from tests.export.families.oracles import opened
from tests.export.original import authors

WRITERS = {
    "sd1": authors.stable_diffusion_1,
    "sd2": authors.stable_diffusion_2,
    "sdxl": authors.stable_diffusion_xl,
    "sdxl_refiner": authors.refiner,
    "sd3": authors.stable_diffusion_3,
    "sd35": authors.stable_diffusion_3,
    "flux_dev": authors.flux,
    "flux_schnell": authors.flux,
}
"""Family -> what writes its file."""


@pytest.fixture(scope="session")
def original(once):
    """Family -> path of its file; copy it to change it."""

    def write(name, folder):
        state = WRITERS[name](opened(family_folder(once, name)))
        save_file(authors.below("", state), folder / f"{name}.safetensors")

    def of(name):
        made = once(f"original-{name}", lambda folder: write(name, folder))
        return made / f"{name}.safetensors"

    return of


@pytest.fixture
def source(once):
    """(file, name of its family or configuration folder) -> the source that is compiled."""

    def of(path, config):
        folder = config if isinstance(config, Path) else family_folder(once, config)
        return find_source(path, None, CompileOptions(config=str(folder)))

    return of


@pytest.fixture
def changed(original, tmp_path):
    """(family, keys to change -> tensors, None to remove) -> path of another file."""

    def of(name, changes):
        tensors = load_file(original(name)) | changes
        path = tmp_path / "changed.safetensors"
        save_file({key: value for key, value in tensors.items() if value is not None}, path)
        return path

    return of
