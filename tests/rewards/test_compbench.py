"""T2I-CompBench's scores by hand: what is asked, what is seen, reasons, None where nothing can be said."""

from __future__ import annotations

import pytest

from datagen.chat import Reply
from datagen.records import Claim, Detection
from datagen.scoring.questions import name_phrases
from datagen.scoring.tools import Tools
from tests.helpers.judge_cases import Judge, always, by_question, drawing, tools_with
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, make_tools, relation, thing
from tests.helpers.scorers import find_scorer

compbench_3in1 = find_scorer("compbench_3in1")
compbench_attribute = find_scorer("compbench_attribute")
compbench_numeracy = find_scorer("compbench_numeracy")
compbench_spatial = find_scorer("compbench_spatial")

SAMPLE = make_sample()
RED_AND_BLUE = make_prompt(count("apple", 1), color("apple", "red"), count("bus", 2), color("bus", "blue"))
CAT_LEFT = make_prompt(count("cat", 1), count("box", 1), relation("cat", "left of", "box"))
LEFT, RIGHT = (0, 300, 200, 500), (700, 300, 900, 500)


@pytest.mark.parametrize(
    ("claims", "phrases"),
    [
        ((count("apple", 1), color("apple", "orange")), ["an orange apple"]),
        ((count("cup", 3), color("cup", "red")), ["three red cups"]),
        ((color("chair", "red"), Claim("attribute", "chair", "material", "wood")), ["a red wood chair"]),
        ((relation("cat", "left of", "box"), color("cat", "red")), ["a red cat", "a box"]),
        ((count("star", 2), color("star", "red"), color("star", "blue")), ["a red star", "a blue star"]),
        ((count("cat", 0), count("dog", 1)), ["a dog"]),
        ((Claim("text", "", "", "OPEN"),), []),
    ],
)
def test_noun_phrases(claims: tuple[Claim, ...], phrases: list[str]) -> None:
    assert name_phrases(claims) == phrases


def test_attribute_is_a_product_of_shares_of_yes_and_no() -> None:
    judge = by_question({"a red": {"Yes": 0.3, " yes": 0.1, "No": 0.1, "A": 0.5}, "two": {"Yes": 0.5, "No": 0.5}})
    verdict = compbench_attribute.score(RED_AND_BLUE, SAMPLE, tools_with(judge))
    assert judge.questions == ["a red apple?", "two blue buses?"]
    assert verdict.value == pytest.approx(0.8 * 0.5)
    assert verdict.reason == "the judge affirms all"
    assert verdict.evidence["phrases"] == {"a red apple": pytest.approx(0.8), "two blue buses": pytest.approx(0.5)}
    assert "passed" not in verdict.evidence


def test_attribute_by_sampled_answers() -> None:
    judge = drawing(["Yes", "yes.", "No", "Maybe"])
    prompt = make_prompt(count("apple", 1), color("apple", "red"))
    verdict = compbench_attribute.score(prompt, SAMPLE, tools_with(judge))
    assert verdict.value == pytest.approx(2 / 3)
    assert "sampling" in verdict.reason


@pytest.mark.parametrize(
    ("judge", "reason"),
    [
        (always({"two": 1.0}), "does not answer the question"),
        (always({"The": 1.0}), "does not answer the question"),
        (always(Reply("", error="it is down")), "the judge did not answer: it is down"),
        (None, "no judge"),
    ],
)
def test_attribute_without_an_answer_has_no_value(judge: Judge | None, reason: str) -> None:
    verdict = compbench_attribute.score(RED_AND_BLUE, SAMPLE, tools_with(judge))
    assert verdict.value is None
    assert reason in verdict.reason
    only_counts = make_prompt(count("cat", 1))
    assert compbench_attribute.score(only_counts, SAMPLE, tools_with(judge)).reason == "no attribute claim"


@pytest.mark.parametrize(
    ("found", "value"),
    [
        ((thing("cat", box=LEFT, sure=0.8), thing("box", box=RIGHT, sure=0.6)), 0.25 * 1.4 + 0.5),
        ((thing("cat", box=LEFT, sure=1.0), thing("box", box=RIGHT, sure=1.0)), 1.0),
        ((thing("cat", box=RIGHT, sure=1.0), thing("box", box=LEFT, sure=1.0)), 0.0),
        ((thing("cat", box=LEFT, sure=1.0), thing("box", box=LEFT, sure=1.0)), 0.0),
        ((thing("cat", box=LEFT, sure=1.0),), 0.0),
        ((), 0.0),
        # half of each box is shared: overlap 1/3, relation 0.3
        ((thing("cat", box=(0, 0, 200, 200)), thing("box", box=(100, 0, 300, 200))), 0.45 + 0.15),
        ((thing("cat", box=(0, 0, 200, 200), sure=0.3), thing("box", box=(100, 0, 300, 200), sure=0.3)), 0.0),
        # as far down as across: no axis dominates
        ((thing("cat", box=(0, 0, 100, 100)), thing("box", box=(300, 300, 400, 400))), 0.0),
        ((thing("cat", box=(5, 5, 5, 5)), thing("box", box=(9, 5, 9, 5))), 0.95),
        # the surest of each decides
        ((thing("cat", box=RIGHT, sure=0.5), thing("cat", box=LEFT), thing("box", box=(300, 300, 500, 500))), 0.95),
    ],
)
def test_spatial_by_hand(found: tuple[Detection, ...], value: float) -> None:
    verdict = compbench_spatial.score(CAT_LEFT, SAMPLE, make_tools(*found))
    assert verdict.value == pytest.approx(value)
    assert verdict.evidence["holds"] is (value > 0)
    assert "passed" not in verdict.evidence


