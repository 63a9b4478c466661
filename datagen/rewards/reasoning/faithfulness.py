"""Judges whether the image shows what the reasoning prose says: objects, numbers and colours, by the detector.

Each object in the text makes a statement (its number, or at least one), and so does each colour of an object (one
instance has it). Value: the share of statements that hold. The prompt's claims do not matter: a thought may be wrong
and the image faithful to it. The final prompt of a reflection is read, else the thought; the image is the last one.
Next to an object that the detector cannot name, only "too many" is certain, and missing objects are open. `plan_image`
judges the boxes of a layout.

Objects and colours that the detector has no name for, and numbers that it cannot tell from more, make no statement; the
evidence lists them under `unseen`, and the value is that of the rest.

Not covered: relations, rendered text, materials; with an open vocabulary, objects that neither claims nor detections
name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from datagen.records import Detection, Modality, Prompt, Sample, Verdict
from datagen.scoring.prose import Facts, find_prose, read_facts
from datagen.scoring.tools import Tools
from datagen.scoring.unseen import NO_NUMBER
from datagen.scoring.verdicts import NO_IMAGE, doubt, find_unnamed, list_detections
from datagen.taxonomy.english import name_many

TARGET: Modality = "text"
JUDGES: frozenset[str] = frozenset()


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return the share of the reasoning's statements that the sample's last image shows, in [0, 1]."""
    prose, why = find_prose(sample)
    if why:
        return Verdict(None, why)
    if sample.image is None:
        return Verdict(None, NO_IMAGE)
    found = tools.detect(sample.image)
    facts = read_facts(prose, prompt.claims, tools.labels or {thing.label for thing in found if thing.label})
    unknown = tools.find_unknown(set(facts.numbers))
    colors = {color for (_, name), values in facts.attributes.items() if name == "color" for color in values}
    unnamed = [*unknown, *tools.find_unnamed(colors)]
    most = {thing: max(numbers, default=0) for thing, numbers in facts.numbers.items() if thing not in unknown}
    # `>=`: a detector that stops at sixteen finds sixteen in twenty, too.
    beyond = {thing: n for thing, n in most.items() if tools.most is not None and n >= tools.most}
    facts = replace(facts, numbers={thing: n for thing, n in facts.numbers.items() if thing not in beyond})
    uncounted = [name_many(n, thing) for thing, n in beyond.items()]
    unseen = [*unnamed, *uncounted]
    statements = dict(_check(facts, found, unknown, tools))
    if not statements:
        return Verdict(
            None, "the reasoning names nothing that the detector can see", {"unseen": unseen} if unseen else {}
        )
    wrong = [statement for statement, holds in statements.items() if not holds]
    reason = f"said and not seen: {'; '.join(wrong)}" if wrong else "the image shows what the reasoning says"
    evidence = {"statements": statements, "detections": list_detections(found)}
    if unnamed:
        reason += f"; the detector has no name for {', '.join(unnamed)}"
    if uncounted:
        reason += f"; {NO_NUMBER} {', '.join(uncounted)}"
    if unseen:
        evidence["unseen"] = unseen
    verdict = Verdict(sum(statements.values()) / len(statements), reason, evidence)
    return doubt(verdict, find_unnamed(found), _know(facts, found, statements.values()))


def _check(
    facts: Facts, found: Sequence[Detection], unknown: Sequence[str], tools: Tools
) -> Iterator[tuple[str, bool]]:
    labels = [thing.label for thing in found]
    seen = {(thing.label, thing.color) for thing in found}
    for thing, numbers in facts.numbers.items():
        if thing not in unknown:
            said = " or ".join(map(str, sorted(numbers))) if numbers else "at least 1"
            yield f"{said} {thing}", labels.count(thing) in numbers if numbers else thing in labels
    for (thing, name), values in facts.attributes.items():
        if name == "color" and thing not in unknown:
            for color in sorted(values):
                if (named := tools.name_color(color)) is not None:
                    yield f"{color} {thing}", (thing, named) in seen


def _know(facts: Facts, found: Sequence[Detection], holds: Iterable[bool]) -> Iterator[bool | None]:
    """Yield what is certain of each statement if there may be more objects: True, False, or None if open.

    "Too many" is certainly wrong, and a detected object certainly there. A number that matches may be too small, so it
    is open.
    """
    labels = [thing.label for thing in found]
    exact = any(facts.numbers.values())
    yield from (None if exact or not one else True for one in holds)
    yield from (False for thing, numbers in facts.numbers.items() if numbers and labels.count(thing) > max(numbers))
