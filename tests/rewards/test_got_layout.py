"""The planned boxes by rule and by a judge: claims on boxes alone, malformed layouts, what the judge is shown."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from datagen.records import Claim, Verdict
from datagen.rewards.reasoning import got_layout, plan
from datagen.rewards.reasoning.got_layout import CANVAS_PX
from datagen.scoring.questions import LAYOUT
from tests.helpers.judge_cases import Judge, always, tools_with
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, make_tools, relation, words, write
from tests.helpers.scorers import find_scorer

got_layout_judge = find_scorer("got_layout_judge")

CAT_LEFT = (count("cat", 1), count("box", 1), relation("cat", "left of", "box"))
CAT, BOX = write("fluffy cat", 0, 300, 300, 700), write("box", 600, 300, 900, 700)


def judge(think: str, *claims: Claim) -> Verdict:
    return got_layout.score(make_prompt(*claims), make_sample(think=think, image=None), make_tools())


@pytest.mark.parametrize(
    ("think", "value", "reason"),
    [
        (f"A {CAT} sits beside a {BOX}.", 1.0, "the boxes stand as claimed"),
        (BOX + write("cat", 950, 300, 1000, 700), 2 / 3, "the plan does not put the cat left of the box"),
        (CAT, 1 / 3, "expected 1 box in the plan, found 0; the plan has no box"),
        (CAT + CAT + BOX, 2 / 3, "expected 1 cat in the plan, found 2"),
        (CAT + BOX + write("table", 0, 0, 1000, 1000), 1.0, "the boxes stand as claimed"),
        (
            CAT + write("box", 600, 300, 1900, 700),
            1 / 3,
            "expected 1 box in the plan, found 0; the plan has no box; the box of box leaves the picture",
        ),
        (
            CAT + write("box", 900, 300, 600, 700),
            1 / 3,
            "expected 1 box in the plan, found 0; the plan has no box; the box of box has its corners out of order",
        ),
        (
            CAT + BOX + "<|obj_start|>cup<|obj_end|><|box_start|>(1,2)<|box_end|>",
            1.0,
            "the boxes stand as claimed; an object or box is not written out in full",
        ),
        ("I shall draw a cat left of a box.", 0.0, "the reasoning plans nothing: no object with a box in it"),
        (
            "<|obj_start|>cat<|box_start|>(0,0),(5,5)<|box_end|>",
            0.0,
            "the reasoning plans nothing: no object with a box in it",
        ),
    ],
)
def test_claims_on_boxes(think: str, value: float, reason: str) -> None:
    verdict = judge(think, *CAT_LEFT)
    assert verdict.value == pytest.approx(value)
    assert verdict.reason == reason
    assert verdict.evidence["passed"] is (value == 1.0)


def test_what_boxes_do_not_decide_has_no_part() -> None:
    assert judge(CAT + BOX, *CAT_LEFT, color("cat", "blue"), words("OPEN")).value == 1.0
    assert judge(CAT + BOX, count("cat", 1), relation("cat", "in front of", "box")).evidence["claims"] == {
        "count(cat, 1)": True
    }
    assert judge(CAT + BOX, color("cat", "blue")).value is None
    assert judge(CAT + BOX, relation("cat", "in front of", "box")).value is None
    no_thought = got_layout.score(make_prompt(*CAT_LEFT), make_sample(), make_tools())
    assert (no_thought.value, no_thought.reason) == (None, "the sample has no reasoning")


def test_a_thing_belongs_to_the_longest_name_of_any_claim() -> None:
    think = write("bear", 0, 0, 300, 300) + write("white teddy bear", 500, 0, 900, 300)
    assert judge(think, count("bear", 1), count("teddy bear", 1)).value == 1.0
    assert judge(think, count("bear", 1), color("teddy bear", "white")).value == 1.0, "a colour is not judged here"
    assert judge(think, count("bear", 2)).value == 1.0


@pytest.mark.parametrize(
    ("think", "holds"),
    [
        (write("cat", 0, 0, 100, 100) + write("cat", 500, 0, 600, 100), True),
        (write("cat", 0, 0, 100, 100) + write("cat", 0, 500, 100, 600), False),
        (write("cat", 0, 0, 100, 100), False),
    ],
)
def test_two_of_one_kind_need_one_pair_in_one_order(think: str, holds: bool) -> None:
    claim = relation("cat", "left of", "cat")
    assert judge(think, claim).value == float(holds)
    verdict = plan.score(make_prompt(claim), make_sample(think=think), make_tools())
    assert verdict.evidence["checks"][str(claim)] is holds


def show(think: str, asked: Judge) -> Verdict:
    return got_layout_judge.score(make_prompt(*CAT_LEFT), make_sample(think=think, image=None), tools_with(asked))


def test_the_judge_sees_a_canvas_and_not_the_image() -> None:
    asked = always({"Yes": 0.7, "No": 0.3})
    verdict = show(f"A {CAT} and a {BOX}.", asked)
    assert verdict.value == pytest.approx(0.7)
    assert verdict.evidence["malformed"] == []
    assert "passed" not in verdict.evidence
    assert asked.questions == [LAYOUT.format(make_prompt(*CAT_LEFT).text)]
    (shown,) = [part.image for part in asked.calls[0][0].messages[0].parts if part.image]
    with Image.open(io.BytesIO(shown)) as canvas:
        assert canvas.size == (CANVAS_PX, CANVAS_PX)


def test_a_malformed_box_is_not_drawn_and_a_plan_without_boxes_is_not_shown() -> None:
    asked = always({"Yes": 1.0})
    verdict = show(CAT + write("box", 0, 0, 2000, 10), asked)
    assert verdict.evidence["malformed"] == ["the box of box leaves the picture"]
    assert verdict.reason == "the judge says yes with P 1.00; the box of box leaves the picture"
    for think in ("prose", write("box", 0, 0, 2000, 10)):
        asked = always({"Yes": 1.0})
        assert show(think, asked).value == 0.0
        assert asked.calls == []


def test_the_judge_has_no_value_without_reasoning_or_without_a_judge() -> None:
    prompt = make_prompt(*CAT_LEFT)
    assert got_layout_judge.score(prompt, make_sample(), tools_with(always({"Yes": 1.0}))).value is None
    assert got_layout_judge.score(prompt, make_sample(think=CAT), tools_with(None)).reason.startswith("no judge")
    assert show(CAT, always({"Perhaps": 1.0})).value is None
