"""Reads words in images with rapidocr, whose weights come inside its wheel, at any size of picture and letter.

The detector finds letters of about 3 to 100 px: taller ones fall apart. So it looks at the picture made small
(`FIRST_SIDE_PX`), where tall letters are found, and then at twice the size, again and again. In the picture's own size,
and beyond `WHOLE_SIDE_PX`, it looks only where small letters left a trace in the look before, so that a large picture
costs little more than a small one. Whichever look found a line, it is read from the picture's own size, brought to the
height that the recogniser was made for. What two looks read at one place is joined by how sure the reader is
(`vision.lines`), never by what was asked for.

Pictures smaller than `LEAST_SIDE_PX` are enlarged first: of 80 words of one to six letters rendered 96 px wide, all
were read to the letter at twice the size. Lines without a letter or digit are dropped, since shapes read as `■` or `—`.

Not covered: any other language or model than the default, which rapidocr would download; a lone `I`, which is often
taken for a stroke; a shape that looks like a letter (a car is read as `A`), so ask it only about pictures of words.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from datagen.pictures import read_image
from datagen.vision.lines import Line, are_pieces, cover, join_lines, order_lines, span

if TYPE_CHECKING:
    import numpy as np

LEAST_SIDE_PX = 192
"""Smaller pictures are enlarged by the whole factor that brings their longer side here."""
FIRST_SIDE_PX = 256
"""Shorter side of the picture at the first look."""
WHOLE_SIDE_PX = 512
"""Shorter side up to which the whole of a picture made smaller is looked at, whatever was seen before."""
MOST_SIDE_PX = 2048
"""Longer side of the picture at any look."""
STEP_PX = 32
"""The detector takes sides that are multiples of this."""
TRACE = 0.3
"""Answer of the detector, in [0, 1], that calls for a closer look. Letters of 3 px leave one, plain grounds none."""
SMALL_PX = 18
"""Height of a line, in pixels of a look, from which on a closer look brings nothing."""
SURE = 0.9
"""Score from which on a line that is not small settles its place: later looks leave it alone."""
NARROW = 0.25
"""Width of a letter, in heights of its line's box, below which other lines are in the box and were not read.

Of 270 lines read right, in ten fonts, the narrowest had 0.29; three lines in one box, of which one was read, 0.21.
"""
LEAST_SCORE = 0.5
"""Lines that the reader is less sure of are dropped, as in rapidocr."""
HEIGHT_PX = 48
"""Height of the lines that the recogniser was made for."""
SPACE = 0.1
"""Answer of the recogniser, in [0, 1], that makes a space between two letters.

Of 344 spaces between letters that it had read right the least had 0.21, of 3,344 places within words the most 0.03.
"""
WIDER = 0.2
"""How much further a line is cut out at both ends than the detector's box goes, in heights: letters there stay whole.

