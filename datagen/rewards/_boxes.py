"""Boxes of detectors: other forms of them, thousandths of an image, and one box for each thing that was found.

A box is (x1, y1, x2, y2), y downwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from datagen.records import Detection
from datagen.rewards._relations import Box, measure_overlap


@dataclass(frozen=True, slots=True)
class Found:
    """A label, its confidence in [0, 1] and its box in pixels of the image."""

    label: str
    confidence: float
    box: Box


def from_center(x: float, y: float, width: float, height: float) -> Box:
    """Return the corners of a box given by its centre and sides."""
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def clip_box(box: Box, width_px: float, height_px: float) -> Box:
    """Return what of a box lies inside an image of this size."""
    x1, y1, x2, y2 = box
    return (
        min(max(x1, 0.0), width_px),
        min(max(y1, 0.0), height_px),
        min(max(x2, 0.0), width_px),
        min(max(y2, 0.0), height_px),
    )


def keep_best(found: Iterable[Found], most_overlap: float, most: int) -> list[Found]:
    """Return the surest of what overlaps, most confident first: greedy non-maximum suppression within each label.

    Of two boxes of one label whose intersection over union is above `most_overlap` the surer stays; a box without
    area, or with anything not finite, goes. At most `most` of a label stay.
    """
    kept: list[Found] = []
    taken: dict[str, int] = {}
    for each in sorted(found, key=lambda each: (-each.confidence, each.label, each.box)):
        if not _has_area(each) or taken.get(each.label, 0) == most:
            continue
        if any(other.label == each.label and measure_overlap(other.box, each.box) > most_overlap for other in kept):
            continue
        kept.append(each)
        taken[each.label] = taken.get(each.label, 0) + 1
    return kept


def to_detections(found: Sequence[Found], colors: Sequence[str], width_px: int, height_px: int) -> list[Detection]:
    """Return detections in reading order, boxes in thousandths of an image of this size."""
    sides = (width_px, height_px, width_px, height_px)
    made = []
    for each, color in zip(found, colors, strict=True):
        x1, y1, x2, y2 = (round(1000 * edge / side) for edge, side in zip(each.box, sides, strict=True))
        made.append(Detection(each.label, color, (x1, y1, x2, y2), round(each.confidence, 4)))
    return sorted(made, key=lambda thing: (thing.box[1], thing.box[0]))


def _has_area(each: Found) -> bool:
    x1, y1, x2, y2 = each.box
    return x2 > x1 and y2 > y1 and each.confidence == each.confidence  # NaN fails every comparison
