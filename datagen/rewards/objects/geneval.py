"""Judges a prompt as GenEval's evaluator does: everything asked for at once, right or wrong.

Value: 1 if each thing is there at least as often as claimed (exactly, where more or fewer than one is claimed), the
surest of them in the claimed colour and in the claimed place, else 0. With `strict: true` each thing is there exactly
as often as claimed, all in the claimed colour and place: the original lets `a cat` pass with five cats, which a model
that is rewarded for it soon draws.

How it relates to the other scorers: `counting` counts exactly and takes the detector at its word, without GenEval's
limits of confidence and number; `attribute` wants every instance in the colour, GenEval the surest; `spatial` has the
same rule of position. Each of those gives a share of claims, so that a prompt with four claims is not all or nothing;
this one gives what the benchmark would say. With all of them in one recipe the same fact counts twice.

Source: `evaluation/evaluate_images.py` of github.com/djghosh13/geneval at af4902f (MIT; arXiv 2310.11513), written anew
from its definition; the strict rule is that of Flow-GRPO's reward (`reward_server/gen_eval.py` of
github.com/yifan123/reward-server at 92ac29f). Both look at things surer than 0.3, surer than 0.9 in a `counting` line,
and at no more than the 16 surest of a class.

* original: `include` wants at least its count, and its colour and position are judged on that many, the surest first.
* strict: `include` wants exactly its count, so that a second cat beside the one that was asked for is a fault.

Differences, all on purpose: things that are equally sure stay in the detector's order (there, in no order that is
defined); beside something that the detector cannot name (there is no such thing there), too few are not known to be,
nor that there are no more where their number is limited, and what depends on that is not judged; strict heeds `exclude`
too (there it is forgotten, which matters only where a line excludes a class that it does not include). The limits were
chosen for Mask2Former; another detector's 0.9 means another thing. Not covered: finding the things and their colours,
which is the detector's; the soft reward of the same code, which gives a failed position 0 and then 1 as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from typing import Any

from datagen.documents.geneval_lines import COLORS, Include, Line, line_of
from datagen.records import Claim, ClaimKind, Detection, Modality, Prompt, Sample, Verdict
from datagen.scoring.scorers import ScorerOptions
from datagen.scoring.tools import Tools
from datagen.scoring.unseen import NO_COLOR, NO_NUMBER, NO_THING, Unseen, refuse
from datagen.scoring.verdicts import NO_IMAGE, doubt, find_unnamed, list_detections
from datagen.taxonomy.english import name_many
from datagen.vision.colors import SAME
from datagen.vision.geometry import SQUARE, Sides, find_relations, sides_of

TARGET: Modality = "image"
JUDGES: frozenset[ClaimKind] = frozenset({"count", "attribute", "relation"})
"""The kinds of claim that a metadata line can hold."""
SURE, SURE_TO_COUNT = 0.3, 0.9
"""A thing must be surer than this, and surer than that where a line counts."""
MOST_OF_A_CLASS = 16
_SURENESS = attrgetter("confidence")


class Options(ScorerOptions):
    """The strict rule of Flow-GRPO's reward in place of the original."""

    strict: bool = False


PLAIN = Options()
"""As it is without options."""


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options = PLAIN) -> Verdict:
    """Judge all count, colour and relation claims together, on what the detector finds in the last image."""
    strict = options.strict
    asked = _read_claims(prompt.claims)
    if isinstance(asked, str):
        return Verdict(None, asked)
    line, metadata, labels = asked
    if (image := sample.image) is None:
        return Verdict(None, NO_IMAGE)
    if unseen := _find_unseen(line, labels, tools):
        return refuse(unseen)
    found = tools.detect(image)
    told = list(_list_faults(line, found, strict=strict, sides=sides_of(sample)))
    faults = [fault for fault, _ in told]
    evidence = {
        "passed": not faults,
        "faults": faults,
        "metadata": metadata,
        "detections": list_detections(found),
    }
    verdict = Verdict(0.0 if faults else 1.0, "; ".join(faults) or "everything is there as asked", evidence)
    known: list[bool | None] = [None if mended else False for _, mended in told]
    known += [None] if strict or line.exclude else []
    return doubt(verdict, find_unnamed(found), known)


