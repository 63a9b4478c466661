"""One word a skill: each rule by itself, that few prompts decide nothing, and what a file of a diagnosis may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from datagen.diagnose import Group, list_rows, load_diagnosis
from datagen.errors import ConfigError


def repeat(count: int, *passes: int, tries: int = 4) -> list[Group]:
    """`count` prompts whose passes of 4 go round."""
    return [Group(f"p{k}", tries, passes[k % len(passes)]) for k in range(count)]


@pytest.mark.parametrize(
    ("groups", "n", "verdict", "why"),
    [
        (repeat(24, 4), 4, "solved", "pass@1 is at least 0.86"),
        (repeat(24, 0), 4, "hopeless", "pass@4 is at most 0.14"),
        (repeat(24, 1), 4, "learnable", "above pass@1 by at least 0.55"),
        (repeat(24, 2, 4), 4, "learnable", "above pass@1 by at least 0.12"),
        (repeat(24, 0, 0, 4), 4, "weak", "that 4 tries help is not shown"),
        (repeat(24, 4, 4, 4, 0), 4, "unclear", "ask more"),
        (repeat(9, 0), 4, "unclear", "9 prompts are fewer than 10"),
        (repeat(9, 1), 4, "unclear", "fewer than 10"),
        (repeat(40, 0, tries=1), 1, "weak", "what more tries bring is not known"),
        ([Group(f"p{k}", 0, 0, (0.5,)) for k in range(30)], 1, "graded", "only a mean reward"),
    ],
)
def test_rules(groups: list[Group], n: int, verdict: str, why: str) -> None:
    (row,) = list_rows({"a/b/c": groups}, n)
    assert row.verdict == verdict
    assert why in row.why


def test_levels_are_pooled_into_their_skill_and_only_there() -> None:
    rows = list_rows({"a/b/x": repeat(10, 4), "a/b/y": repeat(10, 0), "a/c/x": repeat(10, 4), "d": repeat(5, 4)}, 4)
    assert [(row.path, row.prompts) for row in rows] == [
        ("a/b", 20), ("a/b/x", 10), ("a/b/y", 10), ("a/c/x", 10), ("d", 5),
    ]  # fmt: skip
    assert rows[0].pass_1 is not None
    assert rows[0].pass_1.value == 0.5


def test_lost_candidates_do_not_push_hard_prompts_out_of_pass_n() -> None:
    (row,) = list_rows({"a": [Group("p", 4, 4), Group("q", 3, 0, unjudged=1)]}, 4)
    assert row.pass_n is not None
    assert (row.pass_n.value, row.pass_n.prompts, row.unjudged) == (0.5, 2, 1)


MADE = "version: 1\nmade: {source: csv, prompts: 1, candidates: 1}\n"
GOOD = MADE + "rows:\n- {path: a, verdict: weak, prompts: 1, samples: 1"
BAD = [
    ("", "the key 'made' is missing"),
    ("version: 2\n", "a newer one"),
    (GOOD + ", pass_1: {value: 2, low: 0, high: 1, prompts: 1}}\n", "d.yaml:4:"),
    (GOOD + ", pass_1: {value: 0.5, low: 0.6, high: 1, prompts: 1}}\n", "is not between low and high"),
    (GOOD + ", pas_1: 3}\n", "pass_1"),
    (GOOD + ", covers: [a/b/c/d]}\n", "d.yaml:4:"),
    (GOOD + "}\n- {path: a, verdict: weak, prompts: 1, samples: 1}\n", "two rows cover 'a'"),
    (GOOD.replace("weak", "bad") + "}\n", "must be 'solved'"),
    (MADE + "rows: []\n", "rows"),
    ("- 1\n- 2\n", "d.yaml:1"),
]


@pytest.mark.parametrize(("text", "said"), BAD)
def test_a_broken_diagnosis_names_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_diagnosis(path)
    assert said in str(caught.value)


def test_the_good_one_of_these_loads(tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(GOOD + "}\n", encoding="utf-8")
    assert load_diagnosis(path).rows[0].path == "a"
