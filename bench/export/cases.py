"""What is exported: whole models, and two depths of those whose weights do not fit here."""

from __future__ import annotations

from bench.export.models import Model, clip_l, dit, dit_xl2, flux, flux_whole, sd15, sdxl

WHOLE: dict[str, Model] = {"sd15": sd15(), "dit": dit_xl2()}
"""Every layer."""

SHALLOW: dict[str, dict[tuple[int, ...], Model]] = {
    "sdxl": {(1,): sdxl(1), (2,): sdxl(2)},
    "flux": {(1, 1): flux(1, 1), (2, 1): flux(2, 1), (1, 2): flux(1, 2)},
}
"""Model -> depths -> the same model of that depth: one more than there are depths."""

DEPTHS: dict[str, tuple[int, ...]] = {"sdxl": (10,), "flux": (19, 38)}
"""Model -> its own depths."""

BUILT: dict[str, Model] = {
    "dit-40": dit(384, 12),
    "dit-90": dit(640, 12),
    "dit-300": dit(1024, 16),
    "sd15": sd15(),
}
"""Whose engines are compiled: estimates are fitted below 100 M parameters and tried on the rest."""

RELEASED: dict[str, Model] = {"clip": clip_l()}
"""Those whose text encoder comes and goes."""

MODELS: dict[str, Model] = (
    WHOLE
    | BUILT
    | RELEASED
    | {
        "-".join([name, *map(str, depths)]): model
        for name, models in SHALLOW.items()
        for depths, model in models.items()
    }
)

REFUSED: Model = flux_whole()
"""What a machine with less than 60 GB cannot compile."""
