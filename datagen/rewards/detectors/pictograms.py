"""Finds pictograms and block letters in pictures of `datagen.pictograms`: the ink of each pixel, then templates.

Every pixel becomes a coverage in [0, 1] (how far it lies on the way from the background to one of the ten colours).
The true mask of each pictogram in its box of two or three cells, and of each capital letter, slides over that map;
the match is the Tanimoto similarity (an intersection over union for coverages) over the whole box, the empty margin
included. The best matches at or above `MATCH` that do not overlap are the detections; a bitten, smeared or doubled
thing that matches less is not counted. Letters in one line become one detection labelled `text` with the box of the
word; what they spell is for OCR. See it: the gallery of `datagen build`.

Not covered: other backgrounds than the six, sizes between two and three cells, rotation, lower-case letters; a picture
of another size is resized to the canvas first.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from datagen.errors import ConfigError
from datagen.pictograms import BACKGROUNDS, CELL_PX, COLORS, IMAGE_PX, MARGIN_PX, SHAPES, letter_mask, shape_mask
from datagen.records import Detection
from datagen.rewards._images import read_image
from datagen.rewards._tools import Sight, sight_of

if TYPE_CHECKING:
    import numpy as np

TEXT = "text"
"""Label of a group of letters."""
LABELS = frozenset({*SHAPES, TEXT})
"""Every label this detector can give."""
MATCH = 0.8
"""Least Tanimoto similarity of a detection.

Chosen between the worst true thing (0.94: blurred by 1 px, with noise and a colour shift) and the best false one (0.70:
a letter laid over a pictogram) of 150 calibration scenes that the tests do not use.
"""
_NEAR_TONE = 30.0
"""A pixel this close (Euclidean, 8-bit RGB) to a background tone is background: all colours are at least 60 away."""
_LEAST_BACKGROUND = 0.05
"""Share of pixels that must be near one of the tones; below it the picture is none of this world."""
_FAINT, _FULL = 0.2, 0.8
"""Relative distance from the background that counts as no ink, and as full ink: a ramp against smear and noise."""
_COARSE = 0.6
"""Least similarity at half resolution that is worth a look at full resolution."""
_SHARED_PX = 4
"""Two detections may overlap by this many pixels; things of this world do not overlap at all."""
_LETTER_GAP_PX = 20
"""Letters further apart than this are two words: one unreadable letter between them still is one word."""
_CLEAR, _CLEAR_LETTER = 0.7, 0.9
"""A pixel shows the colour of its thing if it is this far from the background, relative to the thing's farthest.

The strokes of letters are so thin that blur leaves few pixels of the full colour.
"""
_FAR_COLOR = 90.0
"""A median this far from all ten colours has no name."""


@dataclass(frozen=True, slots=True)
class _Family:
    """Templates that share a box size: labels, masks (n, height, width) float32 in [0, 1], and what searching needs.

    `spectra` are the conjugate spectra of the masks at half resolution on the half canvas, `energy` and
    `half_energy` the sums of squares of the masks at both resolutions.
    """

    labels: tuple[str, ...]
    masks: np.ndarray
    energy: np.ndarray
    spectra: np.ndarray
    half_energy: np.ndarray

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of the box in pixels."""
        return self.masks.shape[1], self.masks.shape[2]


@dataclass(frozen=True, slots=True)
class _Match:
    """One template laid on one place: its family, its number there, the box in pixels (x1, y1, x2, y2), how well."""

    family: _Family
    number: int
    box: tuple[int, int, int, int]
    score: float

    @property
    def label(self) -> str:
        """Name of what the template shows."""
        return self.family.labels[self.number]


def build(options: Mapping[str, Any]) -> PictogramDetector:
    """Return the detector; it takes no options. Raises ConfigError for one that it is given."""
    if options:
        raise ConfigError(f"the pictogram detector takes no options: {sorted(options)}", hint="remove them")
    return PictogramDetector()


def describe(options: Mapping[str, Any]) -> Sight:
    """Return what the detector can name."""
    return sight_of(PictogramDetector)


class PictogramDetector:
    """A callable from PNG bytes to detections in reading order; `labels` is every label that it can give."""

    labels = LABELS
    colors = frozenset(COLORS)

    def __call__(self, image: bytes) -> list[Detection]:
        """Return what stands in a picture, words as one detection `text`; raises OSError on a damaged PNG.

        A box is the square of cells the thing stands in, its empty margin included, in thousandths of the picture.
        """
        rgb = _read_image(image)
        background = _find_background(rgb)
        if background is None:
            return []
        matches = _find_matches(_measure_ink(rgb, background))
        letters = [match for match in matches if match.label == TEXT]
        things = [_describe(match, rgb, background) for match in matches if match.label != TEXT]
        words = [_describe_word(word, rgb, background) for word in _group_letters(letters)]
        return sorted(things + words, key=lambda found: (found.box[1], found.box[0]))


