"""GenEval's evaluator against a slow reading of its definition, on random lines and detections and on the edges."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from datagen.documents.geneval_lines import TASKS, Line
from datagen.records import Detection
from datagen.rewards.objects.geneval import find_faults
from tests.helpers.layout_cases import RELATIONS, random_box, stands
from tests.helpers.reward_cases import thing

LABELS, COLORS = ("cat", "box", "cup"), ("red", "blue", "green")
CONFIDENCES = (0.1, 0.3, 0.31, 0.5, 0.89, 0.9, 0.91, 0.95, 0.95, 1.0)
CASES = 600


def is_correct(line: dict[str, Any], found: list[Detection], *, strict: bool) -> bool:
    """Every clause by itself, as the definition states it; a clause that fails is no target."""
    limit = 0.9 if line["tag"] == "counting" else 0.3

    def rank(k: int) -> int:
        rivals = [j for j, other in enumerate(found) if other.label == found[k].label]
        return sum((found[j].confidence, -j) > (found[k].confidence, -k) for j in rivals)

    def all_of(label: str) -> list[Detection]:
        seen = [k for k, one in enumerate(found) if one.label == label and one.confidence > limit and rank(k) < 16]
        return [found[k] for k in sorted(seen, key=rank)]

    def holds(place: int) -> bool:
        clause = line["include"][place]
        number, have = clause["count"], all_of(clause["class"])
        if len(have) < number or (strict and len(have) > number):
            return False
        if "color" in clause and any(one.color != clause["color"] for one in have[:number]):
            return False
        if "position" not in clause:
            return True
        name, target = clause["position"]
        aims = all_of(line["include"][target]["class"])[: line["include"][target]["count"]]
        return holds(target) and all(stands(one.box, name, aim.box) for one in have[:number] for aim in aims)

    excluded = any(len(all_of(clause["class"])) >= clause["count"] for clause in line.get("exclude", []))
    return not excluded and all(holds(place) for place in range(len(line["include"])))


def random_line(rng: random.Random) -> dict[str, Any]:
    include: list[dict[str, Any]] = []
    for place in range(rng.choice((1, 1, 2, 2, 3))):
        clause: dict[str, Any] = {"class": rng.choice(LABELS), "count": rng.choice((1, 1, 1, 2, 3))}
        if rng.random() < 0.3:
            clause["color"] = rng.choice(COLORS)
        if place and rng.random() < 0.6:
            clause["position"] = [rng.choice(RELATIONS), rng.randrange(place)]
        include.append(clause)
    line: dict[str, Any] = {"tag": rng.choice(TASKS), "include": include}
    if rng.random() < 0.3:
        line["exclude"] = [{"class": rng.choice(LABELS), "count": rng.randint(1, 4)}]
    return line


def random_things(rng: random.Random, line: dict[str, Any]) -> list[Detection]:
    """Mostly what the line asks for, give or take one, often in one colour; now and then a crowd of one class."""
    found = []
    for label in LABELS:
        wanted = max((clause["count"] for clause in line["include"] if clause["class"] == label), default=0)
        number = rng.choice((wanted, wanted, wanted, wanted + 1, max(0, wanted - 1)))
        number = rng.randint(15, 18) if rng.random() < 0.02 else number
        color = next((c["color"] for c in line["include"] if c["class"] == label and "color" in c), "red")
        for _ in range(number):
            tone = color if rng.random() < 0.8 else rng.choice((*COLORS, ""))
            sure = rng.choice(CONFIDENCES[4:] if rng.random() < 0.7 else CONFIDENCES)
            found.append(thing(label, tone, random_box(rng), sure))
    rng.shuffle(found)
    return found


@pytest.mark.parametrize("strict", [False, True])
def test_random_lines_and_detections(strict: bool) -> None:
    rng, answers = random.Random(2310), Counter[bool]()
    for _ in range(CASES):
        line = random_line(rng)
        found = random_things(rng, line)
        expected = is_correct(line, found, strict=strict)
        faults = find_faults(Line.model_validate(line), found, strict=strict)
        assert (not faults) is expected, (line, found, faults)
        answers[expected] += 1
    assert min(answers.values()) >= 100, answers


@pytest.mark.parametrize("strict", [False, True])
def test_one_relation_in_every_place(strict: bool) -> None:
    rng, answers = random.Random(11513), Counter[bool]()
    for _ in range(CASES):
        name = rng.choice(RELATIONS)
        include = [{"class": "box", "count": 1}, {"class": "cat", "count": 1, "position": [name, 0]}]
        found = [thing("cat", box=random_box(rng)), thing("box", box=random_box(rng))]
        line = {"tag": "position", "include": include}
        expected = is_correct(line, found, strict=strict)
        assert (not find_faults(Line.model_validate(line), found, strict=strict)) is expected, found
        answers[expected] += 1
    assert min(answers.values()) >= 100, answers


ONE_CAT = {"tag": "single_object", "include": [{"class": "cat", "count": 1}]}
RED_CAT = {"tag": "colors", "include": [{"class": "cat", "count": 1, "color": "red"}]}
TWO_CATS = {
    "tag": "counting",
    "include": [{"class": "cat", "count": 2}],
    "exclude": [{"class": "cat", "count": 3}],
}
CAT_BY_CAT = {
    "tag": "position",
    "include": [{"class": "cat", "count": 1}, {"class": "cat", "count": 1, "position": ["left of", 0]}],
}
MANY = {"tag": "single_object", "include": [{"class": "cat", "count": 16}], "exclude": [{"class": "cat", "count": 17}]}
FAR, NEAR = (800, 0, 900, 100), (0, 0, 100, 100)


@pytest.mark.parametrize(
    ("line", "found", "original", "strict"),
    [
        (ONE_CAT, [], False, False),
        (ONE_CAT, [thing("cat", sure=0.3)], False, False),
        (ONE_CAT, [thing("cat", sure=0.301)], True, True),
        (ONE_CAT, [thing("cat"), thing("cat"), thing("dog")], True, False),
        (ONE_CAT, [thing("cat"), thing("cat", sure=0.2)], True, True),
        (ONE_CAT, [thing("cat", sure=float("nan")), thing("cat", sure=0.5)], True, True),
        (ONE_CAT, [thing("cat", box=(5, 5, 5, 5))], True, True),
        (TWO_CATS, [thing("cat", sure=0.95)] * 2, True, True),
        (TWO_CATS, [thing("cat", sure=0.95)] * 3, False, False),
        (TWO_CATS, [thing("cat", sure=0.95), thing("cat", sure=0.9)], False, False),
        (RED_CAT, [thing("cat", "red", sure=0.5), thing("cat", "blue", sure=0.6)], False, False),
        (RED_CAT, [thing("cat", "red", sure=0.6), thing("cat", "blue", sure=0.5)], True, False),
        (RED_CAT, [thing("cat", "red", sure=0.6), thing("cat", "blue", sure=0.6)], True, False),
        (RED_CAT, [thing("cat", "blue", sure=0.6), thing("cat", "red", sure=0.6)], False, False),
        (RED_CAT, [thing("cat", "", sure=0.6)], False, False),
        (CAT_BY_CAT, [thing("cat", box=NEAR), thing("cat", box=FAR)], False, False),
        (MANY, [thing("cat")] * 16, True, True),
        (MANY, [thing("cat")] * 40, True, True),
    ],
)
def test_edges(line: dict[str, Any], found: list[Detection], original: bool, strict: bool) -> None:
    read = Line.model_validate(line)
    assert (not find_faults(read, found, strict=False), not find_faults(read, found, strict=True)) == (original, strict)


def test_strict_heeds_what_is_excluded() -> None:
    line = Line.model_validate({**ONE_CAT, "exclude": [{"class": "dog", "count": 1}]})
    assert find_faults(line, [thing("cat"), thing("dog")], strict=True) == ["expected fewer than 1 dog, found 1"]