def own_claims(claims: Sequence[Claim]) -> list[Claim]:
    """Return the claims of a prompt that GenEval knows the kind of; none if it cannot ask for them together."""
    known = [claim for claim in claims if claim.kind in JUDGES]
    return [] if isinstance(_read_claims(tuple(known)), str) else known


def _find_unseen(line: Line, labels: set[str], tools: Tools) -> list[Unseen]:
    found = [Unseen(NO_THING, label) for label in tools.find_unknown(labels)]
    most = min(MOST_OF_A_CLASS, tools.most or MOST_OF_A_CLASS)
    found += [Unseen(NO_NUMBER, name_many(each.count, each.label)) for each in line.include if each.count > most]
    if tools.colors is None:
        return found
    colors = {clause.color for clause in line.include if clause.color}
    return found + [Unseen(NO_COLOR, color) for color in sorted(colors - tools.colors)]


def _say_color(claim: Claim) -> Claim:
    """Return a claim of a colour that has another name among GenEval's ten by that name, any other as it is."""
    color = SAME.get(str(claim.value))
    return replace(claim, value=color) if claim.name == "color" and color in COLORS else claim


@lru_cache(maxsize=1024)
def _read_claims(claims: tuple[Claim, ...]) -> tuple[Line, dict[str, Any], set[str]] | str:
    """Return the line of those claims that GenEval knows the kind of, as such, as plain values, and its classes.

    Or why there is none. The candidates of a prompt share it.
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
    """Return what is wrong with an image, one reason for each clause that fails; it is correct if there is none.

    `sides` are those of the image, on which positions depend.
    """
    return [fault for fault, _ in _list_faults(line, found, strict=strict, sides=sides)]


def _list_faults(line: Line, found: Iterable[Detection], *, strict: bool, sides: Sides) -> Iterator[tuple[str, bool]]:
    """Yield what is wrong with an image, and whether more things than were found could mend it."""
    things = keep_sure(found, SURE_TO_COUNT if line.tag == "counting" else SURE)
    groups: list[list[Detection]] = []
    for clause in line.include:
        group, fault, mended = things.get(clause.label, []), "", False
        counted = group[: clause.count]
        if len(counted) < clause.count or (strict and len(group) > clause.count):
            wanted = name_many(clause.count, clause.label)
            fault = f"expected {'exactly' if strict else 'at least'} {wanted}, found {len(group)}"
            mended = len(group) < clause.count
        elif clause.color and [thing for thing in counted if thing.color != clause.color]:
            fault = _tell_colors(clause, counted)
        elif clause.position:
            relation, target = clause.position
            fault = _find_position_fault(clause, counted, relation, line.include[target].label, groups[target], sides)
            mended = not groups[target]
        groups.append([] if fault else counted)
        if fault:
            yield fault, mended
    for limit in line.exclude:
        if (number := len(things.get(limit.label, []))) >= limit.count:
            yield f"expected fewer than {name_many(limit.count, limit.label)}, found {number}", False


def keep_sure(found: Iterable[Detection], limit: float) -> dict[str, list[Detection]]:
    """Return the things surer than a limit by class, the surest first, at most `MOST_OF_A_CLASS` of each."""
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
    """Say which pair does not stand as asked, or `""`; a target that failed its own clause is none."""
    if not targets:
        return f"there is no {name} as asked for the {clause.label} to be {relation}"
    for thing in group:
        for target in targets:
            held = find_relations(thing.box, target.box, sides)
            if relation not in held:
                seen = " and ".join(sorted(held)) or "in no clear relation to"
                return f"expected the {clause.label} {relation} the {name}, found it {seen} the {name}"
    return ""
