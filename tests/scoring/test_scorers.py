"""Scorers with options: how a recipe names them, what they are called, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from datagen.config import ScorerChoice, make_recipe
from datagen.errors import ConfigError, PluginError
from datagen.plugins import FORMER
from datagen.scoring.scorers import load_scorer
from tests.helpers.reward_cases import make_prompt, make_sample, make_tools
from tests.helpers.runs import run_cli, small_values
from tests.helpers.scorers import choose, find_scorer

OWN = """
from pydantic import BaseModel

from datagen.records import Verdict

TARGET = "image"
JUDGES = frozenset()


class Options(BaseModel):
    value: float = 0.25


def score(prompt, sample, tools, options):
    return Verdict(options.value, "as told")
"""


def label_of(written: Any) -> str:
    return ScorerChoice.model_validate(written).label


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("counting", "counting"),
        ({"name": "counting"}, "counting"),
        ({"name": "text", "metric": "flow_grpo"}, "text_flow_grpo"),
        ({"name": "geneval", "strict": True}, "geneval_strict"),
        ({"name": "geneval", "strict": False}, "geneval"),
        ({"name": "vqa", "form": "vqascore"}, "vqascore"),
        ({"name": "wide", "least": 1.5}, "wide_least1_5"),
        ({"name": "wide", "least": 30.0}, "wide_least30"),
        ({"name": "wide", "least": 0}, "wide_least0"),
        ({"name": "text", "metric": "mario", "as": "words"}, "words"),
    ],
)
def test_a_scorer_is_called_by_what_is_chosen(written: Any, label: str) -> None:
    assert label_of(written) == label


@pytest.mark.parametrize("name", FORMER)
def test_a_word_of_before_is_a_variant_with_the_same_name(name: str) -> None:
    assert find_scorer(name).TARGET in ("text", "image")
    with pytest.raises(PluginError) as told:
        load_scorer(ScorerChoice(name=name))
    assert told.value.hint == f"write {FORMER[name]}"
    assert choose(name).label == name


def test_a_recipe_without_options_reads_and_is_written_as_before() -> None:
    values = {"taxonomy": ["counting"], "rewards": ["counting", {"name": "text", "metric": "mario"}]}
    recipe = make_recipe(values)
    assert recipe.to_dict()["rewards"] == ["counting", {"name": "text", "metric": "mario"}]
    assert make_recipe(recipe.to_dict()).to_dict() == recipe.to_dict()
    assert recipe.selecting == ["counting", "text_mario"]


@pytest.mark.parametrize(
    ("choice", "what"),
    [
        ({"name": "counting", "limit": 3}, "unknown key 'limit'"),
        ({"name": "text", "metric": "marios"}, "metric: must be 'letters', 'mario'.*\n.*did you mean 'mario'"),
        ({"name": "compbench"}, "the key 'metric' is missing"),
        ({"name": "geneval", "stric": True}, "unknown key 'stric'.*\n.*did you mean 'strict'"),
    ],
)
def test_wrong_options_are_named(choice: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        load_scorer(ScorerChoice.model_validate(choice))


def test_a_name_that_expressions_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="mean is a word of expressions"):
        make_recipe({"taxonomy": ["counting"], "rewards": [{"name": "counting", "as": "mean"}]})


def test_the_same_scorer_twice_needs_two_names() -> None:
    twice = [{"name": "text", "metric": "mario"}, {"name": "text", "metric": "mario"}]
    with pytest.raises(ConfigError, match="lists the same scorer twice"):
        make_recipe({"taxonomy": ["counting"], "rewards": twice})
    apart = make_recipe({"taxonomy": ["counting"], "rewards": [twice[0], {**twice[1], "as": "again"}]})
    assert apart.selecting == ["text_mario", "again"]


def test_one_scorer_that_selects_and_evaluates_is_refused_whatever_it_is_called() -> None:
    values = {"taxonomy": ["counting"], "rewards": ["counting"], "evaluate": [{"name": "counting", "as": "other"}]}
    with pytest.raises(ConfigError, match="would both select and evaluate the samples"):
        make_recipe(values)


def test_variants_of_one_scorer_say_different_things() -> None:
    assert {"count"} == find_scorer("compbench_numeracy").JUDGES
    assert find_scorer("compbench_attribute").NEEDS_JUDGE
    assert not hasattr(find_scorer("compbench_spatial"), "NEEDS_JUDGE")
    assert hasattr(find_scorer("preference_wins"), "score_group")
    assert not hasattr(find_scorer("preference"), "score_group")


def test_a_scorer_of_ones_own_takes_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "told.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    scorer = load_scorer(ScorerChoice.model_validate({"name": "mine.told", "value": 0.75}))
    assert scorer.score(make_prompt(), make_sample(), make_tools()).value == 0.75
    with pytest.raises(ConfigError, match="unknown key 'valeu'"):
        load_scorer(ScorerChoice.model_validate({"name": "mine.told", "valeu": 0.75}))
    sys.modules.pop("mine.told")


def test_options_and_names_reach_scores_expressions_and_columns(tmp_path: Path) -> None:
    rewards = ["counting", {"name": "geneval", "strict": True}, {"name": "geneval", "as": "loose"}]
    values = small_values(
        taxonomy=["counting"], prompts=4, rewards=rewards, aggregate={"image": "geneval_strict * loose"}
    )
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    done = run_cli("build", tmp_path / "recipe.yaml", "--run", tmp_path / "run", "--workers", 0)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for path in (tmp_path / "run" / "scores").iterdir() for line in path.open()]
    assert {line["name"] for line in lines} == {"counting", "geneval_strict", "loose"}
    row = pq.read_table(next((tmp_path / "run" / "dataset" / "data").glob("train-*"))).to_pylist()[0]
    assert row["image_reward"] == row["reward_geneval_strict"] * row["reward_loose"]
