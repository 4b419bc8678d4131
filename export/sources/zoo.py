"""A zoo folder: `config.json` names the architecture, `weights.safetensors` fills it, `card.json`.

Weights come from safetensors only: a pickled checkpoint runs code when it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from denoisert.export.fingerprint import Fingerprint
from denoisert.export.need import Part
from denoisert.export.sources.source import CARD_NAME, Loaded, read_card
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.document import parse
from denoisert.runtime.bundle.weights import Tensor, read_header
from denoisert.runtime.engines.loading import DENOISER
from denoisert.runtime.errors import ExportError, InvalidInput

if TYPE_CHECKING:
    from torch import nn

    from denoisert.export.zoo import DigitsDiT

CONFIG_NAME: Final = "config.json"
WEIGHTS_NAME: Final = "weights.safetensors"
DIFFUSERS_INDEX: Final = "model/model_index.json"
PICKLED: Final = (".bin", ".ckpt", ".pkl", ".pickle", ".pt", ".pth")
ZOO: Final = Path(__file__).parent.parent / "zoo"


def zoo_names() -> list[str]:
    """Names of the models that come with the compiler."""
    own = [path.parent.name for path in ZOO.glob(f"*/{CONFIG_NAME}")]
    return sorted([*own, *(path.parents[1].name for path in ZOO.glob(f"*/{DIFFUSERS_INDEX}"))])


def zoo_folder(name: str) -> Path:
    """Where a model of `zoo_names` lies: its own folder, or the diffusers folder inside it."""
    index = ZOO / name / DIFFUSERS_INDEX
    return index.parent if index.is_file() else ZOO / name


def refuse_pickle(path: Path) -> None:
    """Refuse a checkpoint that would have to be unpickled.

    Raises:
        ExportError: by its suffix.
    """
    if path.suffix.lower() in PICKLED:
        raise ExportError(
            f"{path.name} is a pickled checkpoint, and reading it could run any code. Save the "
            "weights with safetensors.torch.save_file, or pass the torch module from Python."
        )


class ZooFolder:
    """A model in a folder.

    Args:
        folder: holds `config.json`, `weights.safetensors` and, without `card`, `card.json`.
        card: instead of the folder's.

    Raises:
        ExportError: a file is missing or the weights are pickled.
        InvalidInput: the card is none.
    """

    def __init__(self, folder: Path, card: Card | None = None) -> None:
        self.folder = folder
        self._check_files()
        self.card = read_card(folder / CARD_NAME) if card is None else card

    @property
    def parts(self) -> tuple[Part, ...]:
        """One, whose weights are copied from their file."""
        size = (self.folder / WEIGHTS_NAME).stat().st_size
        return (Part(DENOISER, size, size),)

    def fingerprint(self) -> str:
        """Digest of configuration and weights; the architecture's code counts as the compiler's."""
        digest = Fingerprint()
        for name in (CONFIG_NAME, WEIGHTS_NAME):
            digest.add_file(name, self.folder / name)
        return digest.hexdigest()

    def load(self) -> Loaded:
        """Build the network, fill it and trace it.

        Raises:
            ExportError: an unknown architecture, or weights that do not fit.
        """
        from denoisert.export.sources.module import TorchModule

        return TorchModule(self.build(), self.card).load()

    def build(self) -> nn.Module:
        """The network with its weights.

        Raises:
            ExportError: an unknown architecture, or weights that do not fit.
            Tampered: the weights file is damaged.
        """
        from safetensors.torch import load_file

        from denoisert.export.zoo import ARCHITECTURES

        architecture, config = self._config()
        if architecture not in ARCHITECTURES:
            raise ExportError(
                f"{CONFIG_NAME} asks for the architecture {architecture!r}; this version has "
                f"{', '.join(ARCHITECTURES)}. Compile the torch module from Python instead."
            )
        path = self.folder / WEIGHTS_NAME
        network = ARCHITECTURES[architecture]
        check_weights(_skeleton(network, config), read_header(path))
        module: nn.Module = network.from_config(config)
        module.load_state_dict(load_file(path), strict=True)
        return module

    def _config(self) -> tuple[str, Mapping[str, Any]]:
        data = parse((self.folder / CONFIG_NAME).read_bytes(), CONFIG_NAME)
        if not isinstance(data, dict) or data.keys() != {"architecture", "config"}:
            found = sorted(data) if isinstance(data, dict) else type(data).__name__
            raise InvalidInput(
                f"{CONFIG_NAME} needs exactly the keys architecture and config; found {found}."
            )
        if not isinstance(data["architecture"], str) or not isinstance(data["config"], dict):
            raise InvalidInput(f"{CONFIG_NAME}: architecture is a text and config an object.")
        return data["architecture"], data["config"]

    def _check_files(self) -> None:
        if not (self.folder / WEIGHTS_NAME).is_file():
            for path in sorted(self.folder.iterdir()):
                refuse_pickle(path)
        for name in (CONFIG_NAME, WEIGHTS_NAME):
            if not (self.folder / name).is_file():
                found = sorted(path.name for path in self.folder.iterdir())
                raise ExportError(
                    f"{self.folder} has no {name}; a zoo folder needs {CONFIG_NAME}, "
                    f"{WEIGHTS_NAME} and {CARD_NAME}. Found {found}."
                )


def check_weights(skeleton: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Compare a weights file with the network that its configuration describes.

    Args:
        skeleton: the network without storage.
        tensors: the file's header.

    Raises:
        ExportError: a tensor is missing, too much, of another shape or not float.
    """
    wanted = skeleton.state_dict()
    missing, extra = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    if missing or extra:
        raise ExportError(
            f"{WEIGHTS_NAME} does not fit {CONFIG_NAME}: missing {missing[:5]}, unknown "
            f"{extra[:5]}. Use the configuration that the weights were trained with."
        )
    for name, value in wanted.items():
        found, shape = tensors[name], tuple(value.shape)
        if found.shape != shape or ("float" in found.dtype) != value.is_floating_point():
            raise ExportError(
                f"{name} is {found.dtype} {found.shape} in {WEIGHTS_NAME} and {value.dtype} "
                f"{shape} by {CONFIG_NAME}. Use the configuration that it was trained with."
            )


def _skeleton(network: type[DigitsDiT], config: Mapping[str, Any]) -> nn.Module:
    """The network without storage, so that absurd sizes cost nothing."""
    import torch

    try:
        with torch.device("meta"):
            module: nn.Module = network.from_config(config)
    except (TypeError, RuntimeError) as error:
        raise ExportError(f"{CONFIG_NAME} does not describe this network: {error}.") from error
    return module
