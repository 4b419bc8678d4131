"""What engines are asked for, against what can be compiled here: refused before work starts."""

from __future__ import annotations

from denoisert.export.options import CompileOptions, EngineOptions
from denoisert.runtime.bundle.card import Card
from denoisert.runtime.bundle.sizes import pixel_size, pixel_sizes
from denoisert.runtime.engines.here import EXTRAS, version_of
from denoisert.runtime.engines.target import EngineTarget
from denoisert.runtime.engines.tensorrt.binding import BINDINGS
from denoisert.runtime.errors import BuildError, InvalidInput


def check_demand(card: Card, options: CompileOptions) -> None:
    """Refuse what no compiler here can do.

    Args:
        card: of the model, with the sizes that are compiled.
        options: targets and how their engines are built.

    Raises:
        InvalidInput: a static size that is none of the card's, or choices that no target takes.
        BuildError: a target's library is not installed, or does not know a capability.
    """
    _check_installed(options.targets)
    _check_capabilities(options.targets, options.engines.capabilities)
    _check_static(card, options.targets, options.engines)


def _check_installed(targets: tuple[EngineTarget, ...]) -> None:
    for target in targets:
        if version_of(target) is None:
            raise BuildError(
                f"compiling for {target.name} needs its library, which is not installed. Run: pip "
                f"install 'denoisert[{EXTRAS[target.name]}]'"
            )


def _check_capabilities(targets: tuple[EngineTarget, ...], wanted: tuple[str, ...]) -> None:
    bindings = [BINDINGS[target.name] for target in targets if target.name in BINDINGS]
    if wanted and not bindings:
        raise InvalidInput(
            f"capability {', '.join(wanted)}: none of the targets {_names(targets)} compiles for a "
            f"GPU's capability, {' and '.join(BINDINGS)} do. Leave it out, or add one of them."
        )
    for binding in bindings:
        binding.check_capabilities(wanted)


def _check_static(card: Card, targets: tuple[EngineTarget, ...], engines: EngineOptions) -> None:
    if engines.static and all(target.name not in BINDINGS for target in targets):
        raise InvalidInput(
            f"static {_size(engines.static[0])}: engines of {_names(targets)} have no profiles, "
            f"those of {' and '.join(BINDINGS)} do. Leave it out, or add one of them."
        )
    known = [pixel_size(card, layout) for layout in card.layouts]
    for size in engines.static:
        if size not in known:
            raise InvalidInput(
                f"static {_size(size)} is none of the sizes that are compiled, "
                f"{pixel_sizes(card)}. Give it as a --size, too."
            )


def _names(targets: tuple[EngineTarget, ...]) -> str:
    return ", ".join(target.name for target in targets)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
