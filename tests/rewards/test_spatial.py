"""Relations in the image: every pair, both things needed, a failure stays a failure."""

from __future__ import annotations

import pytest

from datagen.rewards.objects import spatial
from tests.helpers.reward_cases import count, make_prompt, make_sample, make_tools, relation, thing

LEFT, RIGHT = (0, 300, 200, 500), (700, 300, 900, 500)


@pytest.mark.parametrize(
    ("name", "ours", "theirs", "holds"),
    [
        ("left of", LEFT, RIGHT, True),
        ("left of", RIGHT, LEFT, False),
        ("right of", RIGHT, LEFT, True),
        ("above", (300, 0, 500, 200), (300, 700, 500, 900), True),
        ("below", (300, 0, 500, 200), (300, 700, 500, 900), False),
        ("above", LEFT, RIGHT, False),
    ],
)
def test_a_relation_of_two_things(
    name: str, ours: tuple[int, int, int, int], theirs: tuple[int, int, int, int], holds: bool
) -> None:
    prompt = make_prompt(count("cat", 1), count("box", 1), relation("cat", name, "box"))
    verdict = spatial.score(prompt, make_sample(), make_tools(thing("box", box=theirs), thing("cat", box=ours)))
    assert verdict.value == float(holds)
    assert verdict.evidence["passed"] is holds


def test_a_missing_thing_fails_once_and_says_which() -> None:
    prompt = make_prompt(relation("cat", "left of", "box"))
    verdict = spatial.score(prompt, make_sample(), make_tools(thing("box", box=RIGHT)))
    assert verdict.value == 0.0
    assert verdict.reason == "expected the cat left of the box, found no cat"
    both = spatial.score(prompt, make_sample(), make_tools())
    assert both.reason.endswith("found no cat and no box")


def test_the_boxes_that_were_compared_are_shown() -> None:
    prompt = make_prompt(relation("cat", "left of", "box"))
    verdict = spatial.score(prompt, make_sample(), make_tools(thing("box", box=LEFT), thing("cat", box=RIGHT)))
    shown = [(each["label"], each["box"]) for each in verdict.evidence["detections"]]
    assert shown == [("box", [*LEFT]), ("cat", [*RIGHT])]


def test_the_reason_says_where_it_was_found() -> None:
    prompt = make_prompt(relation("cat", "left of", "box"))
    verdict = spatial.score(prompt, make_sample(), make_tools(thing("box", box=LEFT), thing("cat", box=RIGHT)))
    assert verdict.reason == "expected the cat left of the box, found it right of the box"
    on_top = spatial.score(prompt, make_sample(), make_tools(thing("box", box=LEFT), thing("cat", box=LEFT)))
    assert on_top.reason.endswith("found it in no clear relation to the box")


def test_all_claimed_instances_must_hold_and_the_surest_are_taken() -> None:
    two = make_prompt(count("cat", 2), relation("cat", "left of", "box"))
    box, good = thing("box", box=(400, 300, 600, 500)), thing("cat", box=LEFT, sure=0.9)
    bad = thing("cat", box=RIGHT, sure=0.5)
    assert spatial.score(two, make_sample(), make_tools(box, good, bad)).value == 0.0
    one = make_prompt(count("cat", 1), relation("cat", "left of", "box"))
    assert spatial.score(one, make_sample(), make_tools(box, bad, good)).value == 1.0
    sure_but_wrong = thing("cat", box=RIGHT, sure=0.95)
    assert spatial.score(one, make_sample(), make_tools(box, good, sure_but_wrong)).value == 0.0


def test_value_is_the_share_of_claims_that_hold() -> None:
    prompt = make_prompt(relation("cat", "left of", "box"), relation("box", "left of", "cat"))
    verdict = spatial.score(prompt, make_sample(), make_tools(thing("cat", box=LEFT), thing("box", box=RIGHT)))
    assert verdict.value == 0.5
    assert verdict.evidence["passed"] is False


def test_none_with_a_reason_where_it_cannot_judge() -> None:
    prompt = make_prompt(relation("cat", "left of", "box"))
    tools = make_tools(labels=frozenset({"box"}))
    assert spatial.score(make_prompt(count("cat", 1)), make_sample(), tools).reason == "no relation claim"
    assert spatial.score(prompt, make_sample(image=None), tools).value is None
    assert spatial.score(prompt, make_sample(), tools).reason == "the detector cannot see cat"


@pytest.mark.parametrize(
    ("boxes", "value"), [([LEFT], 0.0), ([LEFT, RIGHT], 1.0), ([RIGHT, LEFT], 1.0), ([LEFT, (0, 700, 200, 900)], 0.0)]
)
@pytest.mark.parametrize("counted", [True, False])
def test_two_of_one_kind_need_one_pair(boxes: list[tuple[int, int, int, int]], value: float, counted: bool) -> None:
    claims = [relation("cat", "left of", "cat"), *([count("cat", 2)] if counted else [])]
    verdict = spatial.score(make_prompt(*claims), make_sample(), make_tools(*(thing("cat", box=box) for box in boxes)))
    assert verdict.value == value