Not above and below: higher boxes take in what stands there, lower ones lose accents.
"""
STEEP = 0.25
"""Slope from which on the slant of a short box is taken for chance, and it is read upright as well."""
SHORT = 2.0
"""Width of a box, in its heights, below which it is short."""
TALL = 1.5
"""Height of a box, in its widths, from which on it may be a line that runs downwards."""

_PRINTED = frozenset(map(chr, range(ord("!"), ord("~") + 1)))
Box = tuple[int, int, int, int]
"""Left, upper, right, lower, in pixels."""


class Reader:
    """A callable from PNG bytes to the lines of text read, in reading order; raises OSError on a damaged PNG."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    @cached_property
    def characters(self) -> frozenset[str]:
        """The classes of its model; another script is read as something else, or as nothing."""
        return frozenset(self._recognizer.session.get_character_list())

    def __call__(self, image: bytes) -> list[str]:
        """Return the lines in a picture, in reading order; raises OSError for bytes that are none."""
        import numpy as np
        from PIL import Image

        picture = read_image(image)
        factor = -(-LEAST_SIDE_PX // max(picture.size))
        if factor > 1:
            picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BICUBIC)
        lines = self.find(np.ascontiguousarray(np.asarray(picture)[..., ::-1]))
        return keep_words(line.text for line in order_lines(lines))

    def find(self, pixels: np.ndarray) -> list[Line]:
        """Return the lines in an array (height, width, 3) uint8 of blue, green and red, in no order.

        Those without a letter or digit are among them.
        """
        high, wide = pixels.shape[:2]
        halves = halve(pixels)
        lines: list[Line] = []
        settled: list[Line] = []
        rest: Box | None = None
        *looks, last = plan_looks(wide, high)
        for number, scale in enumerate((*looks, last)):
            if number == 0 or (scale < last and scale * min(high, wide) <= WHOLE_SIDE_PX):
                rest = 0, 0, wide, high
            if rest is None:
                break
            found, traces = self._look(pixels, rest, scale)
            fresh = [corners for corners in found if not any(cover(corners, line.corners) for line in settled)]
            read = (self._read(halves, corners) for corners in fresh)
            lines = join_lines(lines, [line for line in read if line.score >= LEAST_SCORE])
            settled = [line for line in lines if is_settled(line, scale)]
            rest = enclose(traces, settled, rest, scale)
        return self._mend(halves, lines)

    @cached_property
    def _detector(self) -> Any:
        import numpy as np

        # A model loads with the first picture that it is asked about.
        self._engine(np.full((64, 64, 3), 255, np.uint8), use_det=True, use_cls=False, use_rec=False)
        return self._engine.text_det

    @cached_property
    def _recognizer(self) -> Any:
        import numpy as np

        self._engine(np.full((48, 96, 3), 255, np.uint8), use_det=False, use_cls=False, use_rec=True)
        return self._engine.text_rec

    def _look(self, pixels: np.ndarray, place: Box, scale: float) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the boxes found at a place, in pixels of the picture, and where in it anything may be text."""
        import numpy as np

        left, upper, right, lower = place
        part = pixels[upper:lower, left:right]
        sides = [max(1, round(side * scale / STEP_PX)) * STEP_PX for side in (right - left, lower - upper)]
        answers = self._detector.session(to_input(resize(part, *sides)))
        boxes, _ = self._detector.postprocess_op(answers, part.shape[:2])
        found = [np.asarray(box, np.float32) + np.array((left, upper), np.float32) for box in boxes]
        return found, answers[0, 0] > TRACE

    def _mend(self, halves: Sequence[np.ndarray], lines: Sequence[Line]) -> list[Line]:
        """Return lines in which the pieces of one, whose boxes meet, are read as one where that reads as surely."""
        mended: list[Line] = []
        for line in lines:
            for other in list(mended):
                if are_pieces(line, other):
                    whole = self._read(halves, span(line.corners, other.corners))
                    if whole.score >= min(SURE, line.score, other.score):
                        mended.remove(other)
                        line = whole
            mended.append(line)
        return mended

    def _read(self, halves: Sequence[np.ndarray], corners: np.ndarray) -> Line:
        """Return what stands in a box: of the ways in which it can be read, the one that is read surest."""
        ways = [self._recognize(cut_out(halves, widen(way))) for way in turn_box(corners)]
        text, score = max(ways, key=lambda way: way[1])
        return Line(corners, text, score)

    def _recognize(self, line: np.ndarray) -> tuple[str, float]:
        """Return the text of a line `HEIGHT_PX` high, and the mean of the greatest answers at its letters."""
        answers = self._recognizer.session(to_input(line))[0]
        return decode(answers, self._recognizer.postprocess_op.character)


def plan_looks(wide: int, high: int) -> list[float]:
    """Return the scales of the looks at a picture of so many pixels, each about twice the one before.

    The last is the picture's own size, or as much of it as `MOST_SIDE_PX` allows; a smaller picture is enlarged.
    """
    most = MOST_SIDE_PX / max(wide, high)
    scale = min(FIRST_SIDE_PX / min(wide, high), most)
    last = max(scale, min(1.0, most))
    scales = []
    while scale < 0.75 * last:
        scales.append(scale)
        scale *= 2
    return [*scales, last]


def is_settled(line: Line, scale: float) -> bool:
    """Tell whether a look in a scale settles a line: it is sure, not small, and its letters fill its box."""
    fills = line.width >= NARROW * line.height * len(line.text)
    return fills and line.score >= SURE and line.height * scale >= SMALL_PX


def enclose(traces: np.ndarray, settled: Sequence[Line], place: Box, scale: float) -> Box | None:
    """Return what encloses all traces of text at a place but those of settled lines, with room around; None for none.

    `traces` are of a look at that place in that scale.
    """
    import cv2
    import numpy as np

    left, upper, right, lower = place
    size = np.array((traces.shape[1] / (right - left), traces.shape[0] / (lower - upper)))
    open_ones = traces.astype(np.uint8)
    for line in settled:
        cv2.fillPoly(open_ones, [np.round((line.corners - (left, upper)) * size).astype(np.int32)], 0)
    rows, columns = np.nonzero(open_ones)
    if not len(rows):
        return None
    room = STEP_PX / scale
    return (
        max(left, int(left + columns.min() / size[0] - room)),
        max(upper, int(upper + rows.min() / size[1] - room)),
        min(right, int(left + (columns.max() + 1) / size[0] + room)),
        min(lower, int(upper + (rows.max() + 1) / size[1] + room)),
    )


def halve(pixels: np.ndarray) -> list[np.ndarray]:
    """Return a picture and its halves, each half as large as the one before, down to the height of a line."""
    halves = [pixels]
    while min(halves[-1].shape[:2]) >= 2 * HEIGHT_PX:
        high, wide = halves[-1].shape[:2]
        halves.append(resize(halves[-1], wide // 2, high // 2))
    return halves


def resize(pixels: np.ndarray, wide: int, high: int) -> np.ndarray:
    """Return a picture in another size: averaged where it shrinks, so that no thin stroke is lost."""
    import cv2

    if pixels.shape[:2] == (high, wide):
        return pixels
    shrinks = high * wide < pixels.shape[0] * pixels.shape[1]
    return cv2.resize(pixels, (wide, high), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def turn_box(corners: np.ndarray) -> list[np.ndarray]:
    """Return a box in the ways in which it can be read, each with its upper left corner first.

    A short steep box is also taken upright, and a tall one as a line that runs downwards as well.
    """
    import numpy as np

    ways = [corners]
    across, down = corners[1] - corners[0], corners[3] - corners[0]
    wide, high = math.hypot(*across), math.hypot(*down)
    if wide < SHORT * high and abs(across[1]) > STEEP * abs(across[0]):
        (left, upper), (right, lower) = corners.min(0), corners.max(0)
        ways.append(np.array(((left, upper), (right, upper), (right, lower), (left, lower)), np.float32))
    if high >= TALL * wide:
        ways.append(np.roll(corners, -1, axis=0))
    return ways


def widen(corners: np.ndarray) -> np.ndarray:
    """Return a box wider by `WIDER` at both ends."""
    import numpy as np

    across, down = corners[1] - corners[0], corners[3] - corners[0]
    step = across * (WIDER * math.hypot(*down) / max(math.hypot(*across), 1.0))
    wide: np.ndarray = corners + np.stack([-step, step, step, -step])
    return wide


def cut_out(halves: Sequence[np.ndarray], corners: np.ndarray) -> np.ndarray:
    """Return what stands within corners as a line `HEIGHT_PX` high, cut from the half in which it is little higher."""
    import cv2
    import numpy as np

    wide, high = (math.hypot(*(corners[k] - corners[0])) for k in (1, 3))
    number = 0
    while number + 1 < len(halves) and high / 2 ** (number + 1) >= HEIGHT_PX * 4 / 3:
        number += 1
    scale = halves[number].shape[1] / halves[0].shape[1], halves[number].shape[0] / halves[0].shape[0]
    size = max(1, round(wide * scale[0])), max(1, round(high * scale[1]))
    target = np.array(((0, 0), (size[0], 0), size, (0, size[1])), np.float32)
    turn = cv2.getPerspectiveTransform((corners * scale).astype(np.float32), target)
    line = cv2.warpPerspective(halves[number], turn, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return resize(line, max(8, -(-HEIGHT_PX * size[0] // size[1])), HEIGHT_PX)


def to_input(pixels: np.ndarray) -> np.ndarray:
    """Return a picture as the models take it: an array (1, 3, height, width) float32 in [-1, 1]."""
    import numpy as np

    return np.ascontiguousarray((pixels.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None])


def decode(answers: np.ndarray, characters: Sequence[str]) -> tuple[str, float]:
    """Return the text that a recogniser's answers (steps, classes) spell, and the mean of its letters' answers.

    Class 0 is none; a class that goes on is one letter (CTC). Between two letters a space is written from `SPACE` on.
    """
    best = answers.argmax(1)
    spaces = answers[:, characters.index(" ")]
    letters: list[str] = []
    scores: list[float] = []
    last = 0
    for step, class_ in enumerate(best):
        if class_ == 0 or (step and class_ == best[step - 1]) or characters[class_] == " ":
            continue
        if letters and spaces[last : step + 1].max() >= SPACE:
            letters.append(" ")
        letters.append(characters[class_])
        scores.append(float(answers[step, class_]))
        last = step
    return "".join(letters), sum(scores) / len(scores) if scores else 0.0


class LateReader:
    """A `Reader` that loads when it is first asked: a run without words to read never waits for it.

    Whether it can write a character is asked of it as of a set. It can write all that is printed of ASCII, which it
    need not be loaded for.
    """

    def __init__(self) -> None:
        self._reader: Reader | None = None

    def __call__(self, image: bytes) -> list[str]:
        """Return the lines in a picture; the models are loaded on the first call."""
        return self._load()(image)

    def __contains__(self, character: object) -> bool:
        return character in _PRINTED or character in self._load().characters

    @property
    def characters(self) -> LateReader:
        """Itself, as the characters that it can write."""
        return self

    def _load(self) -> Reader:
        self._reader = self._reader or build()
        return self._reader


def build(threads: int = 1) -> Reader:
    """Return the reader, which takes about a second to load; `threads` is how many onnxruntime may use."""
    from rapidocr import RapidOCR

    engine = RapidOCR(
        params={
            "Det.limit_side_len": 256,
            "Global.log_level": "error",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
    return Reader(engine)


def keep_words(lines: Iterable[str]) -> list[str]:
    """Return the lines that hold a letter or a digit."""
    return [line for line in lines if any(letter.isalnum() for letter in line)]


_MARKS = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u2032\u00b4", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    "\u2122": "TM",
}
"""Typographic quotes, apostrophes and dashes: which one of them stands there, no reader tells for sure."""
_OTHER_MEANING = ("<super>", "<sub>", "<circle>", "<fraction>")
"""Compatibility forms that look and mean otherwise than their plain letters: `x²` is not `x2`."""


def unify(text: str) -> str:
    """Return a text in the one form in which claimed and read texts are compared; plain ASCII stays as it is.

    Composed and decomposed letters, letters in full width, ligatures and other compatibility forms (NFKC) become one,
    and so do typographic and plain quotes, apostrophes and dashes. Raised, lowered, circled and fractional digits stay
    what they are.
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", "".join(map(_unify_letter, text)))


@lru_cache(maxsize=4096)
def _unify_letter(letter: str) -> str:
    if letter in _MARKS:
        return _MARKS[letter]
    if unicodedata.decomposition(letter).startswith(_OTHER_MEANING):
        return letter
    return unicodedata.normalize("NFKC", letter)
