"""T2I-CompBench's scores against slow readings of their definitions: cells for boxes, sums for answers."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from datagen.chat import ChatRequest, Reply
from datagen.records import Detection
from datagen.scoring.tools import Tools
from tests.helpers.judge_cases import Judge, question_of, tokens
from tests.helpers.layout_cases import RELATIONS, Box, cells, overlap, random_box
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, relation, thing
from tests.helpers.scorers import find_scorer

compbench_3in1 = find_scorer("compbench_3in1")
compbench_attribute = find_scorer("compbench_attribute")
compbench_numeracy = find_scorer("compbench_numeracy")
compbench_spatial = find_scorer("compbench_spatial")

CASES = 250
SAMPLE = make_sample()
PHRASES = {
    (1, "red"): "a red {}",
    (1, "orange"): "an orange {}",
    (1, ""): "a {}",
    (2, "red"): "two red {}s",
    (2, "orange"): "two orange {}s",
    (2, ""): "two {}s",
}


def seeing(found: list[Detection], ask: Judge | None = None) -> Tools:
    return Tools(lambda image: list(found), lambda image: [], None, ask)


def spatial_of(name: str, found: list[Detection]) -> float:
    """0.25 for each thing times its confidence, and the relation's half; nothing below a half."""
    surest = {}
    for one in found:
        if one.label not in surest or one.confidence > surest[one.label].confidence:
            surest[one.label] = one
    if len(surest) < 2:
        return 0.0
    cat, box = surest["cat"], surest["box"]
    x = (box.box[0] + box.box[2]) / 2 - (cat.box[0] + cat.box[2]) / 2
    y = (box.box[1] + box.box[3]) / 2 - (cat.box[1] + cat.box[3]) / 2
    right_way = {"left of": x > abs(y), "right of": -x > abs(y), "above": y > abs(x), "below": -y > abs(x)}[name]
    if not right_way:
        return 0.0
    shared = overlap(cat.box, box.box)
    total = 0.25 * cat.confidence + 0.25 * box.confidence + 0.5 * (1 if shared < 0.1 else 0.1 / shared)
    return total if total >= 0.5 else 0.0


def random_pair(rng: random.Random) -> list[Detection]:
    """Up to two cats and two boxes, small enough to count their cells."""
    labels = ["cat"] * rng.choice((0, 1, 1, 1, 2)) + ["box"] * rng.choice((0, 1, 1, 1, 2))
    return [thing(label, box=random_box(rng, 40, 4), sure=rng.choice((0.2, 0.6, 0.85, 1.0))) for label in labels]


def test_spatial() -> None:
    rng, values = random.Random(2307), []
    for _ in range(3 * CASES):
        name, found = rng.choice(RELATIONS), random_pair(rng)
        prompt = make_prompt(relation("cat", name, "box"))
        expected = spatial_of(name, found)
        assert compbench_spatial.score(prompt, SAMPLE, seeing(found)).value == pytest.approx(expected), (name, found)
        values.append(expected)
    assert sum(value > 0 for value in values) >= 60
    assert len({round(value, 6) for value in values}) >= 20


def test_spatial_is_the_mean_over_claims() -> None:
    rng = random.Random(6350)
    for _ in range(CASES):
        names, found = rng.sample(RELATIONS, 2), random_pair(rng)
        prompt = make_prompt(*(relation("cat", name, "box") for name in names))
        expected = sum(spatial_of(name, found) for name in names) / 2
        assert compbench_spatial.score(prompt, SAMPLE, seeing(found)).value == pytest.approx(expected)


def numeracy_of(wanted: dict[str, int], found: list[Detection]) -> float:
    """Each class alone: the surest first, a box that is nearly all shared with one that stays is dropped."""

    def is_same(one: Box, other: Box) -> bool:
        a, b = cells(one, last=True), cells(other, last=True)
        return any(10 * len(a & b) > 9 * len(whole) for whole in (a | b, a, b))

    total = 0.0
    for label, number in wanted.items():
        stays: list[Box] = []
        for one in sorted((one for one in found if one.label == label), key=lambda one: one.confidence, reverse=True):
            stays += [one.box] if not any(is_same(one.box, other) for other in stays) else []
        total += (0.5 if stays else 0.0) + (0.5 if len(stays) == number else 0.0)
    return total / len(wanted)


def test_numeracy() -> None:
    rng, values = random.Random(1949), []
    for _ in range(CASES):
        wanted = {label: rng.randint(1, 4) for label in rng.sample(("cat", "box", "cup"), rng.randint(1, 3))}
        found = []
        for label in ("cat", "box", "cup"):
            for _ in range(rng.randint(0, 4)):
                box = random_box(rng, 30, 3)
                for _ in range(rng.choice((1, 1, 2))):  # a second box that is nearly the same
                    near = (box[0], box[1], box[2] + rng.randint(0, 2), box[3] + rng.randint(0, 2))
                    found.append(thing(label, box=near, sure=rng.choice((0.3, 0.5, 0.5, 0.9))))
        rng.shuffle(found)
        prompt = make_prompt(*(count(label, number) for label, number in wanted.items()))
        value = compbench_numeracy.score(prompt, SAMPLE, seeing(found)).value
        assert value == pytest.approx(numeracy_of(wanted, found)), (wanted, found)
        values.append(value)
    assert {0.5, 1.0} < set(values)


def random_answers(rng: random.Random, phrases: list[str]) -> tuple[Judge, float]:
    """A judge with random tokens for each phrase, and the product of yes / (yes + no)."""
    table, expected = {}, []
    for phrase in phrases:
        parts = {token: rng.random() ** 3 for token in ("Yes", " yes", "ĠYes", "No", " no", "The", "a", "two")}
        parts["No"] += 0.05  # somebody who answers, if only now and then
        whole = sum(parts.values())
        table[f"{phrase}?"] = {token: part / whole for token, part in parts.items()}
        yes = parts["Yes"] + parts[" yes"] + parts["ĠYes"]
        expected.append(yes / (yes + parts["No"] + parts[" no"]))

    def reply(request: ChatRequest) -> Reply:
        said = tokens(table[question_of(request)])
        return said if request.sampling.max_tokens == 1 else replace(said, finish="stop")  # no more than this

    return Judge(reply), math.prod(expected)


def test_attribute() -> None:
    rng, values = random.Random(70949), []
    for _ in range(CASES):
        claims, phrases = [], []
        for k, noun in enumerate(rng.sample(("cup", "star", "chair", "bus stop"), rng.randint(1, 4))):
            number, tone = rng.choice((1, 1, 2)), rng.choice(("red", "orange", "")) if k else "red"
            claims += [count(noun, number), *([color(noun, tone)] if tone else [])]
            phrases.append(PHRASES[number, tone].format(noun))
        judge, expected = random_answers(rng, phrases)
        value = compbench_attribute.score(make_prompt(*claims), SAMPLE, seeing([], judge)).value
        assert value == pytest.approx(expected), phrases
        values.append(expected)
    assert min(values) < 0.05
    assert max(values) > 0.9


def test_3in1() -> None:
    rng = random.Random(31)
    for _ in range(CASES):
        name, found = rng.choice(RELATIONS), random_pair(rng)
        judge, attribute = random_answers(rng, ["a red cat", "a box"])
        prompt = make_prompt(count("cat", 1), color("cat", "red"), relation("cat", name, "box"))
        value = compbench_3in1.score(prompt, SAMPLE, seeing(found, judge)).value
        assert value == pytest.approx(0.5 * attribute + 0.5 * spatial_of(name, found))
