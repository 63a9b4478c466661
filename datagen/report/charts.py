"""Plots as inline SVG, made of percentages so that they fill any width and markers keep their size.

Colours come from classes in gallery.css, never from here, so light, dark and print need one plot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from datagen.amounts import count_of
from datagen.report.figures import VERDICTS, Estimate, Weights

BINS = 24


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
    """Plot estimates on one 0..1 axis, each (class, name, estimate) with its interval in a lane of its own."""
    known = [mark for mark in marks if mark[2] is not None]
    words = ", ".join(describe(name, value) for _, name, value in marks)
    grid = Markup('<line class="grid" x1="{0}%" x2="{0}%" y1="0" y2="100%"/>')
    parts = [grid.format(x) for x in (0, 25, 50, 75, 100)]
    for lane, (kind, name, value) in enumerate(known):
        assert value is not None
        y = f"{100 * (lane + 1) / (len(known) + 1):.1f}%"
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
    """A histogram of weights as SVG, and the figures that stand around it."""

    svg: Markup
    top: float
    tallest: int
    mean: float
    zero_share: float
    count: int


def plot_histogram(weights: Weights, name: str) -> Histogram | None:
    """Plot weights >= 0 as stacked bars by verdict, the last bar for all beyond the 99th percentile; None if empty."""
    import numpy as np

    values, verdicts = np.frombuffer(weights.values, np.float64), np.frombuffer(weights.verdicts, np.int8)
    if not len(values):
        return None
    high = int(0.99 * len(values))
    top = _round_up(max(float(np.partition(values, high)[high]), 1e-9))
    bins = np.minimum(BINS * np.maximum(values, 0.0) / top, BINS - 1).astype(int)
    counts = {
        verdict: np.bincount(bins[verdicts == code], minlength=BINS).tolist() for code, verdict in enumerate(VERDICTS)
    }
    tallest = max(sum(counts[verdict][k] for verdict in VERDICTS) for k in range(BINS))
    mean = float(values.mean())
    bars = Markup("").join(_bar(counts, k, top, tallest) for k in range(BINS))
    line = Markup('<line class="mean" x1="{0}" x2="{0}" y1="0" y2="100%"/>').format(_percent(min(mean / top, 1.0)))
    words = f"{name}: {count_of(len(values), 'sample')}, mean {mean:.2f}, largest {values.max():.2f}"
    svg = Markup('<svg class="bars" role="img" aria-label="{}">{}{}</svg>').format(words, bars, line)
    return Histogram(svg, top, tallest, mean, float((values == 0).mean()), len(values))


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
