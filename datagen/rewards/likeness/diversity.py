"""Judges how far a candidate's image lies from the others of its prompt, under the recipe's image encoders.

The diversity of a group is one minus the mean cosine of all its pairs. Value: one minus the mean cosine of this image
with the others, so that the mean over a group is the group's diversity (`evidence["group"]`); below 0 or above 1, which
cosines below 0 make possible, it is cut off there. With several encoders it is the mean over them.

Not seen: whether the difference is of any use. Noise is far from everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import ALONE, spread_verdicts, with_images
from datagen.vision.loading import cosine_table, explain_blind, find_blind

if TYPE_CHECKING:
    import numpy as np


TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()
NEEDS_ENCODERS = True
NO_ENCODERS = "no image encoder: add `encoders:` to the recipe"
"""Why a scorer that compares images does not judge where nothing compares them."""


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge a sample alone: there is nothing to compare."""
    return score_group(prompt, [sample], tools)[0]


def look_ahead(pairs: Sequence[tuple[Prompt, Sample]], tools: Tools) -> None:
    """Encode the last images of a shard in one batch."""
    images = [image for _, image in with_images([sample for _, sample in pairs])]
    for encode in tools.encoders.values():
        encode(images)


def score_group(prompt: Prompt, samples: Sequence[Sample], tools: Tools) -> list[Verdict]:
    """Judge the last image of each candidate against those of the others, each encoder asked once for all."""
    if not tools.encoders:
        return [Verdict(None, NO_ENCODERS)] * len(samples)
    seen = with_images(samples)
    rows = {name: encode([image for _, image in seen]) for name, encode in tools.encoders.items()} if seen else {}
    blind = {place for table in rows.values() for place in find_blind(table)}
    judged = {seen[place][0]: Verdict(None, explain_blind(seen[place][1])) for place in sorted(blind)}
    clear = [place for place in range(len(seen)) if place not in blind]
    if len(clear) == 1:
        judged[seen[clear[0]][0]] = Verdict(None, ALONE)
    if len(clear) > 1:
        apart = {name: measure_apart(table[clear]) for name, table in rows.items()}
        group = fmean(fmean(distances) for distances in apart.values())
        for place, number in enumerate(clear):
            judged[seen[number][0]] = _judge({name: each[place] for name, each in apart.items()}, group)
    return spread_verdicts(samples, judged)


def measure_apart(rows: np.ndarray) -> list[float]:
    """Return, for each of at least two rows of length 1, one minus its mean cosine with the others, in [0, 2]."""
    table = cosine_table(rows)
    count = len(table)
    return [1 - (float(table[k].sum()) - float(table[k, k])) / (count - 1) for k in range(count)]


def _judge(apart: Mapping[str, float], group: float) -> Verdict:
    mean = fmean(apart.values())
    evidence = {"apart": {name: round(value, 6) for name, value in apart.items()}, "group": round(group, 6)}
    return Verdict(min(1.0, max(0.0, mean)), f"{mean:.3f} from the other candidates, the group {group:.3f}", evidence)
