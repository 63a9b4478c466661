"""Judges whether a candidate is nearly the same picture as others of its prompt, by a perceptual hash.

Value: 1 / (1 + how many other candidates look nearly the same), so that a picture that came k times counts 1/k each
time, and all of them once. Two are nearly the same if their hashes differ by at most `NEAR`.

Not seen: the same thing mirrored, turned or moved, which is another picture here; a small detail (one letter of a
word, the shape of a small thing in the same place and colour), which is not.

A perceptual hash of a picture: what it looks like from afar, in 189 signs.

Each of the channels red, green and blue is shrunk to 32 x 32 px and transformed by a two-dimensional DCT-II; each of
the 8 x 8 lowest frequencies but the mean gives its sign. It is the idea of pHash (Zauner, 2010), with two changes.
Three channels tell a red star from a blue one, which the luma may not. And a frequency too faint to be seen has no
sign, where pHash gives a bit whatever its size, so that rounding and compression decide where the thing is as light as
its ground, or where there is nothing. The mean colours of a grid stand beside the signs, which do not tell green from
black on a lighter ground.
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
    """Judge a sample alone: there is nothing to compare."""
    return score_group(prompt, [sample], tools)[0]


def score_group(prompt: Prompt, samples: Sequence[Sample], tools: Tools) -> list[Verdict]:
    """Judge the last image of each candidate against those of the others."""
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
    """Return the verdict on a picture from how far it is from each other candidate."""
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
"""Frequencies below this have no sign: a wave of two grey levels, which is 1,024 a level after an unscaled DCT-II."""
NEAR = 0.1
"""Two pictures are nearly the same if their difference is at most this.

Our choice, far below the half by which unrelated signs differ.
"""


@dataclass(frozen=True, slots=True)
class Hash:
    """Signs (189,) of -1, 0 or 1, and the mean colours (4, 4, 3) in [0, 1] of a grid of cells."""

    signs: np.ndarray
    colors: np.ndarray


def hash_image(image: bytes) -> Hash:
    """Return the hash of an image; raises OSError when it cannot be read."""
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
    """Return how far apart two pictures are, in [0, 1]: by their signs or by the colour of a cell, whichever is more.

    By signs it is the sum of |a - b| over the sum of |a| + |b|: 0 for the same signs, 1 where all are turned, or where
    only one picture has any; two pictures without a sign do not differ.
    """
    both = float((abs(one.signs) + abs(other.signs)).sum())
    share = float(abs(one.signs - other.signs).sum()) / both if both else 0.0
    return max(share, float(abs(one.colors - other.colors).max()))
