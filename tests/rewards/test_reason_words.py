"""Reasons are said in English: cherries, wolves, loaves of bread, an orange cup, a pair of scissors."""

from __future__ import annotations

import pytest

from datagen.records import Claim
from datagen.rewards.objects import attribute, comparison, compbench, counting, geneval, spatial
from datagen.rewards.reasoning import contradiction, plan
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, make_tools, relation, thing, write

SEVERAL = {"cherry": "cherries", "wolf": "wolves", "loaf of bread": "loaves of bread", "scissors": "pairs of scissors"}


@pytest.mark.parametrize("name", SEVERAL)
def test_a_number_of_things_is_said_in_the_plural(name: str) -> None:
    prompt, tools = make_prompt(count(name, 3)), make_tools(thing(name))
    wanted = f"3 {SEVERAL[name]}"
    for score in (counting.score, compbench.score_numeracy, geneval.score):
        assert wanted in score(prompt, make_sample(), tools).reason
    planned = make_sample(think=write(name, 0, 0, 500, 500))
    assert f"expected {wanted} in the plan" in plan.score(prompt, planned, tools).reason
    said = make_sample(think=f"There are 5 {SEVERAL[name]}.")
    assert contradiction.score(prompt, said, tools).reason == f"the reasoning says 5 {SEVERAL[name]}, the claim is 3"
    more = make_prompt(Claim("comparison", name, "more than", "cup"))
    verdict = comparison.score(more, make_sample(), make_tools(thing(name), thing("cup")))
    assert verdict.reason.startswith(f"expected more {SEVERAL[name]} than cups")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("cup", "orange", "an orange cup"), ("cup", "red", "a red cup"), ("scissors", "red", "a pair of red scissors")],
)
def test_one_thing_has_its_article(name: str, value: str, said: str) -> None:
    verdict = attribute.score(make_prompt(color(name, value)), make_sample(), make_tools())
    assert verdict.reason == f"expected {said}, found no {name}"


@pytest.mark.parametrize(
    ("name", "one", "found"),
    [
        ("umbrella", "an umbrella", "one umbrella"),
        ("star", "a star", "one star"),
        ("jeans", "a pair of jeans", "one pair of jeans"),
    ],
)
def test_two_of_a_kind_are_spoken_of_as_english_does(name: str, one: str, found: str) -> None:
    prompt = make_prompt(relation(name, "left of", name))
    alone = spatial.score(prompt, make_sample(), make_tools(thing(name)))
    assert alone.reason == f"expected {one} left of another, found {found}"
    both = make_tools(thing(name, box=(0, 0, 100, 100)), thing(name, box=(800, 0, 900, 100)))
    assert spatial.score(prompt, make_sample(), both).reason == f"{one} is left of another"
