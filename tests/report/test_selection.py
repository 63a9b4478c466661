"""Which samples a page shows when a run is too large for one."""

from __future__ import annotations

import random
from collections import Counter

from datagen.records import hash_of
from datagen.report import Selection, select

Run = list[list[tuple[str, str]]]


def make_run(sizes: dict[str, int]) -> Run:
    """Prompts of 4 candidates, so many per skill, as (prompt id, skill) of each sample."""
    return [[(hash_of(skill, k), skill)] * 4 for skill, size in sizes.items() for k in range(size)]


def choose(run: Run, most: int) -> tuple[Selection, list[str]]:
    selection = select((key for prompt in run for key in prompt), most)
    shown = [prompt[0][0] for prompt in run if selection.place(prompt[0][0]) is not None]
    assert selection.seen == sum(map(len, run))
    assert selection.samples == 4 * len(shown), "prompts stay whole"
    return selection, shown


def test_everything_is_shown_below_the_limit() -> None:
    run = make_run({"a": 5, "b": 3})
    assert choose(run, 32)[1] == [prompt[0][0] for prompt in run]


def test_choice_is_even_over_skills_and_within_the_limit() -> None:
    run = make_run({"large": 200, "middle": 40, "small": 3})
    skills = {prompt[0][0]: prompt[0][1] for prompt in run}
    counts = Counter(skills[key] for key in choose(run, 100)[1])
    assert counts == {"large": 11, "middle": 11, "small": 3}


def test_places_are_even_over_skills_too() -> None:
    run = make_run({"large": 200, "middle": 40, "small": 3})
    skills = {prompt[0][0]: prompt[0][1] for prompt in run}
    selection, shown = choose(run, 100)
    first = [key for key in shown if (selection.place(key) or 0) < 9 / 25]
    assert Counter(skills[key] for key in first) == {"large": 3, "middle": 3, "small": 3}


def test_choice_does_not_depend_on_the_order_of_arrival() -> None:
    run = make_run({"a": 90, "b": 20})
    expected = choose(run, 80)[0].places
    for seed in range(5):
        random.Random(seed).shuffle(run)
        assert choose(run, 80)[0].places == expected


def test_one_prompt_always_stays_and_no_samples_are_no_prompt() -> None:
    assert len(choose(make_run({"a": 30}), 1)[1]) == 1
    assert select([], 10) == Selection(0, 0)
