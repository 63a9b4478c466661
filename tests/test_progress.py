"""Progress: nothing that takes longer is silent, and what is left is told without the loading of the model."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import yaml

from datagen import console
from datagen.audit import audit_scenes, audit_sizes
from datagen.console import Board, PlainConsole, Tempo, describe_progress
from datagen.pipeline import (
    Progress,
    Silent,
    estimate_run,
    examine_recipe,
    export_run,
    follow,
    weigh_run,
)
from tests.helpers.runs import build_here, run_cli, small_recipe, small_values


class Seen(Silent):
    """Remembers the progress of each stage."""

    def __init__(self) -> None:
        self.stages: dict[str, list[tuple[int, int]]] = {}

    def show(self, progress: Progress) -> None:
        self.stages.setdefault(progress.stage, []).append((progress.done, progress.total))

    def is_whole(self, stage: str) -> bool:
        """Whether a stage began with nothing, rose, and ended with all."""
        done = [done for done, _ in self.stages[stage]]
        ends = {total for _, total in self.stages[stage]}
        return done[0] == 0 and done == sorted(done) and ends == {done[-1]} and len(done) > 2


def test_what_is_followed_is_shown_from_nothing_to_all() -> None:
    seen = Seen()
    assert list(follow("abc", "letters", seen, 3)) == ["a", "b", "c"]
    assert seen.stages == {"letters": [(0, 3), (1, 3), (2, 3), (3, 3)]}


def test_doctor_plan_and_audit_show_how_far_they_are() -> None:
    recipe, seen = small_recipe(), Seen()
    list(examine_recipe(recipe, seen))
    assert seen.is_whole("examine")
    estimate_run(recipe, probe=True, workers=1, watch=seen)
    assert {"generate", "score"} <= seen.stages.keys()
    audit_scenes(recipe, seen, per_skill=1, seed=1)
    audit_sizes(recipe, seen, per_skill=1, seed=1, sides=(96,))
    assert all(seen.is_whole(stage) for stage in ("scenes", "judges", "sizes"))


def test_a_view_shows_how_far_it_is_over_both_splits(tmp_path: Path) -> None:
    recipe = small_recipe(validation_share=0.3, exports={"mine": {"view": "pieces", "format": "jsonl"}})
    run, _ = build_here(recipe, tmp_path / "run")
    seen = Seen()
    export_run(run, weigh_run(run, Silent()), seen, anew=True)
    assert seen.is_whole("view")
    assert seen.stages["view"][-1] == (20, 20)


def feed(batches: list[tuple[float, int]]) -> list[float]:
    """Return the rates after each sample of batches that come at such a second with so many samples."""
    tempo, made, rates = Tempo(), 0, []
    for second, size in batches:
        for k in range(size):
            made += 1
            tempo.count(made, second + k / 1000)
            rates.append(tempo.rate)
    return rates


def test_the_loading_of_a_model_is_not_in_the_estimate() -> None:
    rates = feed([(60.0, 32), (64.0, 32), (68.0, 32), (72.0, 32)])
    assert set(rates[:64]) == {0.0}, "one batch says nothing"
    assert rates[64:] == pytest.approx([8.0] * 64, rel=0.02)


def test_single_answers_and_a_steady_stream_have_a_rate() -> None:
    assert feed([(60.0 + 5 * k, 1) for k in range(6)])[2:] == pytest.approx([0.2] * 4)
    assert feed([(60.0 + k / 100, 1) for k in range(500)])[-1] == pytest.approx(100, rel=0.05)


def test_a_line_without_a_rate_promises_nothing() -> None:
    assert describe_progress(Progress("generate", 32, 96), 60.0, 0.0).split() == [
        "generate",
        "32/96",
        "33%",
        "0.0%",
        "failed",
    ]
    assert "0:08 left" in describe_progress(Progress("generate", 32, 96), 60.0, 8.0)
    assert "1.5 samples/s  in 1:04" in describe_progress(Progress("generate", 96, 96), 64.0, 8.0)


def test_what_was_left_out_is_one_line_unless_all_is_asked_for(tmp_path: Path) -> None:
    values = small_values(taxonomy=["counting", "attributes", "depth", "knowledge"])
    recipe = tmp_path / "some.yaml"
    recipe.write_text(yaml.safe_dump(values), encoding="utf-8")
    told = run_cli("prompts", recipe, "--run", tmp_path / "a").stderr
    lines = [line for line in told.splitlines() if "left out" in line]
    assert len(lines) == 1
    assert re.fullmatch(r"\d+ skills left out; --verbose says which and why", lines[0])
    whole = run_cli("prompts", recipe, "--run", tmp_path / "b", "--verbose").stderr
    assert len([line for line in whole.splitlines() if line.startswith("left out, since ")]) > 1
    assert "attributes/one_material" in whole


@pytest.mark.parametrize("second", [6_311, 6_208])
def test_a_stage_that_is_told_only_at_its_end_counts_no_earlier_round(
    monkeypatch: pytest.MonkeyPatch, second: int
) -> None:
    """Weights of two rounds, ten minutes apart: the second line does not have these ten minutes.

    Two arms of an experiment weigh equally many.
    """
    clock = iter([0.0, 600.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    seen = io.StringIO()
    board = Board(PlainConsole(file=seen, width=160))
    for done in (6_208, second):
        board.show(Progress("weigh", done, done))
    told = [["weigh", f"{done:,}/{done:,}", "100%"] for done in dict.fromkeys((6_208, second))]
    assert [line.split() for line in seen.getvalue().splitlines()] == told
