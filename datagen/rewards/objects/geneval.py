"""Judges a prompt as GenEval's evaluator does: all claims at once, right or wrong.

Value: 1 if each object is present at least as often as claimed (exactly, if the claim is not of one), the most
confident of them in the claimed colour and position, else 0. With `strict: true` each object is present exactly as
often as claimed, all in the claimed colour and position: the original lets `a cat` pass with five cats, which a model
rewarded for it soon generates.

Compared with other scorers: `counting` counts exactly and trusts the detector, without GenEval's limits of confidence
and number; `attribute` requires the colour of every instance, GenEval of the most confident; `spatial` has the same
rule of position. Each of those gives a share of claims, so that a prompt with four claims is not all or nothing; this
one gives the benchmark's result. With all of them in one recipe a fact counts twice.

Source: `evaluation/evaluate_images.py` of github.com/djghosh13/geneval at af4902f (MIT; arXiv 2310.11513), a new
implementation of its definition; the strict rule is that of Flow-GRPO's reward (`reward_server/gen_eval.py` of
github.com/yifan123/reward-server at 92ac29f). Both use detections of confidence above 0.3, above 0.9 in a `counting`
line, and at most the 16 most confident of a class.

* original: `include` requires at least its count; colour and position are judged on that many, most confident first.
* strict: `include` requires exactly its count, so that a second cat beside the one in the prompt is a fault.

Deliberate differences: detections of equal confidence keep the detector's order (there, the order is undefined). Next
to an object that the detector cannot name, which does not occur there, "too few" and "no more than" are uncertain, and
what depends on them is not judged. Strict also applies `exclude` (there it is forgotten, which matters only if a line
excludes a class that it does not include). The limits were chosen for Mask2Former; 0.9 means something else for another
detector.

An exact number that is not below the most that the detector, or the evaluator, gives of a class cannot be told from
more: it has no value (there, sixteen of twenty pass).

Not covered: detection and colours, which are the detector's task; the soft reward of the same code, which gives a
failed position 0 and then 1 as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from datagen.documents.geneval_lines import COLORS, Include, Line, line_of
from datagen.records import Cause, Claim, ClaimKind, Detection, Modality, Prompt, Sample, Verdict
from datagen.scoring.scorers import ScorerOptions
from datagen.scoring.tools import Tools
from datagen.scoring.unseen import NO_COLOR, NO_NUMBER, NO_THING, Unseen, refuse
from datagen.scoring.verdicts import NO_IMAGE, doubt, find_unnamed, list_detections, list_failed
from datagen.taxonomy.english import name_many
from datagen.vision.colors import one_name
from datagen.vision.geometry import SQUARE, Sides, find_relations, sides_of

TARGET: Modality = "image"
JUDGES: frozenset[ClaimKind] = frozenset({"count", "attribute", "relation"})
"""The kinds of claim that a metadata line can express."""
SURE, SURE_TO_COUNT = 0.3, 0.9
"""Detections need a confidence above the first, and above the second in a line that counts."""
MOST_OF_A_CLASS = 16
_SURENESS = attrgetter("confidence")


class Options(ScorerOptions):
    """The original rule, or the strict one of Flow-GRPO's reward."""

    strict: bool = False


PLAIN = Options()
"""The default options."""


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options = PLAIN) -> Verdict:
    """Judge all count, colour and relation claims together on the detections in the last image."""
    strict = options.strict
    asked = _read_claims(prompt.claims)
    if isinstance(asked, str):
        return Verdict(None, asked)
    line, metadata, labels = asked
    if (image := sample.image) is None:
        return Verdict(None, NO_IMAGE)
    if unseen := _find_unseen(line, labels, tools, strict=strict):
        return refuse(unseen)
    found = tools.detect(image)
    told = list(_list_faults(line, found, strict=strict, sides=sides_of(sample)))
    faults = [fault.text for fault in told]
    evidence = {
        "passed": not faults,
        "faults": faults,
        **list_failed({fault.claim: fault.cause for fault in told}),
        "metadata": metadata,
        "detections": list_detections(found),
    }
    verdict = Verdict(0.0 if faults else 1.0, "; ".join(faults) or "everything is there as asked", evidence)
    # An unnamed object may mend a fault (None), or break "exactly" and `exclude` where no fault was found.
    known: list[bool | None] = [None if fault.mended else False for fault in told]
    known += [None] if strict or line.exclude else []
    return doubt(verdict, find_unnamed(found), known)


def own_claims(claims: Sequence[Claim]) -> list[Claim]:
    """Return the claims of the kinds that GenEval knows; none if one line cannot express them together."""
    known = [claim for claim in claims if claim.kind in JUDGES]
    return [] if isinstance(_read_claims(tuple(known)), str) else known


