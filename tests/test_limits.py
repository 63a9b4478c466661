"""Limits: a scorer that judges too few samples, or too few canaries right, makes no weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from datagen.errors import ConfigError, RunError
from datagen.pipeline import Silent, open_run, weigh_run
from tests.helpers.runs import SHARDS, build_here, hash_files, small_recipe
from tests.test_canaries import BASE, mark_all

BLIND = {"rewards": ["counting", "tests.helpers.half_blind"]}
"""The second gives no value to the odd candidates."""


def test_a_scorer_that_judges_too_few_makes_no_weights_and_costs_nothing(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        build_here(small_recipe(**BLIND, limits={"tests.helpers.half_blind": {"scored": 0.51}}), tmp_path / "a")
    assert "half_blind judged 10 of 20 (mostly: it is odd), but must judge 51%" in str(caught.value)
    before = hash_files(tmp_path / "a", *SHARDS)
    assert len(before) == 12, "every shard is kept"
    run = open_run(str(tmp_path / "a"), ["limits={tests.helpers.half_blind: {scored: 0.5}}"])
    assert len(weigh_run(run, Silent()).weights) == 20
    assert hash_files(tmp_path / "a", *SHARDS) == before
    assert open_run(str(tmp_path / "a")).recipe.limits["tests.helpers.half_blind"].scored == 0.5


def test_a_sample_without_a_claim_for_the_scorer_does_not_count(tmp_path: Path) -> None:
    recipe = small_recipe(rewards=["counting", "attribute"], limits={"attribute": {"scored": 1.0}})
    run, result = build_here(recipe, tmp_path)
    scores = [score for shard in range(3) for score in run.folder.read_scores(shard)]
    assert any(score.value is None for score in scores if score.name == "attribute"), "some prompts claim no colour"
    assert len(result.weighed.weights) == 20


def test_accuracy_stands_in_place_of_the_canary_limit(tmp_path: Path) -> None:
    file = mark_all(tmp_path / "a", tmp_path / "marks.jsonl", lie=True)
    lenient = {"counting": {"accuracy": 0.75}, "attribute": {"accuracy": 0.0}}
    build_here(small_recipe(**BASE, canaries=str(file), limits=lenient), tmp_path / "b")
    strict = open_run(str(tmp_path / "b"), ["limits.counting.accuracy=0.8"])
    with pytest.raises(RunError, match=r"counting is right on 3 of 4 .*, but must be on 80%"):
        weigh_run(strict, Silent())
    unasked = open_run(str(tmp_path / "b"), ["limits.plan.accuracy=0.1"])
    with pytest.raises(RunError, match=r"plan judges none of them, but must reach an accuracy of 0\.1"):
        weigh_run(unasked, Silent())


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"limits": {"countin": {"scored": 0.5}}}, "did you mean 'counting'"),
        ({"limits": {"counting": {"accuracy": 0.5}}}, "add `canaries: FILE`"),
        ({"limits": {"counting": {"scored": 1.5}}}, "limits.counting.scored"),
        ({"limits": {"counting": {"auc": 0.5}}}, "auc"),
    ],
)
def test_a_wrong_limit_is_refused(changes: dict[str, object], what: str) -> None:
    with pytest.raises(ConfigError, match=what.replace("(", r"\(")):
        small_recipe(**changes)
