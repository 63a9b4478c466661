"""Which samples a page embeds when a run is too large for one."""

from __future__ import annotations

import random
from collections import Counter

from gallery_data import make_plain

from datagen.records import hash_of
from datagen.report import ReportItem
from datagen.report.figures import Subset


def make_run(sizes: dict[str, int]) -> list[list[ReportItem]]:
    """Return prompts of 4 candidates, so many per skill."""
    return [
        [make_plain(hash_of(skill, k), candidate, skill=skill, image=b"x" * 100) for candidate in range(4)]
        for skill, size in sizes.items()
        for k in range(size)
    ]


def choose(run: list[list[ReportItem]], **limits: int) -> list[str]:
    subset = Subset(**limits)
    for group in run:
        for item in group:
            subset.add(item)
    chosen = list(subset.groups())
    assert sum(map(len, chosen)) == subset.embedded
    assert all(len(group) == 4 for group in chosen), "prompts stay whole"
    return [group[0].prompt.id for group in chosen]


def test_everything_is_embedded_below_the_limit() -> None:
    run = make_run({"a": 5, "b": 3})
    assert choose(run, limit=32) == [group[0].prompt.id for group in run]


def test_choice_is_even_over_skills_and_within_the_limit() -> None:
    run = make_run({"large": 200, "middle": 40, "small": 3})
    skills = {group[0].prompt.id: group[0].prompt.skill for group in run}
    counts = Counter(skills[key] for key in choose(run, limit=100))
    assert counts == {"large": 11, "middle": 11, "small": 3}


def test_choice_does_not_depend_on_the_order_of_arrival() -> None:
    run = make_run({"a": 90, "b": 20})
    expected = set(choose(run, limit=80))
    for seed in range(5):
        random.Random(seed).shuffle(run)
        assert set(choose(run, limit=80)) == expected


def test_bytes_are_limited_too_but_one_prompt_always_stays() -> None:
    run = make_run({"a": 30})
    assert len(choose(run, limit_bytes=4000)) == 10
    assert len(choose(run, limit_bytes=1)) == 1
