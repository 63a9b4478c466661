"""Judges whether a candidate is nearly the same picture as others of its prompt, by a perceptual hash.

Value: 1 / (1 + the number of other candidates that look nearly the same), so that k copies of a picture count 1/k each
and once together. Two are nearly the same if their hashes differ by at most `NEAR`.

The hash is 189 signs and a grid of mean colours. Each of the channels red, green and blue is reduced to 32 x 32 px and
transformed by a two-dimensional DCT-II; each of the 8 x 8 lowest frequencies except the mean gives its sign. This is
pHash (Zauner, 2010) with three changes. Three channels distinguish a red star from a blue one, which luma may not. A
frequency too faint to see has no sign; pHash gives it a bit, so that rounding and compression decide where an object is
as light as its background, or where there is nothing. And the mean colours distinguish green from black on a lighter
background, which the signs do not.

Not seen: mirrored, turned or moved objects, which make another picture here; small details (one letter of a word, the
shape of a small object in the same position and colour), which do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datagen.pictures import read_image, read_many
from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import ALONE, spread_verdicts, with_images

if TYPE_CHECKING:
    import numpy as np


TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return a verdict without value: a sample alone has nothing to compare."""
    return score_group(prompt, [sample], tools)[0]


def score_group(prompt: Prompt, samples: Sequence[Sample], tools: Tools) -> list[Verdict]:
    """Judge the last image of each candidate against the others."""
    seen = with_images(samples)
    hashes = dict(zip([k for k, _ in seen], read_many(hash_image, [image for _, image in seen]), strict=True))
    judged: dict[int, Verdict] = {}
    for k, mine in hashes.items():
        if isinstance(mine, OSError):
            judged[k] = Verdict(None, str(mine))
            continue
        differences = {
            samples[j].candidate: measure_difference(mine, other)
            for j, other in hashes.items()
            if j != k and not isinstance(other, OSError)
        }
        judged[k] = _judge(differences)
    return spread_verdicts(samples, judged)


def _judge(differences: dict[int, float]) -> Verdict:
    """Return the verdict on a picture from its difference to each other candidate."""
    if not differences:
        return Verdict(None, ALONE)
    near = sorted(candidate for candidate, difference in differences.items() if difference <= NEAR)
    evidence = {"near": near, "least_difference": round(min(differences.values()), 4)}
    if not near:
        return Verdict(1.0, "no other candidate looks nearly the same", evidence)
    which = ", ".join(map(str, near))
    return Verdict(1 / (1 + len(near)), f"nearly the same picture as candidate {which}", evidence)


SIDE_PX, LOW, GRID = 32, 8, 4
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
