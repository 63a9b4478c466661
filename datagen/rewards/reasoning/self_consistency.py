"""Judges whether the reasoning agrees with itself: thought, layout, final prompt and guidance of one sample.

Two parts that mention the same fact (the number of an object, an attribute, the order of two objects, quoted words)
agree or disagree; the value is the share that agrees, None if no two parts mention the same fact. Claims and image do
not matter. The required improvements are ignored, since they describe what was wrong.

Not covered: agreement over several samples of one prompt; see also `scoring.prose`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.layout import TEXT, read_layout
from datagen.scoring.prose import (
    MOST_CHARACTERS,
    Facts,
    facts_of_layout,
    find_parts,
    read_facts,
    strip_layout,
    turn_around,
)
from datagen.scoring.tools import Tools
from datagen.vision.colors import one_name
from datagen.vision.geometry import Sides, sides_of

TARGET: Modality = "text"
JUDGES: frozenset[str] = frozenset()


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return the share of facts mentioned by two parts of the reasoning on which they agree, in [0, 1]."""
    parts = find_parts(sample)
    if not parts:
        return Verdict(None, "the sample has no reasoning")
    said = _read_parts(parts, prompt, sides_of(sample))
    compared = {
        f"{one} and {other} on {about}": agree
        for one, other in combinations(said, 2)
        for about, agree in _compare(said[one], said[other])
    }
    if not compared:
        return Verdict(None, "no two parts of the reasoning speak of the same")
    wrong = [about for about, agree in compared.items() if not agree]
    reason = f"disagree: {'; '.join(wrong)}" if wrong else "the parts of the reasoning agree"
    return Verdict(sum(compared.values()) / len(compared), reason, {"compared": compared})


def _read_parts(parts: dict[str, str], prompt: Prompt, sides: Sides) -> dict[str, Facts]:
    """Return the facts of each part, those of a layout separately from the prose around it."""
    layouts = {name: read_layout(text[:MOST_CHARACTERS]) for name, text in parts.items()}
    things = {thing.label for layout in layouts.values() for thing in layout.things if thing.label != TEXT}
    said: dict[str, Facts] = {}
    for name, text in parts.items():
        if layouts[name].things:
            said[f"the boxes of the {name}"] = facts_of_layout(layouts[name], sides, prompt.claims)
        if prose := strip_layout(text):
            said[f"the {name}"] = read_facts(prose, prompt.claims, things)
    return said


def _compare(one: Facts, other: Facts) -> Iterator[tuple[str, bool]]:
    for thing in sorted(one.numbers.keys() & other.numbers.keys()):
        if one.numbers[thing] and other.numbers[thing]:
            yield f"how many of {thing}", bool(one.numbers[thing] & other.numbers[thing])
    for key in sorted(one.attributes.keys() & other.attributes.keys()):
        ours, theirs = ({*map(one_name, facts.attributes[key])} for facts in (one, other))
        yield f"the {key[1]} of {key[0]}", ours <= theirs or theirs <= ours
    for relation in sorted(one.relations, key=str):
        if relation in other.relations or turn_around(relation) in other.relations:
            yield f"{relation.subject} and {relation.value}", relation in other.relations
    if one.quoted and other.quoted:
        words, others = set(one.quoted), set(other.quoted)
        yield "the quoted words", words <= others or others <= words