def _read_image(image: bytes) -> np.ndarray:
    """Decode a picture of any size as (IMAGE_PX, IMAGE_PX, 3) float32 RGB, 0..255."""
    import numpy as np
    from PIL import Image

    picture = read_image(image)
    if picture.size != (IMAGE_PX, IMAGE_PX):
        picture = picture.resize((IMAGE_PX, IMAGE_PX), Image.Resampling.BICUBIC)
    return np.asarray(picture, dtype=np.float32)


def _halve(images: np.ndarray) -> np.ndarray:
    """Average 2 x 2 pixels: (..., H, W) to (..., H / 2, W / 2)."""
    *rest, height, width = images.shape
    halved: np.ndarray = images.reshape(*rest, height // 2, 2, width // 2, 2).mean((-3, -1))
    return halved


def _make_family(labels: tuple[str, ...], masks: list[np.ndarray]) -> _Family:
    import numpy as np
    from scipy import fft

    stack = np.stack(masks).astype(np.float32)
    half = _halve(stack)
    spectra = np.conj(fft.rfft2(half, (IMAGE_PX // 2, IMAGE_PX // 2)))
    return _Family(labels, stack, (stack**2).sum((1, 2)), spectra, (half**2).sum((1, 2)))


@lru_cache(maxsize=1)
def _families() -> tuple[_Family, ...]:
    """Return the templates: pictograms in boxes of two and of three cells, then capital letters."""
    import numpy as np

    kinds, letters = tuple(SHAPES), tuple(string.ascii_uppercase)
    families = []
    for cells in (2, 3):
        inner = cells * CELL_PX - 2 * MARGIN_PX
        families.append(_make_family(kinds, [np.pad(shape_mask(kind, inner), MARGIN_PX) for kind in kinds]))
    families.append(_make_family((TEXT,) * len(letters), [letter_mask(letter) for letter in letters]))
    return tuple(families)


def _find_background(rgb: np.ndarray) -> np.ndarray | None:
    """Return the background (3,) of a picture (H, W, 3) float32, or None where no known tone is frequent."""
    import numpy as np

    tones = np.array(list(BACKGROUNDS.values()), dtype=np.float32)
    pixels = rgb.reshape(-1, 3)
    squared = (pixels**2).sum(1)[:, None] - 2 * pixels @ tones.T + (tones**2).sum(1)
    near = squared < _NEAR_TONE**2
    votes = near.sum(0)
    best = int(votes.argmax())
    if votes[best] < _LEAST_BACKGROUND * len(pixels):
        return None
    background: np.ndarray = pixels[near[:, best]].mean(0)
    return background


def _measure_ink(rgb: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Return the coverage (H, W) float32 in [0, 1] of each pixel: its way from the background to a colour.

    The colour is the one in whose direction the pixel lies, so that a half-covered edge is measured against the
    colour it blends with and not against the palest one near by.
    """
    import numpy as np

    rays = np.array(list(COLORS.values()), dtype=np.float32) - background
    reach = np.sqrt((rays**2).sum(-1))
    offset = rgb - background
    toward = (offset @ (rays / reach[:, None]).T).argmax(-1)
    way = np.sqrt((offset**2).sum(-1)) / reach[toward]
    ink: np.ndarray = np.clip((way - _FAINT) / (_FULL - _FAINT), 0, 1).astype(np.float32)
    return ink


def _map_family(half_ink: np.ndarray, spectrum: np.ndarray, family: _Family) -> np.ndarray:
    """Return the best similarity of a family at each place (rows, columns) of the half canvas, boxes all inside."""
    import numpy as np
    from scipy import fft

    height, width = (side // 2 for side in family.size_px)
    rows, columns = half_ink.shape[0] - height + 1, half_ink.shape[1] - width + 1
    common = fft.irfft2(spectrum * family.spectra, half_ink.shape)[:, :rows, :columns]
    sums = np.pad((half_ink**2).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    best: np.ndarray = (common / (inside + family.half_energy[:, None, None] - common)).max(0)
    return best


def _refine(ink: np.ndarray, family: _Family, y: int, x: int) -> _Match:
    """Return the best match of a family within 2 px of a place (upper left corner, pixels) at full resolution."""
    import numpy as np

    height, width = family.size_px
    top, left = max(0, y - 2), max(0, x - 2)
    patch = ink[top : y + 2 + height, left : x + 2 + width]
    views = np.lib.stride_tricks.sliding_window_view(patch, (height, width))
    windows = views.reshape(-1, height * width)
    common = windows @ family.masks.reshape(len(family.masks), -1).T
    scores = common / ((windows**2).sum(1)[:, None] + family.energy - common)
    place, number = np.unravel_index(int(scores.argmax()), scores.shape)
    x1, y1 = left + int(place) % views.shape[1], top + int(place) // views.shape[1]
    return _Match(family, int(number), (x1, y1, x1 + width, y1 + height), float(scores.max()))


def _find_matches(ink: np.ndarray) -> list[_Match]:
    """Return the matches of at least `MATCH`, best first, none over another: half resolution first, then exactly."""
    from scipy import fft

    half_ink = _halve(ink)
    spectrum = fft.rfft2(half_ink)
    families = _families()
    maps = [_map_family(half_ink, spectrum, family) for family in families]
    found: list[_Match] = []
    while True:
        best = max(range(len(maps)), key=lambda k: float(maps[k].max()))
        y, x = divmod(int(maps[best].argmax()), maps[best].shape[1])
        if maps[best][y, x] < _COARSE:
            return found
        match = _refine(ink, families[best], 2 * y, 2 * x)
        if match.score < MATCH:
            maps[best][max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 0
            continue
        found.append(match)
        for family, places in zip(families, maps, strict=True):
            _forbid(places, family.size_px, match.box)


def _forbid(places: np.ndarray, size_px: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    """Zero, in a map of half-resolution places, all those where a box of that size would lie over `box`."""
    height, width = size_px
    x1, y1, x2, y2 = box
    top, left = max(0, (y1 - height + _SHARED_PX) // 2 + 1), max(0, (x1 - width + _SHARED_PX) // 2 + 1)
    bottom, right = -(-(y2 - _SHARED_PX) // 2), -(-(x2 - _SHARED_PX) // 2)
    places[top:bottom, left:right] = 0


def _describe(match: _Match, rgb: np.ndarray, background: np.ndarray) -> Detection:
    """Turn a match into a detection with the name of its colour and its box in thousandths."""
    x1, y1, x2, y2 = match.box
    clear = _CLEAR_LETTER if match.label == TEXT else _CLEAR
    color = _name_color(rgb[y1:y2, x1:x2], match.family.masks[match.number], background, clear)
    return Detection(match.label, color, _scale(match.box), round(match.score, 3))


def _group_letters(letters: list[_Match]) -> list[list[_Match]]:
    """Group letters that stand on one line with no wide gap into words, each from left to right."""
    words: list[list[_Match]] = []
    for letter in sorted(letters, key=lambda match: match.box[0]):
        x1, y1, _, _ = letter.box
        for word in words:
            last = word[-1].box
            if abs(last[1] - y1) <= CELL_PX // 2 and x1 - last[2] <= _LETTER_GAP_PX:
                word.append(letter)
                break
        else:
            words.append([letter])
    return words


def _describe_word(word: list[_Match], rgb: np.ndarray, background: np.ndarray) -> Detection:
    """Turn the letters of a word into one detection: box around them, commonest colour, mean similarity."""
    letters = [_describe(letter, rgb, background) for letter in word]
    colors = [letter.color for letter in letters]
    corners = [letter.box for letter in word]
    x1, y1 = min(box[0] for box in corners), min(box[1] for box in corners)
    x2, y2 = max(box[2] for box in corners), max(box[3] for box in corners)
    confidence = round(sum(letter.confidence for letter in letters) / len(letters), 3)
    return Detection(TEXT, max(colors, key=colors.count), _scale((x1, y1, x2, y2)), confidence)


def _scale(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Turn pixels of the canvas into thousandths."""
    x1, y1, x2, y2 = (round(1000 * edge / IMAGE_PX) for edge in box)
    return x1, y1, x2, y2


def _name_color(rgb: np.ndarray, mask: np.ndarray, background: np.ndarray, clear: float) -> str:
    """Name the colour of what a mask covers fully; `""` if it is near none of the ten.

    It is the median of the pixels that lie clear of the background: thin strokes blend with it when blurred.
    """
    import numpy as np

    core = rgb[mask >= 0.99 * mask.max()]
    way = np.sqrt(((core - background) ** 2).sum(-1))
    median = np.median(core[way >= clear * np.quantile(way, 0.9)], axis=0)
    distances = {name: float(np.linalg.norm(median - np.array(tone))) for name, tone in COLORS.items()}
    best = min(distances, key=lambda name: distances[name])
    return best if distances[best] <= _FAR_COLOR else ""
