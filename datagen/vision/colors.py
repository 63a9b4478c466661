"""Name the colour of an object in an image by one of GenEval's ten colours, by its pixels or by CLIP.

By pixels: the median of the mask, or of the middle half of the box in each direction, maps to the nearest named colour
of CSS (CIE 1976 distance in L*a*b*, D65), and that to its family. The names and tones are those of CSS Color Module
Level 4 (Pillow has them), and the families those of its usual listing. Cyan and grey are not colours of GenEval; their
name is `""`.

By CLIP, as GenEval does (arXiv 2310.11513; github.com/djghosh13/geneval at af4902f): the box is cropped, pixels outside
the mask become #999, and the crop is compared with the mean of three sentences for each colour.

Not covered: objects of two colours; a box whose middle shows the background (a ring), unless there is a mask.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from datagen.embedded.pictograms import COLORS
from datagen.vision.geometry import Box

if TYPE_CHECKING:
    import numpy as np

    from datagen.vision.loading import Dual


SENTENCES = ("a photo of a {color} {name}", "a photo of a {color}-colored {name}", "a photo of a {color} object")
"""GenEval's prompts."""
OUTSIDE = 0x99
"""Value of each channel outside the mask (#999)."""
_WHITE = (0.95047, 1.0, 1.08883)
_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))


@dataclass(frozen=True, slots=True)
class Thing:
    """An object whose colour is wanted: its label, its box in pixels, and its mask (H, W) bool of the image, if any."""

    label: str
    box: Box
    mask: np.ndarray | None = None


def name_by_pixels(rgb: np.ndarray, things: Sequence[Thing]) -> list[str]:
    """Return the colour of each object in an image (H, W, 3), 0..255; `""` if no name fits."""
    return [_name_tone(_pick_pixels(rgb, thing)) for thing in things]


def name_by_clip(dual: Dual, rgb: np.ndarray, things: Sequence[Thing]) -> list[str]:
    """Return the likeliest colour of each object by a text-image model; `""` if the model returns no finite number."""
    import numpy as np

    from datagen.vision.loading import normalise

    if not things:
        return []
    seen = dual.encode([_cut_out(rgb, thing) for thing in things]).astype(np.float64)
    names = []
    for row, thing in zip(seen, things, strict=True):
        texts = [text.format(color=color, name=thing.label) for color in COLORS for text in SENTENCES]
        classes = normalise(dual.read(texts).reshape(len(COLORS), len(SENTENCES), -1).mean(1))
        likeness = classes.astype(np.float64) @ row if len(row) == classes.shape[1] else np.full(len(COLORS), np.nan)
        names.append(list(COLORS)[int(likeness.argmax())] if np.isfinite(likeness).all() else "")
    return names


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB (..., 3), 0..255, to CIE L*a*b* (D65)."""
    import numpy as np

    share = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    relative = linear @ np.array(_TO_XYZ).T / np.array(_WHITE)
    bent = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(bent, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _name_tone(pixels: np.ndarray) -> str:
    """Return the name of the median of pixels (n, 3); `""` for no pixels, and for cyan and grey."""
    import numpy as np

    if not len(pixels):
        return ""
    names, tones = _list_tones()
    return names[int(np.linalg.norm(tones - to_lab(np.median(pixels, axis=0)), axis=1).argmin())]


@cache
def _list_tones() -> tuple[list[str], np.ndarray]:
    import numpy as np

    tones = list_tones()
    return [name for name, _ in tones], to_lab(np.array([tone for _, tone in tones]))


def _pick_pixels(rgb: np.ndarray, thing: Thing) -> np.ndarray:
    """Return the pixels (n, 3) that decide an object's colour."""
    if thing.mask is not None:
        masked: np.ndarray = rgb[thing.mask]
        return masked
    x1, y1, x2, y2 = thing.box
    width, height = (x2 - x1) / 4, (y2 - y1) / 4
    middle: np.ndarray = _cut(rgb, (x1 + width, y1 + height, x2 - width, y2 - height)).reshape(-1, 3)
    return middle


def _cut(image: np.ndarray, box: Box) -> np.ndarray:
    """Return the part of an image inside a box, at least one pixel."""
    height, width = image.shape[:2]
    left, top = min(max(int(box[0]), 0), width - 1), min(max(int(box[1]), 0), height - 1)
    right, bottom = max(left + 1, round(box[2])), max(top + 1, round(box[3]))
    part: np.ndarray = image[top:bottom, left:right]
    return part


def _cut_out(rgb: np.ndarray, thing: Thing) -> bytes:
    """Return the crop of an object as PNG, #999 outside its mask."""
    import numpy as np
    from PIL import Image

    part = _cut(rgb, thing.box)
    if thing.mask is not None:
        part = np.where(_cut(thing.mask, thing.box)[..., None], part, OUTSIDE)
    stream = io.BytesIO()
    Image.fromarray(part.astype(np.uint8)).save(stream, "PNG", compress_level=1)  # read once, so speed matters
    return stream.getvalue()


FAMILIES = {
    "red": "darkred red firebrick crimson indianred lightcoral salmon darksalmon lightsalmon",
    "orange": "orangered tomato darkorange coral orange",
    "yellow": "darkkhaki gold khaki peachpuff yellow palegoldenrod moccasin papayawhip lightgoldenrodyellow "
    "lemonchiffon lightyellow",
    "green": "darkgreen green darkolivegreen forestgreen seagreen olive olivedrab mediumseagreen limegreen lime "
    "springgreen mediumspringgreen darkseagreen mediumaquamarine yellowgreen lawngreen chartreuse lightgreen "
    "greenyellow palegreen",
    "blue": "midnightblue navy darkblue mediumblue blue royalblue steelblue dodgerblue deepskyblue cornflowerblue "
    "skyblue lightskyblue lightsteelblue lightblue powderblue",
    "purple": "indigo purple darkmagenta darkviolet darkslateblue blueviolet darkorchid magenta slateblue "
    "mediumslateblue mediumorchid mediumpurple orchid violet plum thistle lavender rebeccapurple",
    "pink": "mediumvioletred deeppink palevioletred hotpink lightpink pink",
    "brown": "maroon brown saddlebrown sienna chocolate darkgoldenrod peru rosybrown goldenrod sandybrown tan "
    "burlywood wheat navajowhite bisque blanchedalmond cornsilk",
    "black": "black",
    "white": "mistyrose antiquewhite linen beige whitesmoke lavenderblush oldlace aliceblue seashell ghostwhite "
    "honeydew floralwhite azure mintcream snow ivory white",
    "": "teal darkcyan lightseagreen cadetblue darkturquoise mediumturquoise turquoise cyan aquamarine paleturquoise "
    "lightcyan darkslategray dimgray slategray gray lightslategray darkgray silver lightgray gainsboro",
}
"""CSS names by the colour of GenEval that they are a tone of; `""` for tones of none."""


SAME = {"violet": "purple", "purple": "violet", "grey": "gray", "gray": "grey"}
"""Pairs of names of one colour, in both directions. A shade is not one: crimson is red, but red need not be crimson."""


def one_name(color: str) -> str:
    """Return the same name for all names of a colour: `purple` for purple and violet, `gray` for gray and grey."""
    return min(color, SAME.get(color, color))


def list_tones() -> list[tuple[str, tuple[int, int, int]]]:
    """Return the colour of each named tone, and the tone as 8-bit RGB."""
    from PIL import ImageColor

    return [(color, ImageColor.getrgb(name)[:3]) for color, names in FAMILIES.items() for name in names.split()]
