"""The strict verdict on a sample, behind pass@1 and pass@k: do all claims hold in the image?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from datagen.records import UNNAMED, Detection, Score, Verdict


def passed(scores: Iterable[Score]) -> bool | None:
    """Say whether every image score of one sample passed; None if none of them judged, or if one left it open.

    Scores of the text, those without a value, and those that do not say `passed` (a graded quality, such as
    sharpness) have no part in it. One that would have passed but for something that nobody can name leaves it open.
    """
    scores = list(scores)
    verdicts = [
        bool(score.evidence["passed"])
        for score in scores
        if score.target == "image" and score.value is not None and "passed" in score.evidence
    ]
    if not all(verdicts):
        return False
    if not verdicts or any(score.target == "image" and is_open(score) for score in scores):
        return None
    return True


def is_open(score: Score | Verdict) -> bool:
    """Say whether a scorer left open what it judges, since it saw something that it could not name."""
    return score.value is None and bool(score.evidence.get("unnamed"))


def find_unnamed(things: Iterable[Detection]) -> list[list[int]]:
    """Return the boxes of what a detector saw and could not name."""
    return [list(thing.box) for thing in things if thing.label == UNNAMED]


def doubt(verdict: Verdict, unnamed: Sequence[list[int]], known: Iterable[bool | None]) -> Verdict:
    """Return a verdict as it stands beside things without a name, whose boxes are `unnamed`.

    `known` has for each claim whether it holds or not, whatever those may be, or None if it depends on them: there may
    be more of anything, never less. A verdict has no value if a claim is open and none is known to be wrong.
    """
    states = list(known) if unnamed else []
    if None not in states or False in states:
        return verdict
    evidence = {key: value for key, value in verdict.evidence.items() if key not in ("passed", "holds", "claims")}
    what = "something that cannot be named" if len(unnamed) == 1 else f"{len(unnamed)} things that cannot be named"
    return Verdict(None, f"beside {what}: {verdict.reason}", {**evidence, "unnamed": unnamed})


def says_yes(score: Score) -> bool | None:
    """Say whether a scorer says that what it judges holds: its strict verdict, else a value of at least 0.5.

    None where it has no value. A judge's verdict is `holds` in its evidence, that of arithmetic `passed`.
    """
    if score.value is None:
        return None
    said = score.evidence.get("passed", score.evidence.get("holds"))
    return score.value >= 0.5 if said is None else bool(said)


def mean_of_claims(verdicts: dict[str, bool], reasons: list[str], **evidence: object) -> Verdict:
    """Return the share of claims that hold, with `passed` if all do; `verdicts` maps a claim as text to its answer."""
    share = sum(verdicts.values()) / len(verdicts)
    facts = {"passed": all(verdicts.values()), "claims": verdicts, **evidence}
    return Verdict(share, "; ".join(reasons), facts)


def list_detections(found: Iterable[Detection]) -> list[dict[str, object]]:
    """Return detections as the plain `evidence["detections"]` that the gallery draws over the image.

    Confidence is in whole thousandths, worked out by hand: `round` to three digits takes four times as long.
    """
    return [
        {
            "label": thing.label,
            "color": thing.color,
            "box": list(thing.box),
            "confidence": int(1000 * thing.confidence + 0.5) / 1000,
        }
        for thing in found
    ]
