"""Makes what the measured run needs: environments, the common folder, noise, every peer's files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.peers.environment import install, make, python
from bench.peers.folder import write_model
from bench.peers.place import Place
from bench.peers.provider import ENVIRONMENTS, ROOT, Provider, offered
from bench.peers.work import SEEDS
from denoisert.kernels.philox import reference
from denoisert.runtime.measure.against import OURS

NETWORKS = ("unet", "transformer")
EXPORT = (
    "import sys, pathlib, bench.peers.peer_{peer} as p; p.export(*map(pathlib.Path, sys.argv[1:]))"
)


def prepare(source: Path, place: Place) -> None:
    """Make everything.

    Args:
        source: a diffusers folder shaped like Stable Diffusion or DiT.
        place: where; environments that are there are kept, what is made of the folder is not.
    """
    for name in ENVIRONMENTS:
        print(f"environment {name}", flush=True)
        make(place.environment(name), name)
    shutil.rmtree(place.own / "files", ignore_errors=True)
    place.own.mkdir(parents=True, exist_ok=True)
    model = place.files("model")
    write_model(source, model)
    write_noise(model, place.noise)
    for files, peer in writers(offered(model)).items():
        if peer != OURS:
            print(f"files {files}", flush=True)
            export(peer, place, model, place.files(files))
    renew(place)


def renew(place: Place) -> None:
    """Install our runtime as it is now, and compile the bundle, unless the same one is there."""
    for name in ENVIRONMENTS:
        if name.startswith(OURS):
            print(f"our runtime in {name}", flush=True)
            install(place.environment(name))
    if place.files("model").exists():
        print("our bundle", flush=True)
        export(OURS, place, place.files("model"), place.files("bundle"))


def writers(providers: Sequence[Provider]) -> dict[str, str]:
    """Which peer writes which files: openvino-genai runs on what optimum-intel writes."""
    return {
        each.files: each.peer
        for each in providers
        if each.files != "model" and each.peer != "openvino_genai"
    }


def export(peer: str, place: Place, model: Path, out: Path) -> None:
    """Write what one peer loads; ours is compiled here, its environment only runs bundles."""
    own = sys.executable if peer == OURS else str(python(place.environment(peer)))
    code = EXPORT.format(peer=peer)
    command = [own, "-c", code, str(model), str(out)]
    with place.log(f"export {peer}").open("w") as log:
        subprocess.run(
            command, cwd=ROOT, env=dict(place.surroundings()), check=True, stdout=log, stderr=log
        )


def write_noise(model: Path, out: Path) -> None:
    """Store the start noise of every seed: our generator's, which all peers are handed.

    Args:
        model: a diffusers folder.
        out: seed -> (C, h, w) float32.
    """
    network = next(model / name for name in NETWORKS if (model / name).is_dir())
    config = json.loads((network / "config.json").read_text())
    shape = (config["in_channels"], config["sample_size"], config["sample_size"])
    count = int(np.prod(shape))
    drawn = {str(seed): reference.normals(seed, draw=0, count=count) for seed in SEEDS}
    np.savez(out, **{seed: each.astype(np.float32).reshape(shape) for seed, each in drawn.items()})
