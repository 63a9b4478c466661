"""Detect pictograms and block letters by their masks, and report ink that matches none.

It reads pictures of `datagen.embedded.pictograms`. "Ink" is the coverage of each pixel in [0, 1]: its position between
the background and one of the ten colours.

Each connected region of ink is compared with the true mask of every pictogram: its amount and centre give a size and a
position, and the best match nearby decides. The match is the Tanimoto similarity (an intersection over union for
coverages). A region in several colours is tried as one object, then colour by colour. A region that matches nothing,
because objects touch or are torn, is searched at sizes from `LEAST_PX` on for matches of at least `MATCH` in a box.
Letters, which have one size, are found likewise; those in one line become one detection labelled `text` with the box of
the word. Reading them is left to the OCR.

All ink must be explained: wherever more than `UNEXPLAINED` remains, by shape or by colour, there is a detection without
a label. Such are bitten and smeared objects, parts cut by the border, objects too small to name, and foreign shapes; a
scorer that counts then cannot exclude further objects. The gallery of `datagen build` shows the detections.

Not covered: backgrounds other than the six, rotation, lower-case letters, letters of another size; a picture of another
size is resized to the canvas first.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from datagen.embedded.pictograms import (
    BACKGROUNDS,
    CELL_PX,
    COLORS,
    IMAGE_PX,
    MARGIN_PX,
    SHAPES,
    letter_mask,
    read_canvas,
    shape_mask,
)
from datagen.errors import ConfigError
from datagen.records import UNNAMED, Detection
from datagen.vision.interfaces import Sight, sight_of

if TYPE_CHECKING:
    import numpy as np


TEXT = "text"
"""Label of a group of letters."""
LABELS = frozenset({*SHAPES, TEXT})
"""All labels of this detector."""
MATCH, MATCH_ELSEWHERE = 0.8, 0.92
"""Least Tanimoto similarity of a detection: aligned with cells, as in true scenes, and anywhere else.

