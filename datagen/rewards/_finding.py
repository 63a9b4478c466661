"""What all detectors of models share: which finds are kept, and the colour of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from datagen.pictograms import COLORS
from datagen.records import Detection
from datagen.rewards._boxes import Found, clip_box, keep_best, to_detections
from datagen.rewards._colors import Thing, name_by_clip, name_by_pixels

if TYPE_CHECKING:
    import numpy as np

NameColors = Callable[["np.ndarray", Sequence[Thing]], list[str]]
"""From an image (H, W, 3), 0..255, and things in it to the colour of each, `""` for none."""


class FindOptions(BaseModel):
    """What a recipe may set for any detector of a model.

    `threshold` is the least confidence, `most_overlap` the largest intersection over union of two things of one label,
    `most` how many of one label are kept (GenEval: 0.3, and 16). `colors: clip` needs the name of a CLIP.
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
    """Return the names that colours get: none where the recipe says `colors: none`."""
    return frozenset(() if options.colors == "none" else COLORS)


def make_colors(options: FindOptions) -> NameColors:
    """Return what names colours; raises BackendError when the CLIP it needs cannot be loaded."""
    if options.colors == "none":
        return lambda rgb, things: [""] * len(things)
    if options.color_model is None:
        return name_by_pixels
    from datagen.rewards._dual import Dual
    from datagen.rewards._models import ModelOptions

    dual = Dual(ModelOptions(model=options.color_model))
    return lambda rgb, things: name_by_clip(dual, rgb, things)


def finish(found: Sequence[Found], rgb: np.ndarray, options: FindOptions, colors: NameColors) -> list[Detection]:
    """Return the detections of an image (H, W, 3) in reading order: sure enough, none twice, colours named.

    Raises ValueError where a confidence is not a number: that is no picture of nothing.
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
