"""Judges how far a candidate's image is from the others of its prompt, by the recipe's image encoders.

The diversity of a group is one minus the mean cosine of all its pairs. Value: one minus the mean cosine of this image
with the others, cut off to [0, 1], so that the mean over a group is the group's diversity (`evidence["group"]`). With
several encoders it is the mean over them.

Not seen: whether the difference is useful. Noise is far from everything.
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
"""Reason of a scorer that compares images when the recipe has no encoder."""


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return a verdict without value: a sample alone has nothing to compare."""
    return score_group(prompt, [sample], tools)[0]


def look_ahead(pairs: Sequence[tuple[Prompt, Sample]], tools: Tools) -> None:
    """Encode the last images of a shard in one batch."""
    images = [image for _, image in with_images([sample for _, sample in pairs])]
    for encode in tools.encoders.values():
        encode(images)


def score_group(prompt: Prompt, samples: Sequence[Sample], tools: Tools) -> list[Verdict]:
    """Judge the last image of each candidate against the others; each encoder is called once for all."""
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
    """Return one minus the mean cosine of each row with the others, in [0, 2], for two or more rows of length 1."""
    table = cosine_table(rows)
    count = len(table)
    return [1 - (float(table[k].sum()) - float(table[k, k])) / (count - 1) for k in range(count)]


def _judge(apart: Mapping[str, float], group: float) -> Verdict:
    mean = fmean(apart.values())
    evidence = {"apart": {name: round(value, 6) for name, value in apart.items()}, "group": round(group, 6)}
    return Verdict(min(1.0, max(0.0, mean)), f"{mean:.3f} from the other candidates, the group {group:.3f}", evidence)
