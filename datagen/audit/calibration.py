"""Calibration of a judge: whether P(yes) ranks right images first, whether it is calibrated, and its yes-bias.

Pairs are (P(yes), truth): the judge's P(yes) for an image, and whether the image is right according to another judge,
arithmetic or a person. AUC is the probability that a right image gets more than a wrong one, ties counted half;
calibration error compares P(yes) with the share of right images in ten equal bins. Yes-bias asks about each image with
the prompt of another one. docs/judges.md explains the figures, `datagen bench model` shows them.

Not covered: prompts of other images that happen to be true, which is frequent if many claims are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.records import Prompt, Sample
from datagen.scoring.asking import Asked, ask_all
from datagen.scoring.questions import WHOLE, YES
from datagen.scoring.tools import Ask

Pair = tuple[float, bool]
BINS = 10
"""Number of equally wide bins of the calibration table."""
MOST_YES = 0.5
"""Share of mismatched prompts from which on a yes is a warning."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs with P(yes) in [low, high), the last bin with 1: their number, mean P(yes), and share of right images."""

    low: float
    high: float
    count: int
    said: float
    right: float


@dataclass(frozen=True, slots=True)
class YesBias:
    """Answers about the prompt of another image: mean P(yes), the share of at least 0.5, and counts.

    `mean` and `share` are in [0, 1], or None without answers; near 0 is healthy, 1 means that the judge always says
    yes. `asked` counts images with a suitable other prompt, `failed` those without an answer.
    """

    mean: float | None
    share: float | None
    asked: int
    failed: int


def auc_of(pairs: Sequence[Pair]) -> float | None:
    """Return the area under the ROC curve, in [0, 1], ties counted half; None if all or none are right.

    Raises ValueError for a P(yes) outside [0, 1].
    """
    said, truth = _split(pairs)
    levels, place = np.unique(said, return_inverse=True)
    return _auc(place, truth, len(levels))


def bootstrap_auc(pairs: Sequence[Pair], rounds: int = 1000, seed: int = 0) -> tuple[float | None, float | None]:
    """Return the 95 % interval of AUC, resampling pairs; (None, None) if all or none are right.

    Resamples without both a right and a wrong image are left out.
    """
    said, truth = _split(pairs)
    levels, place = np.unique(said, return_inverse=True)
    if _auc(place, truth, len(levels)) is None:
        return None, None
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, len(said), len(said)) for _ in range(rounds))
    found = [area for k in draws if (area := _auc(place[k], truth[k], len(levels))) is not None]
    return (float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))) if found else (None, None)


def tabulate_calibration(pairs: Sequence[Pair]) -> list[Bin]:
    """Return the non-empty bins, from low to high. Raises ValueError for a P(yes) outside [0, 1]."""
    said, truth = _split(pairs)
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    groups = [(k, place == k) for k in range(BINS) if (place == k).any()]
    return [
        Bin(k / BINS, (k + 1) / BINS, int(mine.sum()), float(said[mine].mean()), float(truth[mine].mean()))
        for k, mine in groups
    ]


def expected_calibration_error(pairs: Sequence[Pair]) -> float | None:
    """Return the mean over pairs of |mean P(yes) - share of right images| of their bin; None without pairs.

    The estimator of Naeini et al. (2015) and Guo et al. (arXiv 1706.04599), for a yes-or-no answer.
    """
    if not pairs:
        return None
    return sum(row.count * abs(row.said - row.right) for row in tabulate_calibration(pairs)) / len(pairs)


def measure_yes_bias(ask: Ask, drawn: Sequence[tuple[Prompt, Sample]]) -> YesBias:
    """Ask about each image with the prompt of another one, in the form of `vqa`, in one call.

    The other prompt is the next one in the list with a claim that the image's own prompt does not make; an image
    without such a prompt is left out. Questions without an answer count as failed, neither as yes nor as no.
    """
    asked = [
        Asked(sample.image, WHOLE["qwenvqascore"].format(other.text), YES, sample.seed)
        for k, (_, sample) in enumerate(drawn)
        if sample.image is not None and (other := _find_other(drawn, k)) is not None
    ]
    answers = ask_all(ask, asked) if asked else []
    said = [answer.probability for answer in answers if answer.probability is not None]
    if not said:
        return YesBias(None, None, len(asked), len(asked))
    yes = sum(p >= 0.5 for p in said)
    return YesBias(sum(said) / len(said), yes / len(said), len(asked), len(asked) - len(said))


def judge_warning(pairs: Sequence[Pair], bias: YesBias) -> str:
    """Return a sentence that says why this judge should not be trusted, or `""`."""
    faults = []
    if bias.asked and bias.share is None:
        faults.append("answers no question")
    if bias.share is not None and bias.share >= MOST_YES:
        faults.append(f"says yes to {bias.share:.0%} of the images when asked about another prompt")
    low, _ = bootstrap_auc(pairs)
    if low is not None and low <= 0.5:
        faults.append(f"does not tell right images from wrong ones better than chance (AUC {auc_of(pairs):.2f})")
    return f"do not trust this judge: it {' and '.join(faults)}" if faults else ""


def _split(pairs: Sequence[Pair]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return P(yes) and truth, both of shape (pairs,)."""
    said = np.array([p for p, _ in pairs], float)
    if not ((said >= 0) & (said <= 1)).all():
        raise ValueError("P(yes) must be in [0, 1]")
    return said, np.array([bool(truth) for _, truth in pairs], bool)


def _auc(place: NDArray[np.intp], truth: NDArray[np.bool_], levels: int) -> float | None:
    """Return AUC from the level of each pair's P(yes), lowest first: wrong pairs below count 1, equal ones 1/2."""
    right, wrong = np.bincount(place[truth], minlength=levels), np.bincount(place[~truth], minlength=levels)
    if not right.any() or not wrong.any():
        return None
    below = np.cumsum(wrong) - wrong
    return float((right * (below + wrong / 2)).sum() / (right.sum() * wrong.sum()))


def _find_other(drawn: Sequence[tuple[Prompt, Sample]], k: int) -> Prompt | None:
    own = set(drawn[k][0].claims)
    others = (drawn[(k + step) % len(drawn)][0] for step in range(1, len(drawn)))
    return next((other for other in others if not own.issuperset(other.claims)), None)
