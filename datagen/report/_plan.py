"""Reasoning text as the gallery shows it: plain words, and planned objects with their boxes (GoT-R1's form)."""

from __future__ import annotations

import re
from dataclasses import dataclass

Box = tuple[int, int, int, int]

_OBJECT = re.compile(
    r"<\|obj_start\|>(?P<phrase>.*?)<\|obj_end\|>\s*"
    r"(?:<\|box_start\|>\s*\((?P<x1>\d{1,4}),(?P<y1>\d{1,4})\),\((?P<x2>\d{1,4}),(?P<y2>\d{1,4})\)\s*<\|box_end\|>)?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of a plan: words, or an object with its box in thousandths (None where it has none that is valid)."""

    text: str
    is_object: bool
    box: Box | None = None


def read_plan(text: str) -> list[Step]:
    """Split reasoning into words and planned objects, in order; whatever does not parse stays as words."""
    steps: list[Step] = []
    end = 0
    for match in _OBJECT.finditer(text):
        steps += _words(text[end : match.start()])
        corners = [match[name] for name in ("x1", "y1", "x2", "y2")]
        steps.append(Step(match["phrase"].strip(), True, as_box(corners) if all(corners) else None))
        end = match.end()
    return steps + _words(text[end:])


def as_box(values: object) -> Box | None:
    """Return four numbers as a box with 0 <= x1 < x2 <= 1000, likewise y; None for anything else."""
    if not isinstance(values, (list, tuple)) or len(values) != 4:
        return None
    try:
        x1, y1, x2, y2 = (round(float(value)) for value in values)
    except (TypeError, ValueError, OverflowError):
        return None
    return (x1, y1, x2, y2) if 0 <= x1 < x2 <= 1000 and 0 <= y1 < y2 <= 1000 else None


def _words(text: str) -> list[Step]:
    return [Step(text.strip(), False)] if text.strip() else []
