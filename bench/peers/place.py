"""The folder in which a comparison works, and how a peer is started from it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.peers.environment import python
from bench.peers.provider import Provider


@dataclass(frozen=True, slots=True)
class Place:
    """The folder in which a comparison works.

    Args:
        root: holds the environments, and a folder a model.
        model: whose folder: what each peer loads, the noise, the pictures and the logs.
    """

    root: Path
    model: str

    @property
    def own(self) -> Path:
        """The folder of the model."""
        return self.root / self.model

    @property
    def noise(self) -> Path:
        """Start noise by seed."""
        return self.own / "noise.npz"

    def environment(self, name: str) -> Path:
        """A virtual environment, by the name of its list of requirements."""
        return self.root / f"venv-{name}"

    def files(self, kind: str) -> Path:
        """A folder that peers load: "model", "onnx", "openvino" or "bundle"."""
        return self.own / "files" / kind

    def pictures(self, provider: str, task: str) -> Path:
        """What a provider drew for a task."""
        return self.own / "pictures" / f"{provider.replace(' ', '-')}-{task}.npz"

    def log(self, name: str) -> Path:
        """Where the standard error of somebody goes."""
        return self.own / f"log-{name.replace(' ', '-')}.txt"

    def command(self, provider: Provider, task: str) -> list[str]:
        """The command line of a peer's process."""
        interpreter = str(python(self.environment(provider.environment)))
        return [
            *(interpreter, "-m", f"bench.peers.peer_{provider.peer}"),
            *("--folder", str(self.files(provider.files)), "--noise", str(self.noise)),
            *("--form", provider.form, "--task", task),
        ]

    def surroundings(self) -> Mapping[str, str]:
        """The environment variables of a peer: nothing is fetched, compiled code is kept here."""
        kept = {"TORCHINDUCTOR_CACHE_DIR": str(self.own / "inductor"), "HF_HUB_OFFLINE": "1"}
        return {**os.environ, **kept}