def _find_unseen(line: Line, labels: set[str], tools: Tools, *, strict: bool) -> list[Unseen]:
    found = [Unseen(NO_THING, label) for label in tools.find_unknown(labels)]
    most = min(MOST_OF_A_CLASS, tools.most or MOST_OF_A_CLASS)
    # An exact number is told from one more; `exclude` makes it exact in the original rule.
    exact = line.labels if strict else {limit.label for limit in line.exclude}
    beyond = [each for each in line.include if each.count + (each.label in exact) > most]
    found += [Unseen(NO_NUMBER, name_many(each.count, each.label)) for each in beyond]
    colors = [clause.color for clause in line.include if clause.color]
    return found + [Unseen(NO_COLOR, color) for color in tools.find_unnamed(colors)]


def _say_color(claim: Claim) -> Claim:
    """Return a claim with its colour by GenEval's name, if GenEval has another name for it."""
    color = one_name(str(claim.value))
    return replace(claim, value=color) if claim.name == "color" and color in COLORS else claim


@lru_cache(maxsize=1024)
def _read_claims(claims: tuple[Claim, ...]) -> tuple[Line, dict[str, Any], set[str]] | str:
    """Return the line for the claims that GenEval knows, its plain values, and its classes; or why there is none.

    Cached, since the candidates of a prompt share it.
    """
    known = [_say_color(claim) for claim in claims if claim.kind in JUDGES]
    if not known:
        return "no count, attribute or relation claim"
    try:
        line = line_of(known)
    except ValueError as error:
        return str(error)
    return line, line.to_dict(), line.labels


def find_faults(line: Line, found: Iterable[Detection], *, strict: bool, sides: Sides = SQUARE) -> list[str]:
    """Return the faults of an image, one for each clause that fails; it is correct if there are none.

    `sides` are those of the image, on which positions depend.
    """
    return [fault.text for fault in _list_faults(line, found, strict=strict, sides=sides)]


class _Fault(NamedTuple):
    """One fault of an image: in words, whether further objects could mend it, and the claim that fails and why.

    Without a cause it follows from the fault of another clause.
    """

    text: str
    mended: bool
    claim: str
    cause: Cause | None


def _list_faults(line: Line, found: Iterable[Detection], *, strict: bool, sides: Sides) -> Iterator[_Fault]:
    """Yield each fault of an image."""
    things = keep_sure(found, SURE_TO_COUNT if line.tag == "counting" else SURE)
    groups: list[list[Detection]] = []
    for clause in line.include:
        group, fault = things.get(clause.label, []), None
        counted = group[: clause.count]
        if len(counted) < clause.count or (strict and len(group) > clause.count):
            wanted = name_many(clause.count, clause.label)
            text = f"expected {'exactly' if strict else 'at least'} {wanted}, found {len(group)}"
            claim = str(Claim("count", clause.label, "", clause.count))
            fault = _Fault(text, len(group) < clause.count, claim, "count" if group else "missing")
        elif clause.color and [thing for thing in counted if one_name(thing.color) != clause.color]:
            claim = str(Claim("attribute", clause.label, "color", clause.color))
            fault = _Fault(_tell_colors(clause, counted), False, claim, "color")
        elif clause.position:
            relation, target = clause.position
            name, targets = line.include[target].label, groups[target]
            if text := _find_position_fault(clause, counted, relation, name, targets, sides):
                claim = str(Claim("relation", clause.label, relation, name))
                fault = _Fault(text, not targets, claim, "place" if targets else None)
        groups.append([] if fault else counted)  # an object that failed its own clause is no target of a position
        if fault:
            yield fault
    for limit in line.exclude:
        if (number := len(things.get(limit.label, []))) >= limit.count:
            text = f"expected fewer than {name_many(limit.count, limit.label)}, found {number}"
            yield _Fault(text, False, str(Claim("count", limit.label, "", limit.count - 1)), _name_surplus(limit.count))


def _name_surplus(limit: int) -> Cause:
    return "count" if limit > 1 else "extra"


def keep_sure(found: Iterable[Detection], limit: float) -> dict[str, list[Detection]]:
    """Return the detections above a confidence by class, most confident first, at most `MOST_OF_A_CLASS` of each."""
    groups: dict[str, list[Detection]] = {}
    sure = [thing for thing in found if thing.confidence > limit]
    for thing in sorted(sure, key=_SURENESS, reverse=True):
        group = groups.setdefault(thing.label, [])
        if len(group) < MOST_OF_A_CLASS:
            group.append(thing)
    return groups


def _tell_colors(clause: Include, group: Sequence[Detection]) -> str:
    colors = [thing.color or "unclear" for thing in group]
    seen = " and ".join(f"{colors.count(color)} {color}" for color in sorted({*colors}))
    return f"expected {name_many(clause.count, f'{clause.color} {clause.label}')}, found {seen}"


def _find_position_fault(
    clause: Include,
    group: Sequence[Detection],
    relation: str,
    name: str,
    targets: Sequence[Detection],
    sides: Sides,
) -> str:
    """Return the first pair that violates a position, or `""`; a target that failed its own clause does not count."""
    if not targets:
        return f"there is no {name} as asked for the {clause.label} to be {relation}"
    for thing in group:
        for target in targets:
            held = find_relations(thing.box, target.box, sides)
            if relation not in held:
                seen = " and ".join(sorted(held)) or "in no clear relation to"
                return f"expected the {clause.label} {relation} the {name}, found it {seen} the {name}"
    return ""