Images from the image tokenizer are blurred and aligned with cells: the worst object in a hundred matches 0.85.
Elsewhere only sharp objects are expected, and pieces of broken ones, which match a smaller object: in 150 scenes of
objects anywhere, blurred by 1 px, with noise and a colour shift, one in a hundred matches less than 0.95; pieces match
up to 0.89. All figures are from scenes that neither tests nor tables use.
"""
_LARGEST_IN_CELLS_PX = 3 * CELL_PX - 2 * MARGIN_PX + 2
_NEAR_CELL_PX = 2
"""Largest distance of a box's edges from cell borders if the box is aligned with cells."""
UNEXPLAINED = 24.0
"""Most ink, in whole pixels, that may remain without a detection: the thinnest pictogram of 12 px has 43."""
LEAST_PX, MOST_PX = 20, 92
"""Range of the side of a pictogram that gets a name, without margin."""
_SMALLEST_PX = 10
"""Least side of a pictogram that is recognised, so that a small bell is not taken for a tree; below `LEAST_PX` it gets
no name."""
_PAD = 16
"""Empty pixels around the canvas, so that the margin of an object at the border lies inside."""
_SIDE = IMAGE_PX + 2 * _PAD
_NEAR_TONE = 30.0
"""Largest distance (Euclidean, 8-bit RGB) of background pixels to their tone: all colours are at least 60 away."""
_LEAST_BACKGROUND = 0.05
"""Least share of pixels near one of the tones; below it the picture is not of this world."""
_FAINT, _FULL = 0.2, 0.8
"""Relative distances from the background at which ink begins and is full: a ramp against smear and noise."""
_HARD = 0.5
"""Least coverage of a pixel that connects with its neighbours."""
_REACH_PX = 2
"""Soft ink within this distance of hard ink belongs to it; ink within it of an object is explained by the object."""
_COARSE = 0.6
"""Least similarity at half resolution for a try at full resolution."""
_WORTH_REFINING = 2
"""Number of best pictograms that are also tried one pixel larger and smaller."""
_SHARED_PX = 4
"""Most pixels by which two detections of the search may overlap."""
_SEARCHED_PX = (22, 25, 28, 31, 34, 37, 40, 44, 48, 53, 58)
"""Sides that the search tries, in steps of about a tenth; the refinement finds the best one between them."""
_LETTER_GAP_PX = 20
"""Largest gap between letters of one word, wide enough for one unreadable letter."""
_CLEAR, _CLEAR_LETTER = 0.7, 0.9
"""Least distance from the background of pixels that show an object's colour, relative to its farthest pixels.

The strokes of letters are so thin that blur leaves few pixels of the full colour.
"""
_FAR_COLOR = 90.0
"""Largest distance of a median from a colour that names it."""
_SECOND_COLOR = 1 / 3
"""Least share of other colours in an object whose colour gets no name."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Match:
    """A mask at a position of the padded canvas: its name, its upper left corner in pixels, and its similarity."""

    label: str
    mask: np.ndarray
    x: int
    y: int
    score: float

    @property
    def place(self) -> tuple[slice, slice]:
        """The rows and columns of the padded canvas under the mask."""
        height, width = self.mask.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)

    @property
    def box(self) -> Box:
        """The box of the object with its margin, in pixels of the canvas, clipped at the border."""
        margin = 0 if self.label == TEXT else MARGIN_PX
        height, width = self.mask.shape
        x, y = self.x - _PAD, self.y - _PAD
        return _clip((x - margin, y - margin, x + width + margin, y + height + margin))


@dataclass(frozen=True, slots=True)
class _Outline:
    """Measures of a pictogram in a unit square: its amount of ink, its centre, and the corners of its ink."""

    ink: float
    middle: tuple[float, float]
    corners: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class _Family:
    """Masks of one box size, for the search at half resolution: names, sides, conjugate spectra and sums of squares."""

    labels: tuple[str, ...]
    size_px: tuple[int, int]
    spectra: np.ndarray
    energy: np.ndarray


@dataclass(frozen=True, slots=True)
class _Picture:
    """A measured picture: its pixels, background, ink, and the index of each pixel's colour among the ten.

    All except the background have the shape of the padded canvas; `tones` is -1 where there is no ink to name.
    """

    rgb: np.ndarray
    background: np.ndarray
    ink: np.ndarray
    tones: np.ndarray


def build(options: Mapping[str, Any]) -> PictogramDetector:
    """Return the detector, which takes no options. Raises ConfigError for any."""
    if options:
        raise ConfigError(f"the pictogram detector takes no options: {sorted(options)}", hint="remove them")
    return PictogramDetector()


def describe(options: Mapping[str, Any]) -> Sight:
    """Return the names that the detector knows."""
    return sight_of(PictogramDetector)


class PictogramDetector:
    """A callable from PNG bytes to detections in reading order; `labels` are all its labels."""

    labels = LABELS
    colors = frozenset(COLORS)

    def __call__(self, image: bytes) -> list[Detection]:
        """Return the detections in a picture, each word as one detection `text`. Raises OSError for a damaged PNG.

        A box is the square around an object, with a margin of 2 px, in thousandths of the picture. An object without a
        name has the label `""`; a picture of another world is one such object, as large as the picture.
        """
        rgb = read_canvas(image).astype("float32")
        background = _find_background(rgb)
        if background is None:
            return [Detection(UNNAMED, "", (0, 0, 1000, 1000), 1.0)]
        picture = _measure(rgb, background)
        matches, rest = _find_matches(picture)
        letters = [match for match in matches if match.label == TEXT]
        things = [_describe(match, picture) for match in matches if match.label != TEXT]
        words = [_describe_word(word, picture) for word in _group_letters(letters)]
        unnamed = list(_list_unnamed(rest))
        return sorted(things + words + unnamed, key=lambda found: (found.box[1], found.box[0]))


def _find_background(rgb: np.ndarray) -> np.ndarray | None:
    """Return the background (3,) of a picture (H, W, 3) float32, or None if no known tone is frequent."""
    import numpy as np

    tones = np.array(list(BACKGROUNDS.values()), dtype=np.float32)
    pixels = rgb.reshape(-1, 3)
    # |p - t|² = |p|² - 2 p·t + |t|², which needs no array (pixels, tones, 3).
    squared = np.einsum("ij,ij->i", pixels, pixels)[:, None] - 2 * pixels @ tones.T + (tones**2).sum(1)
    near = squared < _NEAR_TONE**2
    votes = near.sum(0)
    best = int(votes.argmax())
    if votes[best] < _LEAST_BACKGROUND * len(pixels):
        return None
    background: np.ndarray = pixels[near[:, best]].mean(0)
    return background


def _measure(rgb: np.ndarray, background: np.ndarray) -> _Picture:
    """Return the picture with the coverage of each pixel, in [0, 1]: its position between background and colour.

    The colour is the one in whose direction the pixel lies, so that a half-covered edge is compared with the colour it
    blends with and not with the palest one nearby.
    """
    import numpy as np

    rays = np.array(list(COLORS.values()), dtype=np.float32) - background
    reach = np.sqrt((rays**2).sum(-1))
    offset = rgb - background
    toward = (offset @ (rays / reach[:, None]).T).argmax(-1)
    way = np.sqrt(np.einsum("ijk,ijk->ij", offset, offset)) / reach[toward]
    ink = np.clip((way - _FAINT) / (_FULL - _FAINT), 0, 1).astype(np.float32)
    around = ((_PAD, _PAD), (_PAD, _PAD))
    tones = np.pad(np.where(ink >= _HARD, toward, -1), around, constant_values=-1)
    return _Picture(np.pad(rgb, (*around, (0, 0))), background, np.pad(ink, around), tones)


def _find_matches(picture: _Picture) -> tuple[list[_Match], np.ndarray]:
    """Return the matches, without overlaps, and the unexplained ink as a padded canvas."""
    rest = picture.ink.copy()
    known = [match for part in _split(picture.ink) if part.amount >= UNEXPLAINED for match in _name_part(part, picture)]
    small = [match for match in known if match.label != TEXT and len(match.mask) < LEAST_PX]
    found = [match for match in known if match not in small]
    for match in found:
        _explain(rest, match)
    # Pictograms too small for a name are removed before the search, or pieces of them would match larger masks; their
    # ink goes back to the rest, where it becomes a detection without a label.
    torn = rest.copy()
    for match in small:
        _explain(torn, match)
        _restore(rest, match)
    more = _search(torn)
    for match in more:
        _explain(rest, match)
    return found + more, rest


@dataclass(frozen=True, slots=True)
class _Part:
    """A connected region of ink alone on a padded canvas: its amount, sum of squares, centre (x, y) and corners."""

    ink: np.ndarray
    amount: float
    energy: float
    middle: tuple[float, float]
    corners: Box


def _split(ink: np.ndarray) -> Iterator[_Part]:
    """Yield the parts of a padded canvas: connected hard ink with the soft ink around it."""
    import numpy as np
    from scipy import ndimage

    blobs, many = ndimage.label(ink >= _HARD, structure=np.ones((3, 3)))
    if not many:
        return
    near = ndimage.maximum_filter(blobs, 2 * _REACH_PX + 1)
    owner = np.where(blobs > 0, blobs, near)
    for number, (rows, columns) in enumerate(ndimage.find_objects(blobs, many), 1):
        top, left = rows.start - _REACH_PX, columns.start - _REACH_PX
        place = slice(top, rows.stop + _REACH_PX), slice(left, columns.stop + _REACH_PX)
        own = ink[place] * (owner[place] == number)
        amount = float(own.sum())
        middle_x = float((own.sum(0) * np.arange(own.shape[1])).sum()) / amount + left + 0.5
        middle_y = float((own.sum(1) * np.arange(own.shape[0])).sum()) / amount + top + 0.5
        alone = np.zeros_like(ink)
        alone[place] = own
        corners = (columns.start, rows.start, columns.stop, rows.stop)
        yield _Part(alone, amount, float((own**2).sum()), (middle_x, middle_y), corners)


def _name_part(part: _Part, picture: _Picture) -> list[_Match]:
    """Return the one object of a part and objects on it, or the objects of its colours, one by one."""
    import numpy as np

    whole = _fit(part)
    tones = np.where(part.ink > 0, picture.tones, -1)
    amounts = np.bincount(tones[tones >= 0], minlength=len(COLORS))
    many = np.flatnonzero(amounts >= UNEXPLAINED).tolist()
    if len(many) < 2:
        return [whole] if whole else []
    single = {tone: _fit_tone(part, tones, tone, many) for tone in many}
    if whole is None:
        return [match for matches in single.values() for match in matches]
    own = max(many, key=lambda tone: amounts[tone])
    # Image tokens add false colours to an object, so another object on it must match sharply.
    over = [match for tone in many if tone != own for match in single[tone] if match.score >= MATCH_ELSEWHERE]
    return [whole, *over]


def _fit_tone(part: _Part, tones: np.ndarray, tone: int, many: Sequence[int]) -> list[_Match]:
    """Return the matches of one colour's ink in a part, without the ink of its other frequent colours."""
    import numpy as np

    others = np.isin(tones, [other for other in many if other != tone])
    alone = np.where(others, 0, part.ink) * _near(tones == tone)
    fits = [_fit(own) for own in _split(alone) if own.amount >= UNEXPLAINED]
    return [match for match in fits if match is not None]


