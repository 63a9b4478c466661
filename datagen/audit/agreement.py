"""Agreement, saturation and drift of the scorers of a run.

Computed from stored scores. Two scorers agree on a sample if both say yes or both say no; Cohen's kappa (1960) corrects
for the agreement expected by chance from their shares of yes. A saturated scorer gives nearly all samples its highest
or lowest value, so its weights are noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

from datagen.audit.trust import Row
from datagen.pipeline import Run
from datagen.records import Score
from datagen.scoring.verdicts import says_yes

SATURATED = 0.95
"""A scorer is saturated if at least this share of samples has the same extreme value."""


@dataclass(frozen=True, slots=True)
class Said:
    """The image scores of one sample by scorer, in the recipe's order."""

    sample_id: str
    scores: dict[str, Score]


def read_said(run: Run) -> Iterator[Said]:
    """Yield the image scores of every sample of a run; holds one shard in memory."""
    for shard in run.folder.list_shards("scores"):
        for sample_id, scores in groupby(run.folder.read_scores(shard), key=lambda score: score.sample_id):
            yield Said(sample_id, {score.name: score for score in scores if score.target == "image"})


def compare_scorers(samples: Sequence[Said]) -> list[Row]:
    """Return for each pair of scorers: samples judged by both, agreement, kappa, and counts of one saying yes alone."""
    names = list(dict.fromkeys(name for said in samples for name in said.scores))
    rows: list[Row] = []
    for one, other in combinations(names, 2):
        both = [
            (yes, no)
            for said in samples
            if (yes := _says(said, one)) is not None and (no := _says(said, other)) is not None
        ]
        if not both:
            continue
        rows.append(
            {
                "scorer": one,
                "other": other,
                "samples": len(both),
                "agree": sum(a == b for a, b in both) / len(both),
                "kappa": kappa_of(both),
                "yes alone": sum(a and not b for a, b in both),
                "no alone": sum(b and not a for a, b in both),
            }
        )
    return rows


def kappa_of(both: Sequence[tuple[bool, bool]]) -> float | None:
    """Return Cohen's kappa of two raters, in [-1, 1]; None if both always give the same answer."""
    n = len(both)
    seen = sum(a == b for a, b in both) / n
    yes, other = sum(a for a, _ in both) / n, sum(b for _, b in both) / n
    chance = yes * other + (1 - yes) * (1 - other)
    # If both always give the same answer, agreement by chance is certain and kappa is undefined.
    return None if math.isclose(chance, 1.0) else (seen - chance) / (1 - chance)


def find_saturation(samples: Sequence[Said]) -> list[Row]:
    """Return for each scorer its number of samples, mean, deviation, and the shares at 0 and at 1."""
    rows: list[Row] = []
    for name in dict.fromkeys(name for said in samples for name in said.scores):
        values = [s.value for said in samples if (s := said.scores.get(name)) is not None and s.value is not None]
        if not values:
            continue
        mean = math.fsum(values) / len(values)
        low, high = (sum(value == end for value in values) / len(values) for end in (0.0, 1.0))
        rows.append(
            {
                "scorer": name,
                "samples": len(values),
                "mean": mean,
                "deviation": math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values)),
                "at 0": low,
                "at 1": high,
                "saturated": "yes" if max(low, high) >= SATURATED else "no",
            }
        )
    return rows


def measure_drift(samples: Sequence[Said], before: Sequence[Said]) -> list[Row]:
    """Return for each scorer of both runs the means, and the Kolmogorov-Smirnov distance of its values with P.

    If both runs contain the same samples, `moved` is the share whose value differs: the scorer has changed.
    """
    from scipy.stats import ks_2samp

    old = {said.sample_id: said for said in before}
    rows: list[Row] = []
    for name in dict.fromkeys(name for said in samples for name in said.scores):
        now, then = _values(samples, name), _values(before, name)
        if not now or not then:
            continue
        test = ks_2samp(now, then)
        same = [
            (said.scores[name].value, old[said.sample_id].scores[name].value)
            for said in samples
            if name in said.scores and said.sample_id in old and name in old[said.sample_id].scores
        ]
        rows.append(
            {
                "scorer": name,
                "mean": math.fsum(now) / len(now),
                "before": math.fsum(then) / len(then),
                "distance": float(test.statistic),
                "P": float(test.pvalue),
                "same samples": len(same),
                "moved": sum(a != b for a, b in same) / len(same) if same else None,
            }
        )
    return rows


def list_disagreements(samples: Sequence[Said], limit: int) -> list[Row]:
    """Return at most `limit` samples on which the scorers disagree most: closest to half yes, half no."""
    rows: list[tuple[float, str, Row]] = []
    for said in samples:
        voices = {name: says for name, score in said.scores.items() if (says := says_yes(score)) is not None}
        yes, no = ([name for name, says in voices.items() if says == side] for side in (True, False))
        if yes and no:
            row: Row = {"sample": said.sample_id, "yes": ", ".join(yes), "no": ", ".join(no)}
            rows.append((abs(len(yes) - len(no)) / len(voices), said.sample_id, row))
    return [row for _, _, row in sorted(rows, key=lambda each: each[:2])[:limit]]


def _says(said: Said, name: str) -> bool | None:
    score = said.scores.get(name)
    return None if score is None else says_yes(score)


def _values(samples: Sequence[Said], name: str) -> list[float]:
    return [s.value for said in samples if (s := said.scores.get(name)) is not None and s.value is not None]
