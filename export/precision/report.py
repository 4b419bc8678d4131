"""What a narrowed graph costs and loses, layer by layer, as a table and as a document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Final

from denoisert.export.precision.budget import Fit
from denoisert.export.precision.comparison import Comparison
from denoisert.export.precision.layers import Layer

EXAMINED: Final = 3
"""How many of the worst layers are put back, one after the other, to see what that brings."""

SHOWN: Final = 10
"""Lines of the table."""

MEGABYTE: Final = 1e6


@dataclass(frozen=True, slots=True)
class PrecisionReport:
    """One component in a half type.

    Args:
        fit: what stays float32, the error, and the layers with the noisiest first.
        restored: name of a layer -> the largest error of an output if it stayed float32, too.
    """

    fit: Fit
    restored: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a ratio that is no number is None."""
        fit = self.fit
        return {
            "component": fit.component,
            "dtype": fit.dtype,
            "error": _plain(fit.measured.error),
            "bound": fit.bound,
            "out_of_range": sorted(fit.out_of_range),
            "attempts": [asdict(each) | {"error": _plain(each.error)} for each in fit.attempts],
            "layers": [self._row(layer) for layer in fit.measured.layers],
        }

    def text(self) -> str:
        """A headline, what was tried, and a table of the noisiest layers."""
        return "\n".join([self._headline(), *self._attempts(), *self._table()])

    def _row(self, layer: Layer) -> dict[str, Any]:
        return asdict(layer) | {
            "snr_db": _plain(layer.snr_db),
            "flops_share": self._share(layer),
            "is_float32": layer.name in self.fit.keep,
            "error_if_float32": _plain(self.restored.get(layer.name)),
        }

    def _share(self, layer: Layer) -> float:
        whole = sum(each.flops for each in self.fit.measured.layers)
        return layer.flops / whole if whole else 0.0

    def _headline(self) -> str:
        fit, layers = self.fit, self.fit.measured.layers
        kept = sum(layer.name in fit.keep for layer in layers)
        return (
            f"{fit.component} in {fit.dtype}: error {fit.measured.error:.1e} of at most "
            f"{fit.bound:.0e}; {kept} of {len(layers)} layers stay float32, "
            f"{len(fit.out_of_range)} nodes because of their range"
        )

    def _attempts(self) -> list[str]:
        if len(self.fit.attempts) == 1:
            return []
        return [
            f"  first {each.first} layers in float32: {each.weight_bytes / MEGABYTE:.1f} MB of "
            f"weights, error {each.error:.1e}"
            for each in self.fit.attempts
        ]

    def _table(self) -> list[str]:
        lines = [f"  {'SNR':>8}  {'weights':>10}  {'FLOP':>6}  {'if float32':>10}  layer"]
        for layer in self.fit.measured.layers[:SHOWN]:
            error = self.restored.get(layer.name)
            brings = "" if error is None else f"{error:.1e}"
            lines.append(
                f"  {layer.snr_db:5.1f} dB  {layer.weight_bytes / MEGABYTE:7.2f} MB  "
                f"{100 * self._share(layer):4.1f} %  {brings:>10}  {layer.op} {layer.name}"
            )
        return lines


def report(fitted: Fit, comparison: Comparison, examined: int = EXAMINED) -> PrecisionReport:
    """Put each of the worst layers back alone and tell what it brings.

    Args:
        fitted: what stays float32 already.
        comparison: the one that it was found with.
        examined: how many layers; each costs one run of the graph on all trials.
    """
    open_layers = [each for each in fitted.measured.layers if each.name not in fitted.keep]
    restored = {
        layer.name: comparison.measure(fitted.keep | {layer.name}).error
        for layer in open_layers[:examined]
    }
    return PrecisionReport(fitted, restored)


def _plain(number: float | None) -> float | None:
    return number if number is not None and isfinite(number) else None