def _near(mask: np.ndarray) -> np.ndarray:
    """Return a mask (H, W) bool grown by `_REACH_PX`."""
    from scipy import ndimage

    grown: np.ndarray = ndimage.maximum_filter(mask, 2 * _REACH_PX + 1)
    return grown


@lru_cache(maxsize=1)
def _outlines() -> dict[str, _Outline]:
    """Return the outline of each pictogram in a unit square, measured on a large mask."""
    import numpy as np

    side = 120
    outlines = {}
    for kind in SHAPES:
        mask = shape_mask(kind, side)
        rows, columns = (np.flatnonzero((mask >= _HARD).any(axis)) for axis in (1, 0))
        steps = (np.arange(side) + 0.5) / side
        middle = float(mask.sum(0) @ steps) / float(mask.sum()), float(mask.sum(1) @ steps) / float(mask.sum())
        corners = (columns[0] / side, rows[0] / side, (columns[-1] + 1) / side, (rows[-1] + 1) / side)
        outlines[kind] = _Outline(float(mask.sum()) / side**2, middle, corners)
    return outlines


@lru_cache(maxsize=1024)
def _get_mask(kind: str, side: int) -> tuple[np.ndarray, float]:
    """Return the mask of a pictogram and the sum of its squares."""
    mask = shape_mask(kind, side)
    return mask, float((mask**2).sum())


