"""The losses of a training as one SVG file: text and image side by side, each on its own scale.

A line for what was learned from, dots for held-out rows. Made without a plotting library, from log.jsonl alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 380, 240, 48, 28, 32
"""Of one panel, px; margins keep room for the numbers."""
_STYLE = (
    "text{font:12px sans-serif;fill:#444}.learned{fill:none;stroke:#2f6fb5;stroke-width:1.5}"
    ".held{fill:#c9541b}.grid{stroke:#ddd}"
)
Point = tuple[float, float]
LossRow = tuple[int, float | None, float | None, float | None, float | None]
"""A step, the losses of text and image, and those of held-out rows."""


def draw_losses(rows: Sequence[LossRow], path: Path) -> None:
    """Write the plot to `path`; losses are in nats a token, a None is left out."""
    panels = "".join(
        f'<g transform="translate({column * WIDTH})">{_draw_panel(name, rows, column)}</g>'
        for column, name in enumerate(("text", "image"))
    )
    size = f'width="{2 * WIDTH}" height="{HEIGHT}" viewBox="0 0 {2 * WIDTH} {HEIGHT}"'
    picture = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="losses by step">'
    background = '<rect width="100%" height="100%" fill="#fff"/>'
    path.write_text(f"{picture}<style>{_STYLE}</style>{background}{panels}</svg>\n", encoding="utf-8")


def _draw_panel(name: str, rows: Sequence[LossRow], column: int) -> str:
    learned = [(row[0], value) for row in rows if (value := row[1 + column]) is not None]
    held = [(row[0], value) for row in rows if (value := row[3 + column]) is not None]
    last, top = max((row[0] for row in rows), default=1) or 1, 1.1 * max((y for _, y in learned + held), default=1) or 1
    right, floor = WIDTH - 16, HEIGHT - BOTTOM

    def place(point: Point) -> Point:
        return LEFT + point[0] / last * (right - LEFT), floor - point[1] / top * (floor - TOP)

    parts = [f'<text x="{LEFT}" y="18">{name}: line learned from, dots held out (nats a token)</text>']
    for share in (0, 0.5, 1):
        _, y = place((0, share * top))
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share * top:.2g}</text>')
    parts += [f'<text x="{place((x, 0))[0]:.1f}" y="{floor + 18}" text-anchor="middle">{x}</text>' for x in (0, last)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, learned))
    parts.append(f'<polyline class="learned" points="{line}"/>')
    parts += [f'<circle class="held" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in map(place, held)]
    return "".join(parts)
