"""Rating of scorers on cases whose truth is known: accuracy, AUC, false passes and fails, calibration, bias.

A scorer says yes if its evidence says `passed` or `holds`, else if its value is at least 0.5. It is right if it says
yes exactly when all the claims that it judges hold. Cases whose truth is open and cases that it does not judge do not
count (the latter are shown as unjudged). AUC and calibration use the value itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from datagen.audit.calibration import auc_of, expected_calibration_error
from datagen.audit.scenes import CHANGES, Case, list_boxes
from datagen.embedded.pictograms import BACKGROUNDS, CELL_PX, IMAGE_PX
from datagen.errors import RunError
from datagen.pipeline import Run, score_by
from datagen.records import Failure
from datagen.scoring.verdicts import says_yes

Row = dict[str, str | int | float | None]


@dataclass(frozen=True, slots=True)
class Opinion:
    """A scorer's answer on one case: value, yes or no, reason, the truth, and the time in seconds."""

    scorer: str
    case: Case
    value: float | None
    says: bool | None
    reason: str
    truth: bool
    seconds: float


def ask_scorers(run: Run, cases: Iterable[Case]) -> list[Opinion]:
    """Return the opinion of every image scorer of a run's recipe on every case, case by case.

    A scorer that raises has no value. A scorer is not asked if it judges no claim of the case or if the truth is open.
    The time of detector and OCR counts for the first scorer that needs them. Raises RunError if a model was not
    reached, since the audit would be incomplete.
    """
    names = [name for name, module in run.scorers.items() if module.TARGET == "image"]
    opinions = []
    for case in cases:
        sample = case.as_sample()
        for name in names:
            truth = truth_for(case, run.scorers[name].JUDGES)
            if truth is None:
                continue
            begin = time.perf_counter()
            score, failure = score_by(run, name, case.prompt, sample)
            require_reached(name, failure)
            seconds = time.perf_counter() - begin
            opinions.append(Opinion(name, case, score.value, says_yes(score), score.reason, truth, seconds))
    return opinions


def require_reached(name: str, failure: Failure | None) -> None:
    """Raise RunError if a scorer's model was not reached, since an audit without it would be incomplete."""
    if failure is not None and failure.unreached:
        raise RunError(failure.error, where=name, hint="repeat the audit when the model answers")


def truth_for(case: Case, kinds: Collection[str]) -> bool | None:
    """Return whether all claims of some kinds hold in a case; None if there are none, or if that is open."""
    mine = [holds for claim, holds in case.truth.items() if claim.kind in kinds]
    if not mine:
        return None
    if False in mine:
        return False
    return None if None in mine else True


def rate_scorers(opinions: Sequence[Opinion]) -> list[Row]:
    """Return one row for each scorer and weakness, all weaknesses first; see `rate`."""
    rows: list[Row] = []
    for name in dict.fromkeys(opinion.scorer for opinion in opinions):
        mine = [opinion for opinion in opinions if opinion.scorer == name]
        weaknesses = dict.fromkeys(opinion.case.prompt.weakness for opinion in mine)
        rows.append({"scorer": name, "weakness": "all", **rate(mine)})
        if len(weaknesses) > 1:
            for weakness in weaknesses:
                some = [opinion for opinion in mine if opinion.case.prompt.weakness == weakness]
                rows.append({"scorer": name, "weakness": weakness, **rate(some)})
    return rows


def rate(opinions: Sequence[Opinion]) -> Row:
    """Return how often opinions are right, and how they are wrong.

    `false pass` is a share of the broken cases, `false fail` of the true ones, `calibration error` the expected
    calibration error of the value: all in [0, 1], or None without cases. `ms` is the mean time per case in
    milliseconds.
    """
    judged = [opinion for opinion in opinions if opinion.says is not None]
    pairs = [(opinion.value or 0.0, opinion.truth) for opinion in judged]
    return {
        "cases": len(opinions),
        "unjudged": len(opinions) - len(judged),
        "accuracy": share(judged, lambda each: each.says == each.truth),
        "AUC": auc_of(pairs) if pairs else None,
        "false pass": share([each for each in judged if not each.truth], lambda each: bool(each.says)),
        "false fail": share([each for each in judged if each.truth], lambda each: not each.says),
        "calibration error": expected_calibration_error(pairs),
        "ms": 1000 * sum(opinion.seconds for opinion in opinions) / len(opinions),
    }


