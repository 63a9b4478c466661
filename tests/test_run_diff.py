"""`datagen diff`: what two runs were asked for differently, and what came out differently on the prompts of both."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from statistics import fmean

import pytest
from typer.testing import CliRunner

from datagen.cli import app
from datagen.diff import ALL, RunDiff, diff_runs
from datagen.errors import RunError
from datagen.loop import compare
from datagen.pipeline import open_run
from datagen.store import RunFolder
from tests.helpers.runs import build_here, hash_files, small_recipe


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with many wrong pictures, one with none, and one of other prompts."""
    folder = tmp_path_factory.mktemp("diff")
    build_here(small_recipe(backend={"wrong": 0.9}), folder / "wrong")
    build_here(small_recipe(backend={"wrong": 0.0}, weights={"policy": "best"}), folder / "right")
    build_here(small_recipe(seed=77, taxonomy=["spatial"], rewards=["spatial", "plan"]), folder / "other")
    return folder


def diff(runs: Path, first: str, second: str) -> RunDiff:
    return diff_runs(open_run(str(runs / first)), open_run(str(runs / second)))


def test_what_was_asked_for_differently_is_named(runs: Path) -> None:
    changes = {each.key: (each.first, each.second) for each in diff(runs, "wrong", "right").changes}
    assert changes["backend.wrong"] == (0.9, 0.0)
    assert changes["weights.policy"] == (None, "best")
    assert set(changes) == {"backend.wrong", "weights.policy"}


def test_pass_rates_are_paired_by_prompt_and_by_weakness(runs: Path) -> None:
    found = diff(runs, "wrong", "right")
    assert found.prompts == (10, 10, 10)
    passes = {each.name: each for each in found.passes}
    assert set(passes) == {ALL, "counting", "attributes"}
    assert passes[ALL].second == 1.0
    assert passes[ALL].first < 0.7
    for each in passes.values():
        assert each.difference == pytest.approx(each.second - each.first)
        assert each.low <= each.difference <= each.high
    assert passes[ALL].low > 0
    assert passes["counting"].prompts + passes["attributes"].prompts == passes[ALL].prompts == 10


def test_the_interval_is_the_paired_bootstrap_of_the_loop(runs: Path) -> None:
    means = []
    for name in ("wrong", "right"):
        values: dict[str, list[float]] = {}
        folder = RunFolder(str(runs / name))
        for shard in folder.list_shards("scores"):
            for score in folder.read_scores(shard):
                if score.name == "counting" and score.value is not None:
                    values.setdefault(score.sample_id[:-3], []).append(score.value)
        means.append({prompt: fmean(each) for prompt, each in values.items()})
    expected = compare(*means)
    (found,) = [each for each in diff(runs, "wrong", "right").means if each.name == "counting"]
    assert expected is not None
    assert (found.difference, found.low, found.high, found.prompts) == (
        expected.value, expected.low, expected.high, expected.prompts,
    )  # fmt: skip


def test_rewards_weights_and_scorers_have_a_row_each(runs: Path) -> None:
    names = [each.name for each in diff(runs, "wrong", "right").means]
    assert names[:4] == ["text reward", "image reward", "text weight", "image weight"]
    assert set(names[4:]) == {"counting", "attribute", "plan"}


def test_a_run_and_itself_differ_in_nothing(runs: Path) -> None:
    found = diff(runs, "wrong", "wrong")
    assert not found.changes
    assert all((each.difference, each.low, each.high) == (0, 0, 0) for each in (*found.passes, *found.means))


def test_runs_without_a_prompt_in_common_are_compared_by_their_recipes_alone(runs: Path) -> None:
    found = diff(runs, "wrong", "other")
    assert found.prompts == (10, 10, 0)
    assert not found.passes
    assert not found.means
    assert "taxonomy" in {each.key for each in found.changes}
    shown = call("diff", runs / "wrong", runs / "other")
    assert "prompts: 10 and 10, 0 in common" in shown
    assert "pass@1" not in shown


def call(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_prints_tables_and_writes_nothing(runs: Path) -> None:
    before = {name: hash_files(runs / name, ".") for name in ("wrong", "right")}
    shown = call("diff", runs / "wrong", runs / "right")
    assert "backend.wrong" in shown
    assert "10 in common" in shown
    assert [line.split()[0] for line in shown.splitlines() if line.startswith(("pass@1", "mean"))] == ["pass@1", "mean"]
    assert {name: hash_files(runs / name, ".") for name in before} == before
    assert json.loads(call("diff", runs / "wrong", runs / "right", "--json")) == diff(runs, "wrong", "right").to_dict()


def test_a_run_without_scores_says_what_to_do(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "right", tmp_path / "half")
    shutil.rmtree(tmp_path / "half/scores")
    with pytest.raises(RunError, match="have no scores"):
        diff(runs, "wrong", str(tmp_path / "half"))
