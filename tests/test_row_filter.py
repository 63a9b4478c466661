"""Conditions on rows: what they mean, where a value is missing, what is refused, and what they leave of a dataset."""

from __future__ import annotations

import itertools
import random
import re
from pathlib import Path
from typing import Any

import pytest

from datagen.config import make_recipe
from datagen.errors import ConfigError, RunError
from datagen.expressions import Names, parse_condition
from datagen.pipeline import Silent, create_run, export_run, open_run, report_run, reweigh_run, weigh_run
from tests.helpers.runs import Listener, build_here, hash_files, small_recipe

NAMES = Names(frozenset({"a", "b", "my_pkg.sharp"}), frozenset({"skill"}), frozenset({"passed"}))
ATOMS = {"a > 0.5": "a", "b <= a": "b", "passed": "passed", 'skill == "x"': "skill"}


def is_kept(text: str, **facts: Any) -> bool:
    return parse_condition(text, NAMES)(facts)


@pytest.mark.parametrize(
    ("text", "facts", "kept"),
    [
        ("a >= 0.8", {"a": 0.8}, True),
        ("0.2 < a < 0.8", {"a": 0.8}, False),
        ("a*b > 0.2 and not passed", {"a": 0.5, "b": 0.5, "passed": False}, True),
        ("mean(a, b) == 0.5", {"a": 0.25, "b": 0.75}, True),
        ("my_pkg.sharp != a + 0.5", {"my_pkg.sharp": 1.0, "a": 0.5}, False),
        ('skill in ("x", "y")', {"skill": "y"}, True),
        ('"x" != skill', {"skill": "x"}, False),
        ('skill not in ["x"]', {"skill": "z"}, True),
        ("a is None", {}, True),
        ("a is not None or b > 0.5", {"b": 0.4}, False),
    ],
)
def test_a_condition_means_what_it_says(text: str, facts: dict[str, Any], kept: bool) -> None:
    assert is_kept(text, **facts) is kept


@pytest.mark.parametrize(
    "text", ["a > 0.5", "not a > 0.5", "a != 0.5", "a == b", "passed", "not passed", 'skill != "x"']
)
def test_what_is_unknown_keeps_no_row(text: str) -> None:
    assert not is_kept(text, b=0.3)


def test_joined_conditions_follow_sqls_three_values() -> None:
    """Against every assignment: a condition is kept if each way of filling the gaps by itself would keep it."""
    rng = random.Random(5)
    for _ in range(200):
        parts = [f"{'not ' if rng.random() < 0.3 else ''}(x{k} > 0.5)" for k in range(3)]
        text = f"({parts[0]} {rng.choice(['and', 'or'])} {parts[1]}) {rng.choice(['and', 'or'])} {parts[2]}"
        names = Names(frozenset({"x0", "x1", "x2"}), frozenset(), frozenset())
        facts = {f"x{k}": rng.choice([None, 0.0, 1.0]) for k in range(3)}
        gaps = [name for name, value in facts.items() if value is None]
        ways = [
            parse_condition(text, names)({**facts, **dict(zip(gaps, values, strict=True))})
            for values in itertools.product((0.0, 1.0), repeat=len(gaps))
        ]
        # Each name stands once, so Kleene's answer is the exact one.
        assert parse_condition(text, names)(facts) is all(ways), (text, facts)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a", "'a' is no condition"),
        ("a > ", "is no condition (invalid syntax)"),
        ("c > 0.5", "'c' is nothing that a row has"),
        ("pased", "did you mean 'passed'?"),
        ("1 > 0.5", "names nothing of a row"),
        ("skill > 0.5", 'skill is a word: write skill == "…"'),
        ("skill in (a, b)", "skill is a word"),
        ("a + passed > 1", "passed is no number"),
        ('a == "x"', "cannot stand here"),
        ("a in (0.5, 1)", "cannot stand here"),
        ("__import__('os').system('true') == 1", "cannot stand here"),
        ("[a for a in b]", "is no condition"),
        ("a > 0.5 if passed else b", "is no condition"),
        ("a > 0.5 and " * 200 + "passed", "at most 1,000"),
    ],
)
def test_what_is_no_condition_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_condition(text, NAMES)


