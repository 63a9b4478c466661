"""A perceptual hash: whether two pictures are nearly the same, of one prompt, of a run, or of a benchmark.

The hash is 189 signs and a grid of mean colours. Each of the channels red, green and blue is reduced to 32 x 32 px and
transformed by a two-dimensional DCT-II; each of the 8 x 8 lowest frequencies except the mean gives its sign. This is
pHash (Zauner, 2010) with three changes. Three channels distinguish a red star from a blue one, which luma may not. A
frequency too faint to see has no sign; pHash gives it a bit, so that rounding and compression decide where an object is
as light as its background, or where there is nothing. And the mean colours distinguish green from black on a lighter
background, which the signs do not.

Not seen: mirrored, turned, cropped or moved objects, which make another picture here; small details (one letter of a
word, the shape of a small object in the same position and colour), which do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from datagen.pictures import read_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE_PX, LOW, GRID = 32, 8, 4
SIGNS = 3 * (LOW * LOW - 1)
FAINT = 2048.0
"""Least magnitude of a frequency with a sign: a wave of two grey levels; an unscaled DCT-II gives 1,024 a level."""
NEAR = 0.1
"""Largest difference of two pictures that are nearly the same.

Our choice, far below 0.5, the difference of unrelated signs.
"""


@dataclass(frozen=True, slots=True)
class Hash:
    """Signs (189,) of -1, 0 or 1, and the mean colours (4, 4, 3) in [0, 1] of a grid of cells."""

    signs: np.ndarray
    colors: np.ndarray


def hash_image(image: bytes) -> Hash:
    """Return the hash of an image. Raises OSError if it cannot be read."""
    import numpy as np
    from PIL import Image
    from scipy import fft

    picture = read_image(image)
    small = picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    channels = np.asarray(small, dtype=np.float64).transpose(2, 0, 1)
    low = fft.dctn(channels, axes=(1, 2))[:, :LOW, :LOW].reshape(3, -1)[:, 1:]
    signs = np.sign(np.where(np.abs(low) < FAINT, 0.0, low))
    cells = channels.reshape(3, GRID, SIDE_PX // GRID, GRID, SIDE_PX // GRID).mean((2, 4))
    return Hash(signs.reshape(-1), cells.transpose(1, 2, 0) / 255)


def measure_difference(one: Hash, other: Hash) -> float:
    """Return the difference of two pictures, in [0, 1]: of their signs or of the colour of a cell, whichever is larger.

    The difference of signs is the sum of |a - b| over the sum of |a| + |b|: 0 for equal signs, 1 if all are opposite or
    only one picture has any; two pictures without signs do not differ.
    """
    both = float((abs(one.signs) + abs(other.signs)).sum())
    share = float(abs(one.signs - other.signs).sum()) / both if both else 0.0
    return max(share, float(abs(one.colors - other.colors).max()))


PACKED_BYTES = 2 * -(-SIGNS // 8) + GRID * GRID * 3
"""Bytes of a packed hash: a bit for each positive sign, one for each negative, and a byte for each mean colour."""


def pack_hash(hashed: Hash) -> NDArray[np.uint8]:
    """Return a hash as (96,) uint8; colours are rounded to 1/255, so differences of packed ones to 1/255 too."""
    import numpy as np

    planes = [np.packbits(hashed.signs > 0), np.packbits(hashed.signs < 0)]
    return np.concatenate([*planes, np.rint(hashed.colors.reshape(-1) * 255).astype(np.uint8)])


def measure_differences(one: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the difference, as `measure_difference`, of a packed hash (96,) to each of some others (n, 96)."""
    import numpy as np

    half = -(-SIGNS // 8)
    signs, colors = others[:, : 2 * half], others[:, 2 * half :].astype(np.int16)
    count = np.bitwise_count(signs).sum(axis=1, dtype=np.int64) + int(np.bitwise_count(one[: 2 * half]).sum())
    apart = np.bitwise_count(signs ^ one[: 2 * half]).sum(axis=1, dtype=np.int64)
    share = apart / np.maximum(count, 1)
    cells = np.abs(colors - one[2 * half :].astype(np.int16)).max(axis=1) / 255
    larger: NDArray[np.float64] = np.maximum(share, cells)
    return larger
