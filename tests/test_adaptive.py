"""Adaptive candidates: the first ones for every prompt, the rest only where scorers do not say the same of all."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from datagen.config import Recipe
from datagen.diagnose import dump_diagnosis
from datagen.errors import DatagenError, RunError
from datagen.pipeline import (
    Progress,
    Run,
    Silent,
    create_run,
    diagnose_run,
    estimate_run,
    find_jobs,
    find_sample,
    make_again,
    open_run,
    plan_stage,
    read_status,
    rescore_run,
    run_jobs,
    run_shard,
)
from datagen.records import Sample, Score
from datagen.runners.local import make_runner
from tests.helpers.runs import SHARDS, build_here, hash_files, run_cli, small_recipe

START, MOST, PROMPTS = 2, 6, 20
ADAPT = {"start": START, "by": ["counting", "attribute"]}


def recipe_of(**changes: Any) -> Recipe:
    return small_recipe(**{"prompts": PROMPTS, "candidates": MOST, "adapt": ADAPT, **changes})


class Counter(Silent):
    """Remembers the last progress of each stage; more than all is never done."""

    def __init__(self) -> None:
        self.last: dict[str, Progress] = {}

    def show(self, progress: Progress) -> None:
        self.last[progress.stage] = progress
        assert progress.done <= progress.total


def read_groups(run: Run) -> dict[str, list[Sample]]:
    groups: dict[str, list[Sample]] = defaultdict(list)
    for shard in run.folder.list_shards("samples"):
        for sample in run.folder.read_samples(shard):
            groups[sample.prompt_id].append(sample)
    return groups


def read_scores(run: Run) -> list[Score]:
    return [score for shard in run.folder.list_shards("scores") for score in run.folder.read_scores(shard)]


def slow_undecided(run: Run) -> set[str]:
    """The prompts with two first candidates of which a deciding scorer says different things, from a whole run."""
    found = set()
    scores = [s for s in read_scores(run) if int(s.sample_id[-2:]) < START and s.value is not None]
    for one, other in itertools.combinations(scores, 2):
        same = one.name == other.name and one.sample_id[:-3] == other.sample_id[:-3]
        if same and one.name in ADAPT["by"] and one.value != other.value:
            found.add(one.sample_id[:-3])
    return found


def test_the_rest_is_drawn_where_the_first_are_judged_unlike(tmp_path: Path) -> None:
    whole, _ = build_here(recipe_of(adapt=None), tmp_path / "whole")
    run, result = build_here(recipe_of(), tmp_path / "adapted")
    undecided, groups, all_groups = slow_undecided(whole), read_groups(run), read_groups(whole)
    assert 3 < len(undecided) < PROMPTS - 3
    for prompt_id, samples in all_groups.items():
        wanted = samples if prompt_id in undecided else samples[:START]
        assert groups[prompt_id] == wanted, "a sample does not depend on how many there are"
    assert len(result.weighed.rows) == sum(map(len, groups.values()))
    assert sum(result.dataset.rows.values()) == len(result.weighed.rows)


@pytest.mark.parametrize("fails", [0.0, 0.3])
def test_totals_are_true_at_every_step(tmp_path: Path, fails: float) -> None:
    build_here(recipe_of(backend={"fails": fails}), tmp_path / "whole")
    recipe, counter = recipe_of(backend={"fails": fails}), Counter()
    run = create_run(recipe, str(tmp_path / "parts"))
    plan_stage(run, counter)
    assert (read_status(run).planned_samples, read_status(run).is_bound) == (PROMPTS * MOST, True)
    jobs = find_jobs(run, "both", counter).jobs
    for job in jobs[1:3]:
        run_shard(run, job)
    status = read_status(run)
    asked = sum(len(run.folder.read_samples(n)) + len(run.folder.read_failures(n)) for n in (1, 2))
    assert (status.planned_samples, status.is_bound) == (asked + 3 * 4 * MOST, True)
    assert find_jobs(run, "both", counter).before.samples == status.planned_samples
    run_jobs(run, "both", make_runner(0), counter)
    status = read_status(run)
    assert status.planned_samples == status.samples + status.failed < PROMPTS * MOST
    assert not status.is_bound
    assert (status.failed > 0) == (fails > 0)
    for stage in ("generate", "score"):
        assert counter.last[stage].done == counter.last[stage].total == status.planned_samples
    assert hash_files(tmp_path / "whole", *SHARDS) == hash_files(tmp_path / "parts", *SHARDS)
    work = find_jobs(run, "both", counter)
    assert (work.jobs, work.before.tried, work.before.undrawn) == ([], status.planned_samples, status.failed)


def test_workers_and_models_write_the_same(tmp_path: Path) -> None:
    build_here(recipe_of(), tmp_path / "here")
    run, counter = create_run(recipe_of(), str(tmp_path / "there")), Counter()
    plan_stage(run, counter)
    run_jobs(run, "both", make_runner(1, 2), counter)
    assert hash_files(tmp_path / "here", *SHARDS) == hash_files(tmp_path / "there", *SHARDS)
    assert counter.last["score"].done == counter.last["score"].total == read_status(run).samples


def test_a_diagnosis_and_the_report_rest_on_the_first_candidates(tmp_path: Path) -> None:
    first, _ = build_here(recipe_of(adapt=None, candidates=START), tmp_path / "first")
    run, _ = build_here(recipe_of(), tmp_path / "adapted")
    wanted, found = diagnose_run(first), diagnose_run(run)
    assert found.rows == wanted.rows
    assert found.made.candidates == START
    assert "pass_n" in dump_diagnosis(found)
    assert read_figures(run) == read_figures(first)
    page = (tmp_path / "adapted" / "report.html").read_text(encoding="utf-8")
    assert "rest on the first 2 candidates of each prompt" in " ".join(page.split())
    assert "<bdi>2 to 6</bdi>" in page
    assert "rest on the first" not in (tmp_path / "first" / "report.html").read_text(encoding="utf-8")


def read_figures(run: Run) -> list[str]:
    """The cells of the table by weakness and skill."""
    page = (run.folder.local_path / "report.html").read_text(encoding="utf-8")
    table = page[page.index('<table class="figures">') :]
    return re.findall(r'<td class="num" data-name="(?!unscored)[^>]*>[^<]*', table[: table.index("</table>")])


def test_what_decides_does_not_follow_what_weighs(tmp_path: Path) -> None:
    run, _ = build_here(recipe_of(), tmp_path)
    before = hash_files(tmp_path, "samples", "failures")
    rescored = rescore_run(str(tmp_path), ["rewards=[plan]"], False, make_runner(0), Silent())
    (tmp_path / "samples" / "00001.parquet").unlink()
    build_here(rescored.recipe, tmp_path)
    assert hash_files(tmp_path, "samples", "failures") == before
    assert open_run(str(tmp_path)).recipe.adapt == run.recipe.adapt


def test_scoring_anew_waits_until_all_is_drawn(tmp_path: Path) -> None:
    run, _ = build_here(recipe_of(), tmp_path)
    run.folder.remove_shard("samples", 1)
    with pytest.raises(RunError, match="missing samples depend on the current scorers"):
        rescore_run(str(tmp_path), ["rewards=[plan]"], False, make_runner(0), Silent())
    assert run.folder.list_shards("scores") == [0, 1, 2, 3, 4], "nothing was thrown away"
    rescore_run(str(tmp_path), [], False, make_runner(0), Silent())


def test_one_sample_of_a_decided_prompt(tmp_path: Path) -> None:
    run, _ = build_here(recipe_of(), tmp_path)
    groups = read_groups(run)
    decided = next(key for key, samples in groups.items() if len(samples) == START)
    with pytest.raises(RunError, match="the first 2 candidates were judged alike"):
        find_sample(run, f"{decided}-05")
    longest = max(groups.values(), key=len)
    assert make_again(run, find_sample(run, longest[-1].id)) == []


def test_a_plan_says_the_range(tmp_path: Path) -> None:
    estimate = estimate_run(recipe_of(), probe=False, workers=1)
    assert (estimate.least_samples, estimate.samples) == (PROMPTS * START, PROMPTS * MOST)
    done = run_cli("plan", "quickstart", "--no-probe", "--set", "adapt={start: 2, by: [counting]}")
    assert re.search(r"samples +400 to 800\n", done.stdout), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("adapt", "what"),
    [
        ({"start": 6, "by": ["counting"]}, "it must be below candidates, 6"),
        ({"start": 1, "by": ["counting"]}, "adapt.start"),
        ({"start": 2}, "the key 'by' is missing"),
        ({"start": 2, "by": ["countin"]}, "did you mean 'counting'"),
        ({"start": 2, "by": ["vqa"]}, "'vqa' asks a model or compares samples"),
        ({"start": 2, "by": ["clipscore"]}, "'clipscore' asks a model"),
        ({"start": 2, "by": ["diversity"]}, "'diversity' asks a model or compares samples"),
    ],
)
def test_what_cannot_decide_is_refused(tmp_path: Path, adapt: dict[str, Any], what: str) -> None:
    with pytest.raises(DatagenError) as caught:
        create_run(recipe_of(adapt=adapt), str(tmp_path))
    assert what in str(caught.value)
