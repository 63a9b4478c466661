"""Verdicts on samples: the strict one of pass@1 and pass@k, those on groups, and disputes between scorers.

The strict verdict says whether all claims hold in the image.

A scorer of groups judges all candidates of one prompt together: its module has `score_group(prompt, samples, tools) ->
list[Verdict]`, one verdict for each sample in order, beside the usual `TARGET` and `JUDGES`. Its `score`, for a sample
alone, returns None with a reason, since a group of one has nothing to compare. A shard holds all candidates of its
prompts, so `list_groups` finds them there.

A cause says why an image fails, in one word of `records.CAUSES`: `evidence["causes"]` maps each claim that fails, as
text, to its cause, so that failures can be counted and prompts aimed at them. A scorer of your own may leave it out.

A claim may be judged by several scorers: `find_holds` joins what they say of each. `find_faults` has their reasons.

A dispute is a contradiction between scorers about one image, which a person should look at first. Scorers of different
claims may differ. A no is disputed only if those that say yes judge, together, every kind of claim that it is about:
`vqa` says yes and `counting` no, or `counting` and `attribute` both say yes and a judge of counts and attributes says
no. One side is wrong. Scorers that judge no claims, such as `sharpness`, take no part.

Not covered: two scorers with the same fault agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from datagen.records import CAUSES, UNNAMED, Cause, Claim, Detection, Prompt, Sample, Score, Verdict
from datagen.scoring.questions import ONE_WORD, WHOLE, YES, ask_claims
from datagen.scoring.tools import Tools

NO_IMAGE = "the sample has no image"
"""Reason of an image scorer for a sample without an image."""


def passed(scores: Iterable[Score]) -> bool | None:
    """Tell whether every image score of one sample passed; None if none of them judged, or if one is open.

    Ignores scores of the text, scores without a value, and scores without `passed` (a graded quality, such as
    sharpness). A score that would have passed but for an object without a name is open.
    """
    scores = list(scores)
    verdicts = [
        bool(score.evidence["passed"])
        for score in scores
        if score.target == "image" and score.value is not None and "passed" in score.evidence
    ]
    if not all(verdicts):  # one failure decides, whatever else is open
        return False
    if not verdicts or any(score.target == "image" and is_open(score) for score in scores):
        return None
    return True


def is_open(score: Score | Verdict) -> bool:
    """Tell whether a scorer left its verdict open because it saw an object that it could not name."""
    return score.value is None and bool(score.evidence.get("unnamed"))


_DOUBTED = frozenset({"passed", "holds", "claims", "causes"})
"""Evidence that an open verdict does not have."""


def find_unnamed(things: Iterable[Detection]) -> list[list[int]]:
    """Return the boxes of objects that a detector saw and could not name."""
    return [list(thing.box) for thing in things if thing.label == UNNAMED]


def doubt(verdict: Verdict, unnamed: Sequence[list[int]], known: Iterable[bool | None]) -> Verdict:
    """Return a verdict in the light of objects without a name, whose boxes are `unnamed`.

    `known` tells for each claim whether it holds whatever these objects are, or None if it depends on them: they can
    only add to a count. The verdict loses its value if a claim is open and none is certainly wrong.
    """
    states = list(known) if unnamed else []
    if None not in states or False in states:
        return verdict
    evidence = {key: value for key, value in verdict.evidence.items() if key not in _DOUBTED}
    what = "something that cannot be named" if len(unnamed) == 1 else f"{len(unnamed)} things that cannot be named"
    return Verdict(None, f"beside {what}: {verdict.reason}", {**evidence, "unnamed": unnamed})


def know_relation(claim: Claim, things: Iterable[Detection], *, holds: bool) -> bool | None:
    """Return what `doubt` has to know of a relation claim: what it says beside objects without a name, or None if open.

    They may be the object that is missing, or within one kind, where one pair is enough, the other one of a pair.
    """
    there = {thing.label for thing in things}.issuperset(claim.things)
    return holds if holds or (there and claim.subject != claim.value) else None


def says_yes(score: Score) -> bool | None:
    """Tell whether a scorer affirms its claims: by its strict verdict, else by a value of at least 0.5.

    None if it has no value. The strict verdict is `passed` in the evidence of arithmetic, `holds` in that of a judge.
    """
    if score.value is None:
        return None
    said = score.evidence.get("passed", score.evidence.get("holds"))
    return score.value >= 0.5 if said is None else bool(said)


def mean_of_claims(
    causes: Mapping[str, Cause | None], reasons: list[str], grades: Sequence[float] | None = None, **evidence: object
) -> Verdict:
    """Return the share of claims that hold, or the mean of their `grades`, with `passed` if all hold.

    `causes` maps a claim as text to why it fails, None if it holds.
    """
    verdicts = {claim: cause is None for claim, cause in causes.items()}
    values = list(verdicts.values()) if grades is None else grades
    facts = {"passed": all(verdicts.values()), "claims": verdicts, **list_failed(causes), **evidence}
    return Verdict(sum(values) / len(values), "; ".join(reasons), facts)


def grade_count(wanted: int, found: int) -> float:
    """Return 1 - |found - wanted| / wanted, at least 0; where none are wanted, 1 if there is none, else 0.

    The reward of counts in Flow-GRPO (arXiv 2505.05470), which goes below 0 there for more than twice as many.
    """
    return max(0.0, 1 - abs(found - wanted) / wanted) if wanted else float(found == 0)


def list_failed(causes: Mapping[str, Cause | None]) -> dict[str, dict[str, Cause]]:
    """Return the evidence of the claims that fail, `{"causes": {claim: cause}}`, or nothing if all hold."""
    failed = {claim: cause for claim, cause in causes.items() if cause is not None}
    return {"causes": failed} if failed else {}


def find_causes(scores: Iterable[Score]) -> list[Cause] | None:
    """Return why the image of a sample fails, each cause once in the order of `CAUSES`; [] if nothing fails.

    None if some scorer denies its claims and none says why, as in runs of before there were causes.
    """
    named: set[str] = set()
    fails = False
    for score in scores:
        if score.target == "image" and score.value is not None:
            fails = fails or score.evidence.get("passed", score.evidence.get("holds")) is False
            named.update(score.evidence.get("causes", {}).values())
    found = [cause for cause in CAUSES if cause in named]
    return found if found or not fails else None


def find_faults(scores: Iterable[Score]) -> list[str]:
    """Return the reason of each scorer that denies the image's claims and says why; a bare no to the whole does not."""
    return [
        score.reason
        for score in scores
        if score.target == "image"
        and score.value is not None
        and score.evidence.get("passed", score.evidence.get("holds")) is False
        and {*score.evidence.get("causes", {}).values()} != {"denied"}
    ]


