"""Compiled toys, and a runtime on one whose engine is watched."""

from pathlib import Path

from denoisert.export import compile_bundle
from denoisert.runtime.bundle.card import Recommended, Training
from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.codec.decoder import Decoder
from denoisert.runtime.codec.encoder import PictureEncoder
from denoisert.runtime.components import DECODER, ENCODER, Components
from denoisert.runtime.engines.choice import choose
from denoisert.runtime.engines.denoiser import Denoiser
from denoisert.runtime.engines.loading import DENOISER, load
from denoisert.runtime.options import Options
from denoisert.runtime.runtime import Runtime
from denoisert.runtime.sampling.parametrisation import Parametrisation
from denoisert.runtime.sampling.schedules import ScaledLinear, Trailing
from denoisert.runtime.sampling.solvers import DDIM
from denoisert.runtime.text.cache import CACHE_BYTES, PromptCache
from denoisert.runtime.text.encoder import PromptEncoder, Texts, outputs_of
from tests.runtime.networks import Toy
from tests.runtime.spies import Spy

NOISE_TRAINING = Training(Parametrisation.EPS, ScaledLinear())
NOISE_SAMPLER = Recommended(DDIM(), Trailing(), 5)


CODEC = ("text_encoder", DECODER, ENCODER)


def compiled(toy: Toy, folder: Path, **card: object) -> Path:
    """The toy as a bundle in a folder of its own; keyword arguments replace fields of its card."""
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "toy.bundle"
    compile_bundle(toy.save(folder), out, card=toy.card(**card))
    return out


def watched(
    path: Path,
    *,
    slots: int = 8,
    queue: int = 64,
    memory_bytes: int | None = None,
    **spy: object,
) -> tuple[Runtime, Spy]:
    """A runtime as `Runtime.open` makes it, with a spy for its engine."""
    bundle = Bundle.open(path)
    card, choice = bundle.card, choose(bundle)
    engine = Spy(load(bundle, choice, DENOISER, 1), **spy)
    components = Components(Denoiser.of(engine, card))
    return Runtime(
        bundle, choice, [components], Options(slots, queue, memory_bytes=memory_bytes)
    ), engine


def watched_codec(path: Path, **options: object) -> tuple[Runtime, dict[str, Spy]]:
    """A runtime on a text bundle with a spy for every engine of its codec, by component."""
    bundle = Bundle.open(path)
    card, choice, prompts = bundle.card, choose(bundle), PromptCache(CACHE_BYTES)
    (text,) = card.texts
    spies = {name: Spy(load(bundle, choice, name, 1)) for name in CODEC}
    encoder = PromptEncoder(spies[text.name], text, outputs_of(text, card.conditions))
    engine = load(bundle, choice, DENOISER, 1)
    components = Components(
        Denoiser.of(engine, card),
        Texts({text.name: encoder}, prompts),
        Decoder(spies[DECODER], card),
        PictureEncoder(spies[ENCODER], card),
    )
    return Runtime(bundle, choice, [components], Options(**options), prompts=prompts), spies
