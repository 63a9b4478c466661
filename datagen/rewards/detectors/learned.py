"""Finds pictograms and block letters in pictures of `datagen.pictograms` with a small network that learned to see them.

    detector: learned

A second judge beside `pictograms`, with which it shares nothing but the names: no masks, no ink, no tone of the
background, only weights trained on pixels of true scenes (`python -m datagen.training detector`). The network says of
each cell of the canvas what begins there and in which colour; what it is at least half sure of is a detection, the
surest first, none over another. Letters side by side become one detection labelled `text` with the box of the word, as
the geometric detector has it; `LearnedDetector.read_text` says what they spell. How often the two are right, and where
they differ: docs/audit.md.

Not covered: things that do not stand on the grid of cells, where every true scene and every image token has them; what
the geometric detector does not cover either. It was shown few shapes of other worlds: a plain disc or square may be
taken for a thing, as the geometric detector never does. A picture of another size is resized to the canvas first.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.errors import BackendError, ConfigError
from datagen.pictograms import COLORS, GRID, IMAGE_PX, SHAPES
from datagen.records import Detection
from datagen.rewards._images import read_image
from datagen.rewards._tools import Sight, sight_of

if TYPE_CHECKING:
    from datagen.rewards.detectors._cells import CellNet

TEXT = "text"
"""Label of a word."""
WEIGHTS = Path(__file__).parent / "learned.safetensors"
SURE = 0.5
"""Least probability of a detection, and of a colour that gets a name: more likely than not."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What begins in a cell: its name, its colour (`""` if unsure), P, and its box (x1, y1, x2, y2) in cells."""

    name: str
    color: str
    sure: float
    box: tuple[int, int, int, int]


def build(options: Mapping[str, Any]) -> LearnedDetector:
    """Return the detector. Raises ConfigError for any option, as it takes none, BackendError for damaged weights."""
    if options:
        raise ConfigError(f"the learned detector takes no options: {sorted(options)}", hint="remove them")
    return LearnedDetector(WEIGHTS)


def describe(options: Mapping[str, Any]) -> Sight:
    """Return what the detector can name and write, without loading it."""
    return sight_of(LearnedDetector)


class LearnedDetector:
    """A callable from PNG bytes to detections in reading order; `labels` is every label that it can give."""

    labels = frozenset({*SHAPES, TEXT})
    colors = frozenset(COLORS)
    characters = frozenset(string.ascii_uppercase)

    def __init__(self, weights: Path) -> None:
        self._net = _load(weights)

    def __call__(self, image: bytes) -> list[Detection]:
        """Return what stands in a picture, words as one detection `text`; raises OSError on a damaged PNG.

        A box is the square of cells the thing stands in, its empty margin included, in thousandths of the picture.
        """
        seen = self._look(image)
        things = [_describe(one.name, [one]) for one in seen if one.name in SHAPES]
        words = [_describe(TEXT, word) for word in _group_letters(seen)]
        return sorted(things + words, key=lambda found: (found.box[1], found.box[0]))

    def read_text(self, image: bytes) -> list[str]:
        """Return the words in a picture, from top to bottom and left to right; raises OSError on a damaged PNG."""
        return ["".join(letter.name for letter in word) for word in _group_letters(self._look(image))]

    def _look(self, image: bytes) -> list[_Seen]:
        """Return the things and letters in a picture, none over another, in reading order."""
        import numpy as np
        import torch
        from PIL import Image

        from datagen.rewards.detectors._cells import STARTS, TONES

        picture = read_image(image)
        if picture.size != (IMAGE_PX, IMAGE_PX):
            picture = picture.resize((IMAGE_PX, IMAGE_PX), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(picture, dtype=np.float32)) / 127.5 - 1
        with torch.inference_mode():
            starts, tones = self._net(pixels[None])
        sure, number = starts[0].softmax(-1).max(-1)
        known, tone = tones[0].softmax(-1).max(-1)
        found = []
        for cell, (name, width, height) in enumerate(STARTS[k] for k in number.tolist()):
            y, x = divmod(cell, GRID)
            if name and sure[cell] >= SURE:
                color = TONES[int(tone[cell])] if known[cell] >= SURE else ""
                found.append(_Seen(name, color, float(sure[cell]), (x, y, x + width, y + height)))
        return _keep_apart(found)


@lru_cache(maxsize=2)
def _load(weights: Path) -> CellNet:
    from safetensors import SafetensorError

    from datagen.rewards.detectors._cells import load_net

    try:
        return load_net(weights)
    except (OSError, SafetensorError, RuntimeError) as error:
        hint = "reinstall datagen, or train them: python -m datagen.training detector --out .train/detector"
        raise BackendError(
            f"the weights of the learned detector cannot be read: {error}", where=str(weights), hint=hint
        ) from error


def _keep_apart(found: Sequence[_Seen]) -> list[_Seen]:
    """Return in reading order what lies whole on the canvas and over nothing surer."""
    kept: list[_Seen] = []
    for one in sorted(found, key=lambda one: -one.sure):
        x1, y1, x2, y2 = one.box
        apart = all(x1 >= b[2] or b[0] >= x2 or y1 >= b[3] or b[1] >= y2 for b in (other.box for other in kept))
        if apart and max(x2, y2) <= GRID:
            kept.append(one)
    return sorted(kept, key=lambda one: (one.box[1], one.box[0]))


def _group_letters(seen: Sequence[_Seen]) -> list[list[_Seen]]:
    """Return the words among what is seen, in reading order: letters in one row with no cell between them."""
    words: list[list[_Seen]] = []
    for one in seen:
        if one.name in SHAPES:
            continue
        if words and words[-1][-1].box[1:3] == (one.box[1], one.box[0]):
            words[-1].append(one)
        else:
            words.append([one])
    return words


def _describe(label: str, parts: Sequence[_Seen]) -> Detection:
    """Turn a thing or the letters of a word into a detection: box around all, commonest colour, mean confidence."""
    boxes = [part.box for part in parts]
    corners = (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))
    x1, y1, x2, y2 = (round(1000 * edge / GRID) for edge in corners)
    colors = [part.color for part in parts]
    sure = sum(part.sure for part in parts) / len(parts)
    return Detection(label, max(colors, key=colors.count), (x1, y1, x2, y2), round(sure, 3))