def find_holds(claims: Sequence[Claim], scores: Iterable[Score]) -> list[float | None]:
    """Return for each claim the mean over scorers of what they say of it in the last image, in [0, 1]; None if none do.

    Arithmetic says 0 or 1 (`evidence["claims"]`), a judge P that the claim holds (its answers to atoms). Of what is
    claimed once a judge is asked whether it is there at all, which says nothing of "exactly one" and does not count.
    """
    atoms = {
        atom.text + ONE_WORD: str(atom.claim)
        for atom in ask_claims(claims)
        if atom.atom and not (atom.claim.kind == "count" and atom.accepted == YES)
    }
    said: dict[str, list[float]] = {str(claim): [] for claim in claims}
    for score in scores:
        if score.target != "image" or score.value is None:
            continue
        causes = score.evidence.get("causes", {})
        votes = {
            claim: float(bool(holds) and claim not in causes)
            for claim, holds in score.evidence.get("claims", {}).items()
            if holds is not None
        }
        for answer in score.evidence.get("questions", ()):
            if (claim := atoms.get(answer["question"])) and answer["p"] is not None:
                votes[claim] = answer["p"]
        for claim in said.keys() & votes.keys():
            said[claim].append(votes[claim])
    means = {claim: math.fsum(each) / len(each) if each else None for claim, each in said.items()}
    return [means[str(claim)] for claim in claims]


def find_own_belief(prompt: Prompt, scores: Iterable[Score]) -> float | None:
    """Return the mean P(yes), in [0, 1], where a judge was asked whether the image shows the whole prompt, or None."""
    asked = {question.format(prompt.text) for question in WHOLE.values()}
    said = [
        float(answer["p"])
        for score in scores
        if score.target == "image" and score.value is not None
        for answer in score.evidence.get("questions", ())
        if answer["question"] in asked and answer["p"] is not None
    ]
    return math.fsum(said) / len(said) if said else None


def check_causes(evidence: Mapping[str, object]) -> None:
    """Raise ValueError unless the causes in the evidence, if there are any, are as documented."""
    causes = evidence.get("causes", {})
    if not isinstance(causes, dict):
        raise ValueError(f"causes map claims to causes, not {type(causes).__name__}")
    if strange := [cause for cause in causes.values() if cause not in CAUSES]:
        raise ValueError(f"{strange[0]!r} is no cause; known: {', '.join(CAUSES)}")


def list_detections(found: Iterable[Detection]) -> list[dict[str, object]]:
    """Return detections as plain `evidence["detections"]`, which the gallery shows over the image.

    Confidence is in whole thousandths, rounded by hand: `round` to three digits takes four times as long.
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


ScoreGroup = Callable[[Prompt, Sequence[Sample], Tools], list[Verdict]]
ALONE = "a sample alone has no other candidate to be compared with"


def list_groups(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Return the samples grouped by prompt, in the order of each prompt's first sample."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.prompt_id, []).append(sample)
    return list(groups.values())


def with_images(samples: Sequence[Sample]) -> list[tuple[int, bytes]]:
    """Return the index and last image of each sample that has one."""
    return [(k, sample.image) for k, sample in enumerate(samples) if sample.image is not None]


def spread_verdicts(samples: Sequence[Sample], judged: dict[int, Verdict]) -> list[Verdict]:
    """Return one verdict for each sample: `judged` holds them by index, the others have no image."""
    return [judged.get(k, Verdict(None, NO_IMAGE)) for k in range(len(samples))]


@dataclass(frozen=True, slots=True)
class Dispute:
    """A contradiction: one scorer denies what others affirm; `gap` is their least value minus its own, in [-1, 1]."""

    no: Score
    yes: tuple[Score, ...]
    gap: float


def find_dispute(prompt: Prompt, scores: Sequence[Score], judges: Mapping[str, Collection[str]]) -> Dispute | None:
    """Return the dispute with the widest gap about a sample's image, or None; `judges` maps scorers to claim kinds."""
    kinds = {claim.kind for claim in prompt.claims}
    voices = [(score, kinds & set(judges.get(score.name, ())), says_yes(score)) for score in scores]
    heard = [(score, mine, says) for score, mine, says in voices if score.target == "image" and mine]
    found = []
    for no, denied, says in heard:
        if says is not False:
            continue
        yes = [(score, mine) for score, mine, affirms in heard if affirms and mine & denied]
        if yes and denied <= set().union(*(mine for _, mine in yes)):
            gap = min(score.value or 0.0 for score, _ in yes) - (no.value or 0.0)
            found.append(Dispute(no, tuple(score for score, _ in yes), gap))
    return max(found, key=lambda dispute: dispute.gap, default=None)
