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
        root: holds an environment a peer, what each of them loads, the noise and the logs.
    """

    root: Path

    @property
    def noise(self) -> Path:
        """Start noise by seed."""
        return self.root / "noise.npz"

    def environment(self, peer: str) -> Path:
        """The virtual environment of a peer."""
        return self.root / f"venv-{peer}"

    def files(self, kind: str) -> Path:
        """A folder that peers load: "model", "onnx", "openvino" or "bundle"."""
        return self.root / "files" / kind

    def pictures(self, provider: str, task: str) -> Path:
        """What a provider drew for a task."""
        return self.root / "pictures" / f"{provider.replace(' ', '-')}-{task}.npz"

    def command(self, provider: Provider, task: str) -> list[str]:
        """The command line of a peer's process."""
        interpreter = str(python(self.environment(provider.peer)))
        return [
            *(interpreter, "-m", f"bench.peers.peer_{provider.peer}"),
            *("--folder", str(self.files(provider.files)), "--noise", str(self.noise)),
            *("--form", provider.form, "--task", task),
        ]

    def surroundings(self) -> Mapping[str, str]:
        """The environment variables of a peer: nothing is fetched, compiled code is kept here."""
        kept = {"TORCHINDUCTOR_CACHE_DIR": str(self.root / "inductor"), "HF_HUB_OFFLINE": "1"}
        return {**os.environ, **kept}
