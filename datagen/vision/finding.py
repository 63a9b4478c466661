"""Common steps of detectors of models: filter the boxes, name the colours, make detections.

Each object keeps one box, in thousandths of the image. A box is (x1, y1, x2, y2), y downwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from datagen.embedded.pictograms import COLORS
from datagen.records import Detection
from datagen.vision.colors import Thing, name_by_clip, name_by_pixels
from datagen.vision.geometry import Box, measure_overlap

if TYPE_CHECKING:
    import numpy as np


NameColors = Callable[["np.ndarray", Sequence[Thing]], list[str]]
"""From an image (H, W, 3), 0..255, and objects in it to the colour of each, `""` for none."""


class FindOptions(BaseModel):
    """Options of every detector of a model.

    `threshold` is the least confidence, `most_overlap` the largest intersection over union of two objects of one label,
    `most` the number of one label that is kept (GenEval: 0.3, and 16). `colors: clip` needs the name of a CLIP.
    """

    model_config = ConfigDict(extra="forbid")

    threshold: float = Field(0.3, ge=0, le=1)
    most_overlap: float = Field(0.5, ge=0, le=1)
    most: int = Field(16, ge=1)
    colors: Literal["pixels", "clip", "none"] = "pixels"
    color_model: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _with_model(self) -> Self:
        if (self.colors == "clip") != (self.color_model is not None):
            raise ValueError("`colors: clip` and `color_model: NAME` go together")
        return self


def list_colors(options: FindOptions) -> frozenset[str]:
    """Return the names of colours; empty with `colors: none`."""
    return frozenset(() if options.colors == "none" else COLORS)


def make_colors(options: FindOptions) -> NameColors:
    """Return the function that names colours. Raises BackendError if its CLIP cannot be loaded."""
    if options.colors == "none":
        return lambda rgb, things: [""] * len(things)
    if options.color_model is None:
        return name_by_pixels
    from datagen.vision.loading import Dual, ModelOptions

    dual = Dual(ModelOptions(model=options.color_model))
    return lambda rgb, things: name_by_clip(dual, rgb, things)


def finish(found: Sequence[Found], rgb: np.ndarray, options: FindOptions, colors: NameColors) -> list[Detection]:
    """Return the detections of an image (H, W, 3) in reading order: filtered, without duplicates, with colours.

    Raises ValueError for a confidence of NaN, which must not pass for an empty picture.
    """
    height, width = rgb.shape[:2]
    if broken := sum(each.confidence != each.confidence for each in found):
        raise ValueError(f"the detector gave {broken} confidences that are not numbers")
    sure = [
        Found(each.label, each.confidence, clip_box(each.box, width, height))
        for each in found
        if each.confidence > options.threshold
    ]
    kept = keep_best(sure, options.most_overlap, options.most)
    return to_detections(kept, colors(rgb, [Thing(each.label, each.box) for each in kept]), width, height)


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
    """Clip a box to an image of this size."""
    x1, y1, x2, y2 = box
    return (
        min(max(x1, 0.0), width_px),
        min(max(y1, 0.0), height_px),
        min(max(x2, 0.0), width_px),
        min(max(y2, 0.0), height_px),
    )


def keep_best(found: Iterable[Found], most_overlap: float, most: int) -> list[Found]:
    """Return the boxes that survive greedy non-maximum suppression within each label, most confident first.

    Of two boxes of one label whose intersection over union is above `most_overlap` the more confident stays. Boxes
    without area or with NaN are dropped. At most `most` of a label stay.
    """
    kept: list[Found] = []
    taken: dict[str, int] = {}
    # Label and box break ties, so that the order of a model's queries does not matter.
    for each in sorted(found, key=lambda each: (-each.confidence, each.label, each.box)):
        if not _has_area(each) or taken.get(each.label, 0) == most:
            continue
        if any(other.label == each.label and measure_overlap(other.box, each.box) > most_overlap for other in kept):
            continue
        kept.append(each)
        taken[each.label] = taken.get(each.label, 0) + 1
    return kept


def to_detections(found: Sequence[Found], colors: Sequence[str], width_px: int, height_px: int) -> list[Detection]:
    """Return detections in reading order, with boxes in thousandths of an image of this size."""
    sides = (width_px, height_px, width_px, height_px)
    made = []
    for each, color in zip(found, colors, strict=True):
        x1, y1, x2, y2 = (round(1000 * edge / side) for edge, side in zip(each.box, sides, strict=True))
        made.append(Detection(each.label, color, (x1, y1, x2, y2), round(each.confidence, 4)))
    return sorted(made, key=lambda thing: (thing.box[1], thing.box[0]))


def _has_area(each: Found) -> bool:
    x1, y1, x2, y2 = each.box
    return x2 > x1 and y2 > y1 and each.confidence == each.confidence  # NaN fails every comparison