def test_spatial_reasons_and_none() -> None:
    only_box = compbench_spatial.score(CAT_LEFT, SAMPLE, make_tools(thing("box")))
    assert only_box.reason == "expected the cat left of the box, found no cat"
    same = make_prompt(count("cat", 2), relation("cat", "left of", "cat"))
    assert compbench_spatial.score(same, SAMPLE, make_tools()).value is None
    near = make_prompt(relation("cat", "next to", "box"))
    assert "cannot judge relation(cat, next to, box)" in compbench_spatial.score(near, SAMPLE, make_tools()).reason
    assert compbench_spatial.score(make_prompt(count("cat", 1)), SAMPLE, make_tools()).reason == "no relation claim"
    assert compbench_spatial.score(CAT_LEFT, make_sample(image=None), make_tools()).value is None
    blind = make_tools(labels=frozenset({"cat"}))
    assert compbench_spatial.score(CAT_LEFT, SAMPLE, blind).reason == "the detector cannot see box"


@pytest.mark.parametrize(
    ("claims", "found", "value"),
    [
        ((count("cat", 2),), [LEFT, RIGHT], 1.0),
        ((count("cat", 3),), [LEFT, RIGHT], 0.5),
        ((count("cat", 1),), [], 0.0),
        ((count("cat", 0),), [], 1.0),
        ((count("cat", 0),), [LEFT], 0.0),
        ((count("cat", 1), count("dog", 1)), [LEFT], 0.5),
        ((count("cat", 1),), [LEFT, LEFT], 1.0),
        ((count("cat", 1),), [LEFT, (10, 310, 100, 400)], 1.0),  # one inside the other
        ((count("cat", 2),), [LEFT, (100, 300, 300, 500)], 1.0),
        ((count("cat", 1),), [LEFT, (50, 350, 50, 350)], 1.0),  # without area, inside
        ((count("cat", 20),), [(40 * k, 0, 40 * k + 30, 30) for k in range(20)], 1.0),
    ],
)
def test_numeracy_by_hand(claims: tuple[Claim, ...], found: list[tuple[int, int, int, int]], value: float) -> None:
    tools = make_tools(*(thing("cat", box=box) for box in found))
    verdict = compbench_numeracy.score(make_prompt(*claims), SAMPLE, tools)
    assert verdict.value == value
    assert verdict.evidence["holds"] is (value == 1.0)


def test_numeracy_reasons_and_none() -> None:
    prompt = make_prompt(count("cat", 2))
    verdict = compbench_numeracy.score(prompt, SAMPLE, make_tools(thing("cat")))
    assert verdict.reason == "expected 2 cats, found 1"
    assert compbench_numeracy.score(make_prompt(color("cat", "red")), SAMPLE, make_tools()).value is None
    assert compbench_numeracy.score(prompt, make_sample(image=None), make_tools()).value is None
    assert compbench_numeracy.score(prompt, SAMPLE, make_tools(labels=frozenset())).value is None


def test_3in1_is_the_mean_of_what_is_asked_for() -> None:
    prompt = make_prompt(count("cat", 1), color("cat", "red"), count("box", 1), relation("cat", "left of", "box"))
    found = [thing("cat", box=LEFT, sure=0.8), thing("box", box=RIGHT, sure=0.6)]
    judge = by_question({"a red cat": {"Yes": 0.4, "No": 0.1}, "a box": {"Yes": 0.9, "No": 0.1}})
    verdict = compbench_3in1.score(prompt, SAMPLE, Tools(lambda image: found, lambda image: [], None, judge))
    assert verdict.value == pytest.approx((0.8 * 0.9 + 0.85) / 2)
    assert verdict.evidence["parts"] == {"attribute": pytest.approx(0.72), "spatial": pytest.approx(0.85)}
    assert verdict.reason.startswith("attribute 0.72: the judge affirms all; spatial 0.85: the cat left of the box")
    assert compbench_3in1.join_parts(0.9, 0.6, 0.3) == pytest.approx(0.6)
    assert compbench_3in1.join_parts(0.9, action=0.3) == pytest.approx(0.6)


def test_3in1_has_no_value_where_a_part_has_none() -> None:
    no_judge = compbench_3in1.score(CAT_LEFT, SAMPLE, make_tools(thing("cat"), thing("box")))
    assert (no_judge.value, no_judge.reason.split(":")[0]) == (None, "attribute")
    judge = always({"Yes": 1.0})
    no_relation = compbench_3in1.score(RED_AND_BLUE, SAMPLE, tools_with(judge))
    assert (no_relation.value, no_relation.reason) == (None, "spatial: no relation claim")
    assert judge.calls == []
