"""Plots as inline SVG, made of percentages so that they fill any width and markers keep their size.

Colours come from classes in gallery.css, never from here, so light, dark and print need one drawing.

Reasoning text as the gallery shows it: plain words, and planned objects with their boxes (`datagen.markup`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from datagen.markup import Box, Marked, read_markup
from datagen.report.figures import Estimate
from datagen.scoring.layout import find_box_fault

BINS = 24
_RIGHT_EDGE = 900
VERDICTS = ("pass", "fail", "unjudged")


def show(value: float | None, digits: int = 2) -> str:
    """Return a number with fixed digits, or a dash for None."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def show_percent(share: float) -> str:
    """Return a share in whole per cent, with a space that does not break."""
    return f"{100 * share:.0f}\u00a0%"


def describe(name: str, value: Estimate | None) -> str:
    """Return an estimate in words: `pass@1 0.52 (0.47 to 0.58)`."""
    return f"{name} –" if value is None else f"{name} {value.value:.2f} ({value.low:.2f} to {value.high:.2f})"


def plot_dots(marks: Sequence[tuple[str, str, Estimate | None]], label: str) -> Markup:
    """Draw estimates on one 0..1 axis, each (class, name, estimate) with its interval in a lane of its own."""
    drawn = [mark for mark in marks if mark[2] is not None]
    words = ", ".join(describe(name, value) for _, name, value in marks)
    grid = Markup('<line class="grid" x1="{0}%" x2="{0}%" y1="0" y2="100%"/>')
    parts = [grid.format(x) for x in (0, 25, 50, 75, 100)]
    for lane, (kind, name, value) in enumerate(drawn):
        assert value is not None
        y = f"{100 * (lane + 1) / (len(drawn) + 1):.1f}%"
        parts.append(
            Markup(
                '<g class="mark {kind}"><title>{words}</title>'
                '<line x1="{low}" x2="{high}" y1="{y}" y2="{y}"/><circle cx="{at}" cy="{y}" r="4"/></g>'
            ).format(kind=kind, words=describe(name, value), y=y, **_span(value))
        )
    return Markup('<svg class="dots" role="img" aria-label="{}">{}</svg>').format(
        f"{label}: {words}", Markup("").join(parts)
    )


def _span(value: Estimate) -> dict[str, str]:
    return {"low": _percent(value.low), "high": _percent(value.high), "at": _percent(value.value)}


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


@dataclass(frozen=True, slots=True)
class Histogram:
    """A drawn histogram of weights and the words that stand around it."""

    svg: Markup
    top: float
    tallest: int
    mean: float
    zero_share: float
    count: int


def plot_histogram(values: Sequence[tuple[float, str]], name: str) -> Histogram | None:
    """Draw weights >= 0 as stacked bars by verdict, the last bar for all beyond the 99th percentile; None if empty."""
    weights = sorted(weight for weight, _ in values)
    if not weights:
        return None
    top = _round_up(max(weights[min(len(weights) - 1, int(0.99 * len(weights)))], 1e-9))
    counts = {verdict: [0] * BINS for verdict in VERDICTS}
    for weight, verdict in values:
        counts[verdict][min(BINS - 1, int(BINS * max(weight, 0.0) / top))] += 1
    tallest = max(sum(counts[verdict][k] for verdict in VERDICTS) for k in range(BINS))
    mean = sum(weights) / len(weights)
    bars = Markup("").join(_bar(counts, k, top, tallest) for k in range(BINS))
    line = Markup('<line class="mean" x1="{0}" x2="{0}" y1="0" y2="100%"/>').format(_percent(min(mean / top, 1.0)))
    words = f"{name}: {len(weights)} samples, mean {mean:.2f}, largest {weights[-1]:.2f}"
    svg = Markup('<svg class="bars" role="img" aria-label="{}">{}{}</svg>').format(words, bars, line)
    return Histogram(svg, top, tallest, mean, sum(weight == 0 for weight in weights) / len(weights), len(weights))


def _bar(counts: dict[str, list[int]], k: int, top: float, tallest: int) -> Markup:
    low, high = top * k / BINS, top * (k + 1) / BINS
    name = f"{low:.2f} to {high:.2f}" if k < BINS - 1 else f"{low:.2f} and more"
    numbers = ", ".join(f"{counts[verdict][k]} {verdict}" for verdict in VERDICTS if counts[verdict][k])
    parts, base = [], 0.0
    for verdict in VERDICTS:
        share = counts[verdict][k] / tallest
        base += share
        if share:
            parts.append(
                Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                    verdict, _percent(k / BINS), _percent(1 - base), _percent(0.86 / BINS), _percent(share)
                )
            )
    if not parts:
        return Markup("")
    return Markup("<g><title>{}: {}</title>{}</g>").format(name, numbers, Markup("").join(parts))


def _round_up(value: float) -> float:
    scale = 10.0 ** math.floor(math.log10(value))
    return next(step * scale for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * scale >= value * (1 - 1e-9))


def render_boxes(boxes: Sequence[tuple[Box, str]], kind: str) -> Markup:
    """Draw labelled boxes (thousandths of the image) to lie over it; `kind` is `detected` or `planned`."""
    parts = []
    for (x1, y1, x2, y2), label in boxes:
        place = Markup('x="{}" y="{}" width="{}" height="{}"').format(
            *(f"{value / 10:g}%" for value in (x1, y1, x2 - x1, y2 - y1))
        )
        # At the right edge a label grows leftwards: else it would run out of the image.
        x, dx, anchor = (x2, -4, "end") if x2 > _RIGHT_EDGE else (x1, 4, "start")
        text = Markup('<text x="{}" y="{}" dx="{}" dy="11" text-anchor="{}">{}</text>').format(
            f"{x / 10:g}%", f"{y1 / 10:g}%", dx, anchor, label
        )
        parts.append(Markup('<rect class="under" {0}/><rect {0}/>{1}').format(place, text))
    return Markup('<svg class="overlay {}" aria-hidden="true">{}</svg>').format(escape(kind), Markup("").join(parts))


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of a plan: words, or an object with its box in thousandths (None where it has none that is valid)."""

    text: str
    is_object: bool
    box: Box | None = None


def read_plan(text: str) -> list[Step]:
    """Split reasoning into words and planned objects, in order; whatever does not parse stays as words."""
    return [
        Step(piece.phrase, True, as_box(piece.box)) if isinstance(piece, Marked) else Step(piece.strip(), False)
        for piece in read_markup(text)
        if isinstance(piece, Marked) or piece.strip()
    ]


def as_box(values: object) -> Box | None:
    """Return four numbers as a box with 0 <= x1 < x2 <= 1000, likewise y; None for anything else."""
    if not isinstance(values, (list, tuple)) or len(values) != 4:
        return None
    try:
        x1, y1, x2, y2 = (round(float(value)) for value in values)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if find_box_fault((x1, y1, x2, y2)) else (x1, y1, x2, y2)