def rate_changes(opinions: Sequence[Opinion]) -> list[Row]:
    """Return for each scorer and kind of scene the number of cases, unjudged cases, accuracy and passes.

    `accuracy` is the share of right answers among the judged cases, `passes` the share of all cases that it passes.
    """
    rows: list[Row] = []
    for name in dict.fromkeys(opinion.scorer for opinion in opinions):
        for change in CHANGES:
            mine = [o for o in opinions if o.scorer == name and o.case.change == change]
            judged = [o for o in mine if o.says is not None]
            if mine:
                row: Row = {"scorer": name, "scene": change, "cases": len(mine), "unjudged": len(mine) - len(judged)}
                right = share(judged, lambda each: each.says == each.truth)
                rows.append(row | {"accuracy": right, "passes": share(mine, lambda each: each.says is True)})
    return rows


def find_bias(opinions: Sequence[Opinion]) -> list[Row]:
    """Return the accuracy of each scorer by quality of the image and bucket: a gap between buckets is a bias.

    Qualities: brightness of the background (luma, 0 to 1), size of the smallest object, mean height in the image,
    number of letters, number of objects. Only buckets with a case are shown.
    """
    rows: list[Row] = []
    for name in dict.fromkeys(opinion.scorer for opinion in opinions):
        judged = [opinion for opinion in opinions if opinion.scorer == name and opinion.says is not None]
        for quality, bucket_of in _QUALITIES.items():
            buckets: dict[str, list[Opinion]] = {}
            for opinion in judged:
                if (bucket := bucket_of(opinion.case)) is not None:
                    buckets.setdefault(bucket, []).append(opinion)
            for bucket, mine in sorted(buckets.items()):
                right = share(mine, lambda each: each.says == each.truth)
                rows.append({"scorer": name, "by": quality, "bucket": bucket, "cases": len(mine), "accuracy": right})
    return rows


def share(opinions: Sequence[Opinion], counts: Callable[[Opinion], bool]) -> float | None:
    """Return the share of opinions for which `counts` holds, in [0, 1]; None if there are no opinions."""
    return sum(map(counts, opinions)) / len(opinions) if opinions else None


def _brightness(case: Case) -> str:
    red, green, blue = BACKGROUNDS[case.scene.background]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return f"{luma / 255:.2f} ({case.scene.background})"


def _size(case: Case) -> str | None:
    sides = [x2 - x1 for kind, (x1, _, x2, _) in list_boxes(case.scene) if kind != "text"]
    if not sides:
        return None
    cells = min(sides) / CELL_PX
    return f"{cells:.0f} cells" if cells in (2, 3) else "below 2 cells" if cells < 2 else "another size above"


def _place(case: Case) -> str:
    boxes = [box for _, box in list_boxes(case.scene)]
    middle = sum(y1 + y2 for _, y1, _, y2 in boxes) / (2 * len(boxes))
    return "upper third" if middle < IMAGE_PX / 3 else "lower third" if middle > 2 * IMAGE_PX / 3 else "middle third"


def _letters(case: Case) -> str | None:
    words = [item.word for item in case.scene.items if item.word]
    return f"{len(words[0])} letters" if words else None


def _crowd(case: Case) -> str:
    many = len(list_boxes(case.scene))
    return f"{min(many, 5)}{' or more' if many >= 5 else ''} things"


_QUALITIES: dict[str, Callable[[Case], str | None]] = {
    "brightness": _brightness,
    "size": _size,
    "place": _place,
    "text length": _letters,
    "crowd": _crowd,
}
