"""Detect pictograms and block letters with a small trained network.

    detector: learned

It is independent of the detector `pictograms`, with which it shares only the names and the decoding of files: no masks,
no ink, no background tones, no similarity, no search. Each connected region that differs from the commonest colour is
cropped and classified by a network trained on pixels (`python -m datagen.workshop detector`), which gives its name, its
colour and its box. Adjacent letters become one detection labelled `text` with the box of the word, as in `pictograms`;
`LearnedDetector.read_text` returns what they spell. docs/audit.md compares the two.

A region that the network is unsure of, or classifies as none of its names, is a detection without a label if it has at
least `SOMETHING_PX` pixels: parts of objects, objects that overlap, foreign shapes.

Not covered: the limits of `pictograms`, and objects that touch, which get no name here. The network saw few shapes of
other worlds: it may take a plain disc or square for an object, which `pictograms` seldom does. A picture of another
size is resized to the canvas first.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.embedded.pictograms import COLORS, IMAGE_PX, SHAPES, read_canvas
from datagen.errors import BackendError, ConfigError
from datagen.records import UNNAMED, Detection
from datagen.vision.interfaces import Sight, sight_of

if TYPE_CHECKING:
    import numpy as np

    from datagen.vision.parts import Part, PartNet


TEXT = "text"
"""Label of a word."""
WEIGHTS = Path(__file__).parent / "learned.safetensors"
SURE = 0.5
"""Least probability of a name and of a colour: more likely than not."""
SOMETHING_PX = 24
"""Least pixels of a part without a name that counts as a detection, not as dust."""
_LETTER_GAP_PX = 8
"""Largest gap between letters of a word, half a letter, and largest vertical offset within a line."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A classified part: its name (`""`: none), its colour (`""`: unsure), P, and its box (x1, y1, x2, y2) in px."""

    name: str
    color: str
    sure: float
    box: tuple[float, float, float, float]


def build(options: Mapping[str, Any]) -> LearnedDetector:
    """Return the detector, which takes no options. Raises ConfigError for any, BackendError for damaged weights."""
    if options:
        raise ConfigError(f"the learned detector takes no options: {sorted(options)}", hint="remove them")
    return LearnedDetector(WEIGHTS)


def describe(options: Mapping[str, Any]) -> Sight:
    """Return the names and characters of the detector, without loading it."""
    return sight_of(LearnedDetector)


class LearnedDetector:
    """A callable from PNG bytes to detections in reading order; `labels` are all its labels."""

    labels = frozenset({*SHAPES, TEXT})
    colors = frozenset(COLORS)
    characters = frozenset(string.ascii_uppercase)

    def __init__(self, weights: Path) -> None:
        self._net = _load(weights)

    def __call__(self, image: bytes) -> list[Detection]:
        """Return the detections in a picture, each word as one detection `text`. Raises OSError for a damaged PNG.

        A box is the square around an object, with a margin of 2 px, in thousandths of the picture. An object without a
        name has the label `""`.
        """
        seen = self._look(image)
        things = [_describe(one.name, [one]) for one in seen if one.name in SHAPES or one.name == UNNAMED]
        words = [_describe(TEXT, word) for word in _group_letters(seen)]
        return sorted(things + words, key=lambda found: (found.box[1], found.box[0]))

    def read_text(self, image: bytes) -> list[str]:
        """Return the words in a picture, top to bottom and left to right. Raises OSError for a damaged PNG."""
        return ["".join(letter.name for letter in word) for word in _group_letters(self._look(image))]

    def _look(self, image: bytes) -> list[_Seen]:
        """Return the objects and letters in a picture, and parts without a name."""
        import numpy as np
        import torch

        from datagen.vision.parts import cut_parts, stack

        parts = cut_parts(read_canvas(image).astype(np.float32))
        if not parts:
            return []
        with torch.inference_mode():
            names, tones, boxes = self._net(*stack(parts))
            says = names.softmax(-1).numpy(), tones.softmax(-1).numpy(), boxes.numpy()
        seen = [_tell(part, *each) for part, *each in zip(parts, *says, strict=True)]
        return [one for part, one in zip(parts, seen, strict=True) if one.name or part.inside.sum() >= SOMETHING_PX]


@lru_cache(maxsize=2)
def _load(weights: Path) -> PartNet:
    from safetensors import SafetensorError

    from datagen.vision.parts import load_net

    try:
        return load_net(weights)
    except (OSError, SafetensorError, RuntimeError) as error:
        hint = "reinstall datagen, or train them: python -m datagen.workshop detector --out .train/detector"
        raise BackendError(
            f"the weights of the learned detector cannot be read: {error}", where=str(weights), hint=hint
        ) from error


def _tell(part: Part, names: np.ndarray, tones: np.ndarray, box: np.ndarray) -> _Seen:
    """Return a part's classification from the probabilities of names and tones and its box in the network's units."""
    import numpy as np

    from datagen.vision.parts import NAMES, SOMETHING, TONES

    best, tone = int(names.argmax()), int(tones.argmax())
    if names[best] < SURE or NAMES[best] == SOMETHING:
        rows, columns = part.place
        return _Seen(UNNAMED, "", 1.0, (columns.start, rows.start, columns.stop, rows.stop))
    x, y, side = part.square
    x1, y1, x2, y2 = np.clip(box * side + (x, y, x, y), 0, IMAGE_PX).tolist()
    return _Seen(NAMES[best], TONES[tone] if tones[tone] >= SURE else "", float(names[best]), (x1, y1, x2, y2))


def _group_letters(seen: Sequence[_Seen]) -> list[list[_Seen]]:
    """Return the words in reading order: letters in one line without a wide gap between them."""
    letters = [one for one in seen if one.name != UNNAMED and one.name not in SHAPES]
    words: list[list[_Seen]] = []
    for one in sorted(letters, key=lambda letter: letter.box[0]):
        for word in words:
            last = word[-1].box
            if abs(last[1] - one.box[1]) <= _LETTER_GAP_PX and one.box[0] - last[2] <= _LETTER_GAP_PX:
                word.append(one)
                break
        else:
            words.append([one])
    return sorted(words, key=lambda word: (round(word[0].box[1] / _LETTER_GAP_PX), word[0].box[0]))


def _describe(label: str, parts: Sequence[_Seen]) -> Detection:
    """Turn an object or the letters of a word into a detection: joint box, commonest colour, mean confidence."""
    boxes = [part.box for part in parts]
    corners = (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))
    x1, y1, x2, y2 = (round(1000 * edge / IMAGE_PX) for edge in corners)
    colors = [part.color for part in parts]
    sure = sum(part.sure for part in parts) / len(parts)
    return Detection(label, max(colors, key=colors.count), (x1, y1, x2, y2), round(sure, 3))