def test_a_wrong_filter_is_an_error_of_the_recipe() -> None:
    with pytest.raises(ConfigError, match="'vqa' is nothing that a row has"):
        make_recipe({"taxonomy": ["counting"], "filter": "vqa > 0.5"})
    make_recipe({"taxonomy": ["counting"], "filter": "counting > 0.5 and image_reward > 0.1"})


def read_rows(folder: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return [row for path in sorted(folder.glob("dataset/data/*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_a_finished_run_is_filtered_anew_without_drawing(tmp_path: Path) -> None:
    run, _ = build_here(small_recipe(), tmp_path / "run")
    rows = {row["id"]: row for row in read_rows(tmp_path / "run")}
    drawn = hash_files(tmp_path / "run", "samples", "scores")
    text = 'image_reward >= 0.8 and counting is not None and weakness in ("counting", "attributes")'
    watch = Listener()
    run, weighed = reweigh_run(str(tmp_path / "run"), [f"filter={text}"], watch)
    export_run(run, weighed, Silent())
    report_run(run, weighed, Silent())
    kept = {row["id"]: row for row in read_rows(tmp_path / "run")}
    wanted = {
        name for name, row in rows.items() if (row["image_reward"] or 0) >= 0.8 and row["reward_counting"] is not None
    }
    assert kept == {name: rows[name] for name in wanted}
    assert 0 < len(kept) < len(rows)
    said = f"{len(kept)} of {len(rows)} samples pass"
    assert any(line.startswith(f"filter: {said}") for line in watch.said)
    card = (tmp_path / "run/dataset/README.md").read_text(encoding="utf-8")
    assert said in card
    assert "| samples | passed |" in card, "what the filter chose is no measure of the model"
    assert said in (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert hash_files(tmp_path / "run", "samples", "scores") == drawn
    run, weighed = reweigh_run(str(tmp_path / "run"), ["filter=null"], Silent())
    export_run(run, weighed, Silent())
    assert {row["id"]: row for row in read_rows(tmp_path / "run")} == rows


WORTH, SHARED = "image_reward >= 0.3", "level != 'hard' and candidate < 4"


@pytest.mark.parametrize("view", ["graded", "t2i_r1"])
def test_what_compares_all_candidates_is_refused_where_a_filter_takes_some_by_their_worth(
    view: str, tmp_path: Path
) -> None:
    changes = {"mode": "think", "exports": {"groups": {"view": view, "format": "jsonl"}}}
    create_run(small_recipe(**changes, filter=SHARED), str(tmp_path / "shared"))
    with pytest.raises(ConfigError, match=f"{view}' compares all candidates of a prompt, but `filter: image_reward"):
        create_run(small_recipe(**changes, filter=WORTH), str(tmp_path / "worth"))


def test_a_baseline_is_refused_where_a_filter_takes_some_by_their_worth() -> None:
    train = {"detector": "learned", "baseline": True}
    make_recipe({"taxonomy": "counting", "train": train, "filter": SHARED})
    with pytest.raises(ConfigError, match="`baseline` is the mean of all candidates of a prompt, and `filter` leaves"):
        make_recipe({"taxonomy": "counting", "train": train, "filter": WORTH})


def test_a_filter_that_nothing_passes_leaves_the_dataset_as_it_was(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path / "run")
    before = read_rows(tmp_path / "run")
    run = open_run(str(tmp_path / "run"), ["filter=image_reward > 2"])
    with pytest.raises(RunError, match="no sample passes image_reward > 2"):
        export_run(run, weigh_run(run, Silent()), Silent())
    assert read_rows(tmp_path / "run") == before
