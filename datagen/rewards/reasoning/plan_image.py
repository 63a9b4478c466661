"""Judges whether the image follows the plan of the reasoning: the mean overlap of planned boxes with detected ones.

Planned and detected objects of the same label are paired for the largest sum of overlaps (intersection over union); a
planned object that is not found counts 0. This is the reasoning-to-image reward of GoT-R1 (arXiv 2505.17022). It scores
the text: a plan that the image follows is worth learning from. The evidence lists objects that were not planned and
colours that differ from the plan. It passes if every overlap is at least `GOOD_OVERLAP`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from datagen.records import Detection, Modality, Prompt, Sample, Verdict
from datagen.scoring.layout import Planned, read_layout
from datagen.scoring.tools import Tools
from datagen.scoring.unseen import NO_THING, Unseen, refuse
from datagen.scoring.verdicts import NO_IMAGE, list_detections
from datagen.vision.geometry import measure_overlap

TARGET: Modality = "text"
JUDGES: frozenset[str] = frozenset()
GOOD_OVERLAP = 0.5
"""Least intersection over union of an object that is in its planned position."""


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Compare the boxes of the last thought or reflection with the detections in the sample's last image."""
    thought = find_last_thought(sample)
    if thought is None:
        return Verdict(None, "the sample has no reasoning")
    if sample.image is None:
        return Verdict(None, NO_IMAGE)
    planned = read_layout(thought).things
    if not planned:
        return Verdict(None, "the reasoning plans no object with a box")
    unseen = set() if tools.labels is None else {thing.label for thing in planned} - _fold(tools.labels)
    if unknown := sorted(unseen):
        return refuse([Unseen(NO_THING, name) for name in unknown])
    found = tools.detect(sample.image)
    pairs = pair_boxes(planned, found)
    overlaps = [0.0 if match is None else measure_overlap(thing.box, match.box) for thing, match in pairs]
    evidence = {
        "passed": min(overlaps) >= GOOD_OVERLAP,
        "overlaps": [[thing.phrase, round(overlap, 3)] for (thing, _), overlap in zip(pairs, overlaps, strict=True)],
        "unplanned": _name_unplanned(pairs, found),
        "detections": list_detections(found),
    }
    return Verdict(sum(overlaps) / len(overlaps), _explain(pairs, overlaps), evidence)


def find_last_thought(sample: Sample) -> str | None:
    """Return the last text that plans an image: the thought, or the reflection before the refined image."""
    thoughts = [s.text for s in sample.segments if s.kind == "text" and s.role in ("think", "reflect")]
    return thoughts[-1] if thoughts else None


@lru_cache(maxsize=64)
def _fold(labels: frozenset[str]) -> frozenset[str]:
    """Return a detector's labels in lower case, as those of a plan are."""
    return frozenset(label.casefold() for label in labels)


def pair_boxes(planned: Sequence[Planned], found: Sequence[Detection]) -> list[tuple[Planned, Detection | None]]:
    """Pair each planned object with at most one detection of its label, for the largest sum of overlaps."""
    labels = [other.label.casefold() for other in found]
    gains = [
        [
            measure_overlap(thing.box, other.box) if thing.label == label else 0.0
            for label, other in zip(labels, found, strict=True)
        ]
        for thing in planned
    ]
    places = _pick_best(gains)
    if places is None:
        places = _pick_together(gains)
    return [(thing, None if place is None else found[place]) for thing, place in zip(planned, places, strict=True)]


def _pick_best(gains: Sequence[Sequence[float]]) -> list[int | None] | None:
    """Return the column of the maximum of each row; None if rows share a column, or a row has two maxima.

    Most samples need no assignment problem, and so no scipy.
    """
    best: list[int | None] = []
    for row in gains:
        most = max(row, default=0.0)
        place = row.index(most) if most > 0 else None
        if place is not None and (place in best or row.count(most) > 1):
            return None
        best.append(place)
    return best


def _pick_together(gains: Sequence[Sequence[float]]) -> list[int | None]:
    """Return a distinct column for each row, for the largest sum; None for a row that would add nothing."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    best: list[int | None] = [None] * len(gains)
    for i, j in zip(*linear_sum_assignment(np.array(gains), maximize=True), strict=True):
        if gains[i][j] > 0:
            best[i] = int(j)
    return best


def _name_unplanned(pairs: Sequence[tuple[Planned, Detection | None]], found: Sequence[Detection]) -> list[str]:
    used = {id(match) for _, match in pairs if match is not None}
    return [f"{thing.color} {thing.label}".strip() or "something" for thing in found if id(thing) not in used]


def _explain(pairs: Sequence[tuple[Planned, Detection | None]], overlaps: Sequence[float]) -> str:
    """Return the reason: what became of each planned object that is not as planned."""
    faults = []
    for (thing, match), overlap in zip(pairs, overlaps, strict=True):
        if match is None:
            faults.append(f"the planned {thing} was not found in its place")
        elif overlap < GOOD_OVERLAP:
            faults.append(f"the {thing} was drawn beside its box")
        elif thing.color and match.color and thing.color != match.color:
            faults.append(f"the planned {thing} was drawn {match.color}")
    return "; ".join(faults) or "drawn as planned"
