"""Import any sampler written for diffusers or k-diffusion by running it once on coordinates.

from denoisert.export.probe import Probed, probe_function, probe_scheduler
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from denoisert.export.probe.canonical import Start
    from denoisert.export.probe.convention import Convention
    from denoisert.export.probe.probe import probe_function, probe_scheduler, probe_source
    from denoisert.export.probe.probed import Probed

__all__ = ["Convention", "Probed", "Start", "probe_function", "probe_scheduler", "probe_source"]

_HOMES = {"Convention": "convention", "Probed": "probed", "Start": "canonical"}


def __getattr__(name: str) -> object:
    """Resolve a public name at its first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'probe')}"), name)