@lru_cache(maxsize=1)
def _get_letters() -> tuple[np.ndarray, np.ndarray]:
    """Return the masks (26, height, width) of the capital letters and the sums of their squares."""
    import numpy as np

    masks = np.stack([letter_mask(letter) for letter in string.ascii_uppercase])
    return masks, (masks**2).sum((1, 2))


def _fit(part: _Part) -> _Match | None:
    """Return the pictogram or letter that matches a part best, if the match is good enough."""
    tries = [match for kind, outline in _outlines().items() if (match := _fit_kind(part, kind, outline))]
    tries = sorted(tries, key=lambda match: match.score)[-_WORTH_REFINING:]
    tries += [_lay(part, match.label, len(match.mask) + step) for match in tries for step in (-1, 1)]
    letter = _fit_letter(part)
    best = max(tries if letter is None else [*tries, letter], key=lambda match: match.score, default=None)
    return best if best is not None and _is_good(best) else None


def _is_good(match: _Match) -> bool:
    """Tell whether a match is good enough for its position and size."""
    height, width = match.mask.shape
    margin = 0 if match.label == TEXT else MARGIN_PX
    edges = (match.x - margin, match.y - margin, match.x + width + margin, match.y + height + margin)
    # Distance of the worst edge from the nearest cell border.
    off = max(abs((edge - _PAD + CELL_PX // 2) % CELL_PX - CELL_PX // 2) for edge in edges)
    usual = off <= _NEAR_CELL_PX and (match.label == TEXT or len(match.mask) <= _LARGEST_IN_CELLS_PX)
    return match.score >= (MATCH if usual else MATCH_ELSEWHERE)


def _fit_kind(part: _Part, kind: str, outline: _Outline) -> _Match | None:
    """Return the match of a kind in the size given by a part's amount of ink, if its corners fit those of the part."""
    side = (part.amount / outline.ink) ** 0.5
    if not _SMALLEST_PX <= side <= MOST_PX:
        return None
    x, y = (part.middle[k] - side * outline.middle[k] for k in (0, 1))
    wanted = [start + side * corner for start, corner in zip((x, y, x, y), outline.corners, strict=True)]
    if max(abs(a - b) for a, b in zip(wanted, part.corners, strict=True)) > 1.5 + 0.08 * side:
        return None
    return _lay(part, kind, round(side))


def _lay(part: _Part, kind: str, side: int) -> _Match:
    """Return the best match of a pictogram of a size within 1 px of the position where the centres coincide."""
    import numpy as np

    mask, energy = _get_mask(kind, side)
    middle = _outlines()[kind].middle
    x, y = (min(max(round(part.middle[k] - side * middle[k]), 1), _SIDE - side - 1) for k in (0, 1))
    views = np.lib.stride_tricks.sliding_window_view(part.ink[y - 1 : y + side + 1, x - 1 : x + side + 1], mask.shape)
    common = np.einsum("abij,ij->ab", views, mask)
    row, column = divmod(int(common.argmax()), 3)
    most = float(common[row, column])
    return _Match(kind, mask, x - 1 + column, y - 1 + row, most / (part.energy + energy - most))


def _fit_letter(part: _Part) -> _Match | None:
    """Return the letter that matches a part best within 1 px, if the part has a letter's height and width."""
    import numpy as np

    masks, energies = _get_letters()
    height, width = masks.shape[1:]
    x1, y1, x2, y2 = part.corners
    if abs(y2 - y1 - (height - 6)) > 4 or x2 - x1 > width + 1:
        return None
    x, y = (x1 + x2 - width) // 2, (y1 + y2 - height) // 2
    views = np.lib.stride_tricks.sliding_window_view(
        part.ink[y - 1 : y + height + 2, x - 1 : x + width + 2], (height, width)
    )
    windows = views.reshape(-1, height * width)
    common = windows @ masks.reshape(len(masks), -1).T
    scores = common / (part.energy + energies - common)
    place, number = divmod(int(scores.argmax()), len(masks))
    return _Match(
        TEXT, masks[number], x - 1 + place % views.shape[1], y - 1 + place // views.shape[1], float(scores.max())
    )


def _explain(rest: np.ndarray, match: _Match) -> None:
    """Remove the ink that a match explains, under and around its mask, from the rest."""
    import numpy as np

    mask = np.pad(match.mask, _REACH_PX)
    rows, columns = match.place
    place = (
        slice(rows.start - _REACH_PX, rows.stop + _REACH_PX),
        slice(columns.start - _REACH_PX, columns.stop + _REACH_PX),
    )
    rest[place][_near(mask > 0.1)] = 0


def _restore(rest: np.ndarray, match: _Match) -> None:
    """Put the ink of a match without a name back into the rest, since it may lie on an object that has one."""
    import numpy as np

    rest[match.place] = np.maximum(rest[match.place], match.mask)


def _list_unnamed(rest: np.ndarray) -> Iterator[Detection]:
    """Yield the parts of the rest that are too large for dust or smear, as detections without a label."""
    for part in _split(rest):
        if part.amount >= UNEXPLAINED:
            x1, y1, x2, y2 = (edge - _PAD for edge in part.corners)
            yield Detection(UNNAMED, "", _scale(_clip((x1, y1, x2, y2))), 1.0)


def _halve(images: np.ndarray) -> np.ndarray:
    """Average 2 x 2 pixels: (..., H, W) to (..., H / 2, W / 2)."""
    *rest, height, width = images.shape
    halved: np.ndarray = images.reshape(*rest, height // 2, 2, width // 2, 2).mean((-3, -1))
    return halved


@lru_cache(maxsize=1)
def _families() -> tuple[_Family, ...]:
    """Return the masks of the search on the padded canvas at half resolution, by size; letters come last."""
    import numpy as np
    from scipy import fft

    def make(labels: Sequence[str], masks: np.ndarray) -> _Family:
        odd = [(0, 0), *((0, side % 2) for side in masks.shape[1:])]
        half = _halve(np.pad(masks, odd))
        spectra = np.conj(fft.rfft2(half, (_SIDE // 2, _SIDE // 2)))
        return _Family(tuple(labels), half.shape[1:], spectra, (half**2).sum((1, 2)))

    sizes = [
        make(tuple(SHAPES), np.stack([np.pad(shape_mask(kind, side), MARGIN_PX) for kind in SHAPES]))
        for side in _SEARCHED_PX
    ]
    return (*sizes, make([TEXT] * 26, _get_letters()[0]))


def _search(rest: np.ndarray) -> list[_Match]:
    """Return the matches in regions that match nothing as a whole, best first, without overlaps."""
    import numpy as np
    from scipy import fft

    half = _halve(rest)
    energy = float((half**2).sum())
    spectrum = fft.rfft2(half)
    sums = np.pad((half**2).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    maps: list[tuple[_Family, int, np.ndarray]] = []
    for family in _families():
        worth = np.flatnonzero(family.energy * _COARSE <= energy)
        if not len(worth):
            continue
        height, width = family.size_px
        rows, columns = half.shape[0] - height + 1, half.shape[1] - width + 1
        # Correlation by FFT; rows and columns beyond these wrap around. `inside` is the ink's energy under each box.
        common = fft.irfft2(spectrum * family.spectra[worth], half.shape)[:, :rows, :columns]
        inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
        scores = common / (inside + family.energy[worth, None, None] - common)
        maps += [(family, int(number), scores[k]) for k, number in enumerate(worth)]
    return list(_pick(rest, maps))


def _pick(rest: np.ndarray, maps: Sequence[tuple[_Family, int, np.ndarray]]) -> Iterator[_Match]:
    """Yield matches that are good enough at full resolution, the best coarse ones first, without overlaps."""
    import numpy as np

    tops = np.array([places.max() for _, _, places in maps])
    while len(tops) and tops.max() >= _COARSE:
        best = int(tops.argmax())
        family, number, places = maps[best]
        y, x = divmod(int(places.argmax()), places.shape[1])
        match = _refine(rest, family, number, 2 * x, 2 * y)
        if not _is_good(match):
            places[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 0
            tops[best] = places.max()
            continue
        yield match
        for k, (other, _, spots) in enumerate(maps):
            _forbid(spots, other.size_px, match)
            tops[k] = spots.max()


def _refine(rest: np.ndarray, family: _Family, number: int, x: int, y: int) -> _Match:
    """Return the best match within 2 px of a position (of the box) and, for a pictogram, of a size."""
    import numpy as np

    label = family.labels[number]
    if label == TEXT:
        masks, energies = _get_letters()
        tries = [(masks[number], float(energies[number]), 0)]
    else:
        size = 2 * family.size_px[0] - 2 * MARGIN_PX
        sides = range(max(LEAST_PX, size - 2), size + 3)
        tries = [(*_get_mask(label, side), MARGIN_PX) for side in sides]
    matches = []
    for mask, energy, margin in tries:
        height, width = mask.shape
        shift = (2 * family.size_px[0] - height - 2 * margin) // 2 if margin else 0
        left, top = max(margin, x + margin + shift - 2), max(margin, y + margin + shift - 2)
        patch = rest[top : top + height + 4, left : left + width + 4]
        if patch.shape[0] < height or patch.shape[1] < width:
            continue
        views = np.lib.stride_tricks.sliding_window_view(patch, (height, width))
        common = np.einsum("abij,ij->ab", views, mask)
        row, column = np.unravel_index(int(common.argmax()), common.shape)
        at_x, at_y = left + int(column), top + int(row)
        box = rest[at_y - margin : at_y + height + margin, at_x - margin : at_x + width + margin]
        most = float(common[row, column])
        matches.append(_Match(label, mask, at_x, at_y, most / (float((box**2).sum()) + energy - most)))
    return max(matches, key=lambda match: match.score)


def _forbid(places: np.ndarray, half_px: tuple[int, int], match: _Match) -> None:
    """Set all half-resolution positions to 0 at which a box of that size would overlap a match."""
    height, width = (2 * side for side in half_px)
    margin = 0 if match.label == TEXT else MARGIN_PX
    x1, y1 = match.x - margin, match.y - margin
    x2, y2 = match.x + match.mask.shape[1] + margin, match.y + match.mask.shape[0] + margin
    top, left = max(0, (y1 - height + _SHARED_PX) // 2 + 1), max(0, (x1 - width + _SHARED_PX) // 2 + 1)
    bottom, right = -(-(y2 - _SHARED_PX) // 2), -(-(x2 - _SHARED_PX) // 2)
    places[top:bottom, left:right] = 0


def _describe(match: _Match, picture: _Picture) -> Detection:
    """Turn a match into a detection, with its colour's name and its box in thousandths."""
    clear = _CLEAR_LETTER if match.label == TEXT else _CLEAR
    color = _name_color(match, picture, clear)
    return Detection(match.label, color, _scale(match.box), round(match.score, 3))


def _group_letters(letters: list[_Match]) -> list[list[_Match]]:
    """Group letters of one line without wide gaps into words, each from left to right."""
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


def _describe_word(word: list[_Match], picture: _Picture) -> Detection:
    """Turn the letters of a word into one detection: box around them, commonest colour, mean similarity."""
    letters = [_describe(letter, picture) for letter in word]
    colors = [letter.color for letter in letters]
    corners = [letter.box for letter in word]
    x1, y1 = min(box[0] for box in corners), min(box[1] for box in corners)
    x2, y2 = max(box[2] for box in corners), max(box[3] for box in corners)
    confidence = round(sum(letter.confidence for letter in letters) / len(letters), 3)
    return Detection(TEXT, max(colors, key=colors.count), _scale((x1, y1, x2, y2)), confidence)


def _clip(box: Box) -> Box:
    """Clip a box in pixels to the canvas."""
    x1, y1, x2, y2 = (min(max(edge, 0), IMAGE_PX) for edge in box)
    return x1, y1, x2, y2


def _scale(box: Box) -> Box:
    """Convert pixels of the canvas to thousandths."""
    x1, y1, x2, y2 = (round(1000 * edge / IMAGE_PX) for edge in box)
    return x1, y1, x2, y2


def _name_color(match: _Match, picture: _Picture, clear: float) -> str:
    """Return the colour under the full part of a mask; `""` if it is near none of the ten, or mixed.

    It is the median of pixels far from the background, since thin strokes blend with it when blurred.
    """
    import numpy as np

    full = match.mask >= 0.99 * match.mask.max()
    core = picture.rgb[match.place][full]
    way = np.sqrt(((core - picture.background) ** 2).sum(-1))
    shown = way >= clear * np.quantile(way, 0.9)
    median = np.median(core[shown], axis=0)
    distances = {name: float(np.linalg.norm(median - np.array(tone))) for name, tone in COLORS.items()}
    best = min(distances, key=lambda name: distances[name])
    tones = picture.tones[match.place][full]
    tones = tones[tones >= 0]
    mixed = match.label != TEXT and (tones != list(COLORS).index(best)).mean() >= _SECOND_COLOR
    return best if distances[best] <= _FAR_COLOR and not mixed else ""
