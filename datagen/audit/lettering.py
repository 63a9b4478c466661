"""Renders pictures of words whose truth is known: any size of picture and letter, font, ground and slant.

A `Lettering` is rendered upright, slanted and laid over its ground, wholly inside the picture. Its letter height is
that of a capital H as a share of the picture's side, so that the same lettering looks alike at every size. Ink and
ground are light on dark or dark on light, each ground tone at least three times as bright as the ink or the other way
round (WCAG's contrast ratio), so that a person reads every picture.

A cell of the table is a size of picture and a height of letters. Its letterings are sampled from the texts,
fonts and grounds given, in one to `MOST_LINES` lines; a text that does not fit at that height is not rendered there.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import cos, radians, sin
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

SIDES_PX = (256, 512, 1024, 1536, 2048)
SHARES = (0.05, 0.08, 0.12, 0.2, 0.3, 0.4)
"""Heights of a capital letter, as shares of the side."""
MOST_LINES = 4
MOST_SLANT = 8.0
"""Degrees to either side."""
PITCH = 1.7
"""From line to line, in heights of a capital letter."""
OVERHANG = 0.45
"""How far accents and descenders may reach above and below, in heights of a capital letter."""
MARGIN = 0.02
"""Share of the side that stays free at each border."""
SUFFIXES = (".ttf", ".otf", ".ttc")
"""Of font files."""
_TRIES = 400
_MEASURED_PX = 200
"""Size at which fonts are measured."""


@dataclass(frozen=True, slots=True)
class Lettering:
    """Words on a ground: their lines, the font's file (`""` is Pillow's own), sizes, slant, and a seed for the rest."""

    lines: tuple[str, ...]
    font: str
    ground: str
    side_px: int
    letter_share: float
    slant_degrees: float
    seed: int

    @property
    def text(self) -> str:
        """The words as a person reads them, line after line."""
        return " ".join(self.lines)


def plan_letterings(
    texts: Sequence[str],
    *,
    fonts: Sequence[str],
    grounds: Sequence[str],
    sides: Sequence[int] = SIDES_PX,
    shares: Sequence[float] = SHARES,
    per_cell: int,
    seed: int,
) -> Iterator[Lettering]:
    """Yield `per_cell` letterings for each size and height, at random but the same for a seed.

    A cell is left out where neither a text nor a word of one fits.
    """
    words = list(dict.fromkeys(word for text in texts for word in text.split() if any(map(str.isalnum, word))))
    for side in sides:
        for share in shares:
            rng = random.Random(f"{seed} {side} {share}")
            for _ in range(per_cell):
                lettering = _sample_lettering((texts, words), fonts, grounds, side, share, rng)
                if lettering is not None:
                    yield lettering


def _sample_lettering(
    texts_and_words: tuple[Sequence[str], Sequence[str]],
    fonts: Sequence[str],
    grounds: Sequence[str],
    side: int,
    share: float,
    rng: random.Random,
) -> Lettering | None:
    texts, words = texts_and_words
    font, ground = rng.choice(fonts), rng.choice(grounds)
    slant = rng.choice((0.0, 1.0, 1.0)) * rng.uniform(-MOST_SLANT, MOST_SLANT)
    most = rng.randint(1, MOST_LINES)
    for count, some in [*((count, texts) for count in range(most, 0, -1)), (1, words)]:
        for _ in range(_TRIES):
            lines = break_lines(rng.choice(some), count)
            if len(lines) == count and _fits(lines, font, share, slant):
                return Lettering(lines, font, ground, side, share, slant, rng.getrandbits(32))
    return None


def break_lines(text: str, count: int) -> tuple[str, ...]:
    """Return a text in so many lines, the longest as short as can be; in fewer where it has fewer words."""
    words = text.split()
    for most in range(max(map(len, words), default=0), len(text) + 1):
        lines: list[str] = []
        for word in words:
            if lines and len(lines[-1]) + 1 + len(word) <= most:
                lines[-1] += " " + word
            else:
                lines.append(word)
        if len(lines) <= count:
            return tuple(lines)
    return ()


def _fits(lines: Sequence[str], font: str, share: float, slant: float) -> bool:
    wide, high = (share * length for length in _measure(lines, font))
    turn = radians(abs(slant))
    return max(wide * cos(turn) + high * sin(turn), wide * sin(turn) + high * cos(turn)) <= 1 - 2 * MARGIN


def _measure(lines: Sequence[str], font: str) -> tuple[float, float]:
    """Return width and height of lines, in heights of a capital letter."""
    face = load_font(font, _MEASURED_PX)
    wide = max(face.getlength(line) for line in lines) / measure_capital(font)
    return wide, (len(lines) - 1) * PITCH + 1 + 2 * OVERHANG


def list_fonts(places: Sequence[Path]) -> list[str]:
    """Return font files, those of a folder in order; for no place, Pillow's own.

    Raises ConfigError for a file that is no font and for a folder without one.
    """
    fonts: list[str] = []
    for place in places:
        files = sorted(each for each in place.rglob("*") if each.suffix.lower() in SUFFIXES)
        if not place.is_file() and not files:
            raise ConfigError("no font file", where=str(place), hint=f"give files or folders of {', '.join(SUFFIXES)}")
        fonts += map(str, files or [place])
    for font in fonts:
        try:
            load_font(font, _MEASURED_PX)
        except OSError as error:
            raise ConfigError(f"the font cannot be read: {error}", where=font, hint="leave it out") from error
    return fonts or [""]


@lru_cache(maxsize=64)
def load_font(font: str, size: float) -> Any:
    """Return a font of Pillow's from a file, or Pillow's own (Aileron); sizes in px of the em."""
    from PIL import ImageFont

    return ImageFont.truetype(font, size) if font else ImageFont.load_default(size)


@lru_cache(maxsize=64)
def measure_capital(font: str) -> int:
    """Return the height of a capital H in px, at the size at which fonts are measured."""
    _, top, _, bottom = load_font(font, _MEASURED_PX).getbbox("H")
    return int(bottom - top)


def render_lettering(lettering: Lettering) -> bytes:
    """Return a lettering as PNG bytes of RGB."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(lettering.seed)
    side = lettering.side_px
    words = _write(lettering, rng)
    mask = Image.new("L", (side, side))
    least = MARGIN * side
    left, upper = (int(rng.uniform(least, max(least, side - length - least))) for length in words.size)
    mask.paste(words, (left, upper))
    ground = GROUNDS[lettering.ground](side, rng)  # of tones in [0, 1], 1 being furthest from the ink
    dark, light = _pick_inks(rng)
    ink, near, far = (dark, light * 0.75, light) if rng.random() < 0.6 else (light, dark * 2 + 20, dark)
    ground = near + (far - near) * ground
    share = np.asarray(mask, np.float32)[..., None] / 255
    pixels = ground * (1 - share) + ink * share
    stream = io.BytesIO()
    Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8)).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _pick_inks(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a dark colour and a light one."""
    import numpy as np

    return rng.uniform(0, 45, 3).astype(np.float32), rng.uniform(200, 255, 3).astype(np.float32)


def _write(lettering: Lettering, rng: np.random.Generator) -> Any:
    """Return the words as a picture of one channel, slanted, no larger than they need."""
    from PIL import Image, ImageDraw

    capital = lettering.letter_share * lettering.side_px
    face = load_font(lettering.font, capital / measure_capital(lettering.font) * _MEASURED_PX)
    boxes = [face.getbbox(line, anchor="ls") for line in lettering.lines]
    wide = max(box[2] - box[0] for box in boxes)
    margin = int(capital) + 2
    high = int((len(boxes) - 1) * PITCH * capital) + 2 * margin
    picture = Image.new("L", (int(wide) + 2 * margin, high + int(capital)))
    align = rng.choice((0.0, 0.5))
    for k, (line, box) in enumerate(zip(lettering.lines, boxes, strict=True)):
        left = margin - box[0] + align * (wide - (box[2] - box[0]))
        ImageDraw.Draw(picture).text((left, margin + (1 + PITCH * k) * capital), line, 255, face, anchor="ls")
    if lettering.slant_degrees:
        picture = picture.rotate(lettering.slant_degrees, Image.Resampling.BICUBIC, expand=True)
    return picture.crop(picture.getbbox())


def _make_plain(side: int, rng: np.random.Generator) -> np.ndarray:
    import numpy as np

    return np.full((side, side, 1), rng.random(), np.float32)


def _make_gradient(side: int, rng: np.random.Generator) -> np.ndarray:
    """From one tone to another, in some direction."""
    across, down = _axes(side)
    tones = _stretch(across * rng.uniform(-1, 1) + down * rng.uniform(-1, 1))
    return tones[..., None]


def _make_noise(side: int, rng: np.random.Generator) -> np.ndarray:
    """Grains of one pixel or of a 256th of the side, each of its own colour."""
    from PIL import Image

    grains = side if rng.random() < 0.5 else min(side, 256)
    return _enlarge(rng.random((grains, grains, 3)), side, Image.Resampling.BILINEAR)


def _make_stripes(side: int, rng: np.random.Generator) -> np.ndarray:
    """Stripes a hundredth to a tenth of the side wide, in some direction."""
    import numpy as np

    across, down = _axes(side)
    turn = rng.uniform(0, np.pi)
    stripes = (across * np.cos(turn) + down * np.sin(turn)) / rng.uniform(0.01, 0.1)
    tones: np.ndarray = np.floor(stripes) % 2
    return tones[..., None]


def _make_checks(side: int, rng: np.random.Generator) -> np.ndarray:
    """Squares a fortieth to an eighth of the side wide."""
    import numpy as np

    across, down = _axes(side)
    wide = rng.uniform(1 / 40, 1 / 8)
    return ((np.floor(across / wide) + np.floor(down / wide)) % 2)[..., None].astype(np.float32)


def _make_clouds(side: int, rng: np.random.Generator) -> np.ndarray:
    """Soft fields of colour of several sizes, as out of focus."""
    import numpy as np
    from PIL import Image

    fields = (
        _enlarge(rng.random((n, n, 3)), side, Image.Resampling.BICUBIC) / k for k, n in enumerate((3, 6, 12, 24), 1)
    )
    return _stretch(np.sum(list(fields), 0))


def _make_discs(side: int, rng: np.random.Generator) -> np.ndarray:
    """Thirty discs of many sizes and tones, one over the other."""
    import numpy as np

    across, down = _axes(side)
    ground = np.full((side, side, 3), rng.random(), np.float32)
    for x, y, radius, *tone in rng.random((30, 6)):
        ground[(across - x) ** 2 + (down - y) ** 2 < (0.02 + 0.1 * radius) ** 2] = tone
    return ground


def _make_waves(side: int, rng: np.random.Generator) -> np.ndarray:
    """Rings around two points, as on water."""
    import numpy as np

    across, down = _axes(side)
    rings = (
        np.sin(np.hypot(across - x, down - y) * (20 + 60 * density)) for x, y, density in rng.uniform(0, 1, (2, 3))
    )
    return _stretch(np.sum(list(rings), 0))[..., None]


def _axes(side: int) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    line = np.arange(side, dtype=np.float32) / side
    return line[None], line[:, None]


def _stretch(tones: np.ndarray) -> np.ndarray:
    least, most = float(tones.min()), float(tones.max())
    stretched: np.ndarray = (tones - least) / max(most - least, 1e-6)
    return stretched


def _enlarge(tones: np.ndarray, side: int, how: Any) -> np.ndarray:
    import numpy as np
    from PIL import Image

    picture = Image.fromarray((tones * 255).astype(np.uint8))
    enlarged: np.ndarray = np.asarray(picture.resize((side, side), how), np.float32) / 255
    return enlarged


GROUNDS: Mapping[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "plain": _make_plain,
    "gradient": _make_gradient,
    "noise": _make_noise,
    "stripes": _make_stripes,
    "checks": _make_checks,
    "clouds": _make_clouds,
    "discs": _make_discs,
    "waves": _make_waves,
}
"""Functions from a side in px to tones in [0, 1], as arrays (side, side, 1 or 3)."""


def misspell(text: str, rng: random.Random) -> str:
    """Return a text in which one letter of ASCII is another of the same case; raises ValueError if it has none."""
    places = [k for k, letter in enumerate(text) if letter.isascii() and letter.isalpha()]
    if not places:
        raise ValueError(f"no letter to change in {text!r}")
    place = rng.choice(places)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if text[place].isupper() else "abcdefghijklmnopqrstuvwxyz"
    return text[:place] + rng.choice(letters.replace(text[place], "")) + text[place + 1 :]
