"""Layouts against slow readings: what is parsed, which claims the boxes hold, mean overlap of planned and found."""

from __future__ import annotations

import itertools
import random

import pytest

from datagen.expressions import parse_expression
from datagen.rewards.reasoning import got_layout, plan_image
from datagen.scoring.layout import read_layout
from tests.helpers.layout_cases import RELATIONS, Box, overlap, random_box, stands
from tests.helpers.reward_cases import count, make_prompt, make_sample, make_tools, relation, thing, write

CASES = 250
SPOILT = (
    "<|obj_start|>cat<|obj_end|>",
    "<|box_start|>(1,2),(3,4)<|box_end|>",
    "<|obj_start|>cat<|obj_end|><|box_start|>(1,2),(3)<|box_end|>",
    "<|obj_start|>cat<|obj_end|><|box_start|>(1.5,2),(3,4)<|box_end|>",
    "<|obj_start|>cat<|obj_end|> then <|box_start|>(1,2),(3,4)<|box_end|>",
)


def any_box(rng: random.Random) -> Box:
    """Mostly a box; else one that leaves the picture, or has its corners the wrong way round."""
    x1, y1, x2, y2 = random_box(rng)
    kind = rng.random()
    return (x1, y1, x2 + 700, y2) if kind < 0.1 else (x2, y1, x1, y2) if kind < 0.2 else (x1, y1, x2, y2)


def test_what_is_written_is_read_and_what_is_spoilt_is_a_fault() -> None:
    rng = random.Random(2505)
    for _ in range(CASES):
        planned = [(rng.choice(("cat", "box", "red cup")), any_box(rng)) for _ in range(rng.randint(0, 5))]
        spoilt = [rng.choice(SPOILT) for _ in range(rng.choice((0, 0, 1, 2)))]
        pieces = [write(phrase, *box) for phrase, box in planned]
        for piece in spoilt:
            pieces.insert(rng.randint(0, len(pieces)), piece)
        layout = read_layout(" and a ".join(pieces))
        assert [(one.phrase, one.box) for one in layout.things] == planned
        good = [x1 < x2 <= 1000 and y1 < y2 <= 1000 for _, (x1, y1, x2, y2) in planned]
        assert [one.box for one in layout.placed] == [
            b for (_, b), is_good in zip(planned, good, strict=True) if is_good
        ]
        assert len(layout.faults) == good.count(False) + bool(spoilt)


def test_claims_that_boxes_hold() -> None:
    rng, values = random.Random(17022), []
    for _ in range(3 * CASES):
        wanted = {"cat": rng.randint(1, 2), "box": 1}
        name = rng.choice(RELATIONS)
        planned = [("cat", any_box(rng)) for _ in range(rng.choice((wanted["cat"], wanted["cat"], 1, 3)))]
        planned += [("box", any_box(rng)) for _ in range(rng.choice((0, 1, 1, 1, 2)))]
        rng.shuffle(planned)
        boxes: dict[str, list[Box]] = {"cat": [], "box": []}
        for label, (x1, y1, x2, y2) in planned:
            if x1 < x2 <= 1000 and y1 < y2 <= 1000:
                boxes[label].append((x1, y1, x2, y2))
        held = [len(boxes[label]) == number for label, number in wanted.items()]
        pairs = list(itertools.product(boxes["cat"], boxes["box"]))
        held.append(bool(pairs) and all(stands(one, name, other) for one, other in pairs))
        claims = [*(count(label, number) for label, number in wanted.items()), relation("cat", name, "box")]
        think = "".join(write(label, *box) for label, box in planned)
        verdict = got_layout.score(make_prompt(*claims), make_sample(think=think), make_tools())
        expected = sum(held) / 3 if planned else 0.0
        assert verdict.value == pytest.approx(expected), (planned, claims)
        values.append(expected)
    assert {0.0, 1 / 3, 2 / 3, 1.0} == set(values)


def test_mean_overlap_of_planned_and_found() -> None:
    """Every pairing of things of one label is tried; overlap is counted in cells."""
    rng, values = random.Random(5), []
    for _ in range(CASES):
        planned = [(rng.choice(("cat", "box")), random_box(rng, 20, 2)) for _ in range(rng.randint(1, 3))]
        found = [
            (label, (box[0], box[1], box[2] + rng.randint(0, 5), box[3] + rng.randint(0, 5)))
            for label, box in planned
            if rng.random() < 0.7
        ]
        found += [(rng.choice(("cat", "box")), random_box(rng, 20, 2)) for _ in range(rng.randint(0, 2))]
        slots = [*found, *([("nothing", (0, 0, 0, 0))] * len(planned))]
        best = max(
            sum(
                overlap(one, other) for (label, one), (same, other) in zip(planned, order, strict=True) if label == same
            )
            for order in itertools.permutations(slots, len(planned))
        )
        think = "".join(write(label, *box) for label, box in planned)
        tools = make_tools(*(thing(label, box=box) for label, box in found))
        value = plan_image.score(make_prompt(count("cat", 1)), make_sample(think=think), tools).value
        assert value == pytest.approx(best / len(planned)), (planned, found)
        values.append(round(best / len(planned), 6))
    assert len(set(values)) >= 30


def test_the_product_of_got_r1_is_an_expression() -> None:
    known = ("vqa", "plan", "got_layout_judge", "plan_image", "hps")
    reward = parse_expression("vqa * mean(plan, got_layout_judge) * plan_image * hps", known)
    rng = random.Random(7632)
    for _ in range(CASES):
        r = {name: rng.choice((0.0, 1.0, rng.random())) for name in known}
        expected = r["vqa"] * (r["plan"] + r["got_layout_judge"]) / 2 * r["plan_image"] * r["hps"]
        assert reward(r) == pytest.approx(expected)
    assert reward({**r, "hps": None, "vqa": 0.5, "plan": 1.0, "got_layout_judge": None, "plan_image": 0.5}) == 0.25
