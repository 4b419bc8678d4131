"""The few shapes of SVG that a chart needs; coordinates in pixels, origin at the top left."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

FONT = "system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif"
INK = "#1f2430"
PALE = "#667085"
GRID = "#e4e7ec"
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # not in XML 1.0

Point = tuple[float, float]


class Canvas:
    """Collects shapes, later ones on top.

    Args:
        width: in pixels.
        height: likewise.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width = width
        self.height = height
        self._shapes: list[str] = []

    def line(
        self, points: Sequence[Point], color: str, *, width: float = 1, dash: str = ""
    ) -> None:
        """Draw a line through points; `dash` is SVG's stroke-dasharray."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width:g}" '
            f'stroke-linejoin="round"{dashed}/>'
        )

    def dot(self, at: Point, color: str, radius: float = 3) -> None:
        """Draw a disc."""
        self._shapes.append(
            f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius:g}" fill="{color}"/>'
        )

    def bar(self, at: Point, width: float, height: float, color: str, tip: str = "") -> None:
        """Draw a rectangle from its top left corner; `tip` shows under the pointer."""
        title = f"<title>{_text(tip)}</title>" if tip else ""
        self._shapes.append(
            f'<rect x="{at[0]:.1f}" y="{at[1]:.1f}" width="{max(width, 0.0):.1f}" '
            f'height="{height:.1f}" fill="{color}">{title}</rect>'
        )

    def text(
        self,
        at: Point,
        words: str,
        *,
        size: float = 12,
        anchor: str = "start",
        color: str = INK,
        weight: str = "normal",
        turn: float = 0,
    ) -> None:
        """Write a line of text.

        Args:
            at: of its baseline's anchor.
            words: any text.
            size: in pixels.
            anchor: "start", "middle" or "end".
            color: as SVG writes it.
            weight: "normal" or "bold".
            turn: degrees, clockwise about the anchor.
        """
        turned = f' transform="rotate({turn:g} {at[0]:.1f} {at[1]:.1f})"' if turn else ""
        self._shapes.append(
            f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" font-size="{size:g}" text-anchor="{anchor}" '
            f'fill="{color}" font-weight="{weight}"{turned}>{_text(words)}</text>'
        )

    def document(self) -> str:
        """The whole picture as an SVG file's text."""
        size = f'width="{self.width:g}" height="{self.height:g}"'
        box = f'viewBox="0 0 {self.width:g} {self.height:g}"'
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} font-family="{FONT}">',
            f'<rect {size} fill="white"/>',
            *self._shapes,
            "</svg>",
        ]
        return "\n".join(lines) + "\n"


def _text(words: str) -> str:
    return escape(UNPRINTABLE.sub("?", words))
