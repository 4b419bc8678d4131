"""The engines of one device: what its loop and its codec own, in memory from their first use on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.codec.decoder import Decoder
from denoisert.runtime.codec.encoder import PictureEncoder
from denoisert.runtime.conditioner import CONDITIONER, Conditioner
from denoisert.runtime.devices.device import Device
from denoisert.runtime.devices.numpy import NumpyDevice
from denoisert.runtime.engines.choice import Choice
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.engine import fixed
from denoisert.runtime.engines.loading import DENOISER, components, defer
from denoisert.runtime.engines.resident import DeferredEngine, Resident
from denoisert.runtime.engines.target import CPU, GRAPHS, Target, Torch
from denoisert.runtime.errors import Incompatible
from denoisert.runtime.phase import Phase
from denoisert.runtime.text.cache import PromptCache
from denoisert.runtime.text.encoder import PromptEncoder, Texts, outputs_of
from denoisert.runtime.text.tokenizer import Tokenizer

DECODER = "decoder"
ENCODER = "encoder"


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Everything that computes on one device.

    Args:
        denoisers: for the loop, one for each layout; the first is that of a request without a size.
        texts: text encoders, None where the network takes no text.
        decoder: from latents to pictures, None where latents are pictures or nothing.
        encoder: from pictures to latents, None where the bundle has none.
        device: where the pool lives.
        residents: the engines by phase, as far as they come into memory when they are first used.
        conditioner: from conditions to what the denoiser is fed; None where that is the same.
    """

    denoisers: tuple[Denoiser, ...]
    texts: Texts | None = None
    decoder: Decoder | None = None
    encoder: PictureEncoder | None = None
    device: Device = field(default_factory=NumpyDevice)
    residents: Mapping[Phase, tuple[Resident, ...]] = field(default_factory=dict)
    conditioner: Conditioner | None = None

    @property
    def has_codec(self) -> bool:
        """Whether there is anything for a codec to do."""
        parts = (self.texts, self.conditioner, self.decoder, self.encoder)
        return any(part is not None for part in parts)

    def forget(self, phase: Phase) -> None:
        """Drop what is bound to the engines of a codec phase, so that they can leave memory."""
        parts = {
            Phase.TEXT: (self.texts, self.conditioner),
            Phase.CODEC: (self.decoder, self.encoder),
        }
        for each in parts.get(phase, ()):
            if each is not None:
                each.forget()


def load_components(
    bundle: Bundle,
    choices: Sequence[Choice],
    threads: int,
    prompts: PromptCache,
    cache: Path | None = None,
) -> list[Components]:
    """Check everything, once per device; weights are verified and loaded at their first use.

    Args:
        bundle: the opened bundle.
        choices: of each device.
        threads: intra-op threads of each engine.
        prompts: encoded ones, shared by all devices.
        cache: folder of the device profile.

    Returns:
        One set of engines per device.

    Raises:
        Incompatible: the bundle lacks a component that its card speaks of, or there is no such
            device.
        BuildError: no engine could have the ports that the manifest lists.
        Tampered: a graph differs from the manifest.
    """
    return [
        _load(bundle, choice, partial(defer, threads=threads, cache=cache), prompts)
        for choice in choices
    ]


def load_tokenizers(bundle: Bundle) -> dict[str, Tokenizer]:
    """The tokenizers of a bundle's text encoders, by name.

    Raises:
        Incompatible: a tokenizer cannot be read.
        Tampered: its file differs from the manifest.
    """
    return {
        text.name: Tokenizer(bundle.verified(text.tokenizer), text) for text in bundle.card.texts
    }


def _load(
    bundle: Bundle, choice: Choice, defer: Callable[..., DeferredEngine], prompts: PromptCache
) -> Components:
    card, coder = bundle.card, bundle.card.autoencoder
    device = load_device(choice.target)
    engine = partial(defer, bundle, choice)
    texts = {text.name: engine(text.name) for text in card.texts}
    denoiser = engine(DENOISER)
    has_conditioner = CONDITIONER in components(bundle, choice)
    conditioner = engine(CONDITIONER) if has_conditioner else None
    decoder = None if coder is None else engine(DECODER)
    encoder = engine(ENCODER) if coder is not None and coder.has_encoder else None
    denoisers = Denoiser.of(denoiser, card)
    return Components(
        denoisers,
        _texts(texts, card, prompts) if texts else None,
        None if decoder is None else Decoder(decoder, card),
        None if encoder is None else PictureEncoder(encoder, card),
        device,
        {
            Phase.TEXT: _residents([*texts.values(), conditioner]),
            Phase.DENOISER: _residents([denoiser]),
            Phase.CODEC: _residents([decoder, encoder]),
        },
        _conditioner(conditioner, denoisers[0]),
    )


def _conditioner(engine: DeferredEngine | None, denoiser: Denoiser) -> Conditioner | None:
    told = [entry.name for entry in denoiser.conditions]
    wanted = [port.name for port in denoiser.banked]
    if engine is not None:
        return Conditioner(fixed(engine, {}, CONDITIONER), told, wanted)
    missing = sorted(set(wanted) - set(told))
    if missing:
        raise Incompatible(
            f"the denoiser takes {missing}, which no condition of its card feeds, and the bundle "
            f"has no {CONDITIONER!r}. Compile the model again."
        )
    return None


def _residents(engines: Iterable[DeferredEngine | None]) -> tuple[Resident, ...]:
    return tuple(engine.resident for engine in engines if engine is not None)


def load_device(target: Target) -> Device:
    """Where a target's pool lives; torch is imported only where CUDA is asked for.

    Raises:
        Incompatible: there is no such device.
    """
    if target.device == CPU:
        return NumpyDevice()
    from denoisert.runtime.devices.torch import TorchDevice

    graphs = target.graphs if isinstance(target, Torch) else GRAPHS
    return TorchDevice(target.device, graphs)


def _texts(engines: Mapping[str, DeferredEngine], card: Card, prompts: PromptCache) -> Texts:
    encoders = {}
    for text in card.texts:
        engine = fixed(engines[text.name], {}, text.name)
        encoders[text.name] = PromptEncoder(engine, text, outputs_of(text, card.conditions))
    return Texts(encoders, prompts)
