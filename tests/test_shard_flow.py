"""Requests flow through a model from shard to shard; the files are those of a model asked shard by shard."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen.config import Recipe
from datagen.errors import BackendError, Paused, RunError
from datagen.pipeline import (
    Account,
    Budget,
    Job,
    Run,
    Silent,
    create_run,
    find_jobs,
    generate_shards,
    plan_stage,
    run_jobs,
)
from datagen.records import Failure, Request, Sample
from datagen.runners.local import make_runner
from datagen.store import RunFolder
from tests.helpers.instant import Instant
from tests.helpers.runs import SHARDS, build_here, hash_files, run_cli, small_recipe, small_values

PLANS: dict[str, dict[str, Any]] = {
    "plain": {},
    "failures": {"backend": {"fails": 0.3}},
    "adapt": {"candidates": 5, "adapt": {"start": 2, "by": ["counting", "attribute"]}},
}


@dataclass
class Flowing:
    """The instant model behind a window: it holds up to `size` requests and answers them in any order."""

    model: Instant
    size: int = 7
    drops: Callable[[Request], bool] = lambda request: False
    taken: list[Request] = field(default_factory=list)
    most: int = 0
    name: str = "flowing"
    lexicon: str = "pictograms"

    def stream(self, requests: Iterator[Request | None]) -> Iterator[Sample | Failure | None]:
        held: list[Request] = []
        rng, more = random.Random(5), True
        while more or held:
            while more and len(held) < self.size:
                request = next(requests, False)
                if request is None:
                    break
                if more := isinstance(request, Request):
                    self.taken.append(request)
                    held.append(request)
            self.most = max(self.most, len(held))
            if not held:
                return
            yield None
            answered = held.pop(rng.randrange(len(held)))
            if not self.drops(answered):
                yield from self.model.generate([answered])

    def generate(self, requests: list[Request]) -> Iterator[Sample | Failure]:
        raise AssertionError("a backend with a stream is not asked shard by shard")


def begin(folder: Path, recipe: Recipe, **options: Any) -> tuple[Run, Flowing]:
    run = create_run(recipe, str(folder))
    plan_stage(run, Silent())
    model = Flowing(run.backend, **options)  # type: ignore[arg-type]
    run.__dict__["backend"] = model
    return run, model


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_files_are_those_of_a_model_asked_shard_by_shard(plan: str, size: int, tmp_path: Path) -> None:
    recipe = small_recipe(**PLANS[plan])
    build_here(recipe, tmp_path / "whole")
    run, model = begin(tmp_path / "flow", recipe, size=size)
    run_jobs(run, "both", make_runner(0), Silent())
    assert hash_files(tmp_path / "flow", *SHARDS) == hash_files(tmp_path / "whole", *SHARDS)
    assert model.most <= size
    assert len({request.sample_id for request in model.taken}) == len(model.taken), "nothing is asked twice"


def test_a_window_spans_shards(tmp_path: Path) -> None:
    run, model = begin(tmp_path, small_recipe(), size=12)
    jobs = find_jobs(run, "generate", Silent()).jobs
    ended = [job.shard for job in generate_shards(run, jobs) if job is not None]
    assert sorted(ended) == [0, 1, 2]
    assert model.most == 12, "a shard has 8 requests"


def test_later_candidates_enter_the_same_flow(tmp_path: Path) -> None:
    run, model = begin(tmp_path, small_recipe(**PLANS["adapt"]), size=4)
    run_jobs(run, "generate", make_runner(0), Silent())
    kinds = [request.candidate >= 2 for request in model.taken]
    assert any(kinds[: kinds.index(False, kinds.index(True))]), "later candidates come before the last first ones"


def test_a_request_that_is_dropped_is_a_failure_and_the_rest_goes_on(tmp_path: Path) -> None:
    for plan in ("plain", "adapt"):
        run, model = begin(tmp_path / plan, small_recipe(**PLANS[plan]), drops=lambda request: request.seed % 5 == 0)
        run_jobs(run, "generate", make_runner(0), Silent())
        lost = [request.sample_id for request in model.taken if request.seed % 5 == 0]
        folder = run.folder
        failures = [fault for shard in folder.list_shards("failures") for fault in folder.read_failures(shard)]
        assert sorted(f"{fault.prompt_id}-{fault.candidate:02d}" for fault in failures) == sorted(lost)
        assert {fault.error for fault in failures} == {"the backend gave no answer"}


def test_a_stream_that_takes_nothing_is_one_clear_error(tmp_path: Path) -> None:
    run, _ = begin(tmp_path, small_recipe(), size=0)
    with pytest.raises(BackendError, match="stopped answering before all requests were made"):
        run_jobs(run, "generate", make_runner(0), Silent())


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("streams", [True, False])
def test_a_job_that_needs_nothing_is_told_while_others_are_awaited(plan: str, streams: bool, tmp_path: Path) -> None:
    """All of it is in parts, and whoever hands out jobs has no other one now."""
    run, _ = begin(tmp_path, small_recipe(**PLANS[plan]))
    first, *_ = find_jobs(run, "generate", Silent()).jobs
    assert [job for job in generate_shards(run, [first]) if job is not None] == [first]
    if not streams:
        del run.__dict__["backend"]
    told: list[Job] = []

    def hand_out() -> Iterator[Job | None]:
        yield first
        for _ in range(100):
            if told:
                return
            yield None
        raise AssertionError("it was not told")

    for job in generate_shards(run, hand_out()):
        if job is not None:
            told.append(job)
    assert told == [first]


@pytest.mark.parametrize("plan", PLANS)
def test_a_stop_keeps_what_has_come_and_asks_for_nothing_more(plan: str, tmp_path: Path) -> None:
    recipe = small_recipe(**PLANS[plan])
    build_here(recipe, tmp_path / "whole")
    run, model = begin(tmp_path / "run", recipe)
    came: list[bool] = []
    jobs = find_jobs(run, "generate", Silent()).jobs
    for _ in generate_shards(run, jobs, came.append, lambda: len(came) >= 9):
        pass
    asked = {request.sample_id for request in model.taken}
    assert 9 <= len(came) <= len(asked) <= 9 + model.size
    kept = {job.shard: job.kept for job in find_jobs(run, "generate", Silent()).jobs}
    assert sum(kept.values()) == len(came), "all of it is in parts"
    again, model = begin(tmp_path / "run", recipe)
    run_jobs(again, "both", make_runner(0), Silent())
    twice = asked & {request.sample_id for request in model.taken}
    assert len(twice) == len(asked) - len(came), "what was in flight"
    assert hash_files(tmp_path / "run", *SHARDS) == hash_files(tmp_path / "whole", *SHARDS)


def test_a_full_disk_is_one_error_though_what_has_come_cannot_be_written_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = begin(tmp_path, small_recipe())
    full, ignored = threading.Event(), []
    write = RunFolder.write_part

    def finish(run: Run, job: Job) -> None:
        full.set()
        raise RunError("the shard cannot be written")

    def write_part(*given: Any) -> None:
        if full.is_set():
            raise RunError("what has come cannot be written")
        write(*given)

    monkeypatch.setattr("datagen.runners.local.finish_shard", finish)
    monkeypatch.setattr(RunFolder, "write_part", write_part)
    monkeypatch.setattr("sys.unraisablehook", ignored.append)
    with pytest.raises(RunError, match="what has come cannot be written"):
        run_jobs(run, "both", make_runner(0), Silent())
    assert not ignored, "Python prints a traceback of each"


# ── Budgets ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("plan", PLANS)
def test_a_spent_budget_pauses_and_the_same_call_goes_on(plan: str, streams: bool, tmp_path: Path) -> None:
    recipe = small_recipe(**PLANS[plan])
    build_here(recipe, tmp_path / "whole")
    turns = 0
    while True:
        run, model = begin(tmp_path / "run", recipe)
        if not streams:
            run.__dict__["backend"] = model.model
        before = count_kept(run)
        try:
            run_jobs(run, "both", make_runner(0), Silent(), Account(run, Budget(samples=7)))
            break
        except Paused:
            pass
        assert count_kept(run) == before + 7, "all that was asked for is awaited and kept"
        turns += 1
    assert turns >= 2
    assert hash_files(tmp_path / "run", *SHARDS) == hash_files(tmp_path / "whole", *SHARDS)


def count_kept(run: Run) -> int:
    """How many answers, made or failed, are on disk, in parts or in files."""
    left = find_jobs(run, "generate", Silent())
    done = {job.shard for job in left.jobs}
    kept = sum(job.kept for job in left.jobs)
    for shard in set(run.folder.list_shards("samples")) - done:
        kept += run.folder.count_samples(shard)
        kept += sum(fault.stage != "score" for fault in run.folder.read_failures(shard))
    return kept


def test_a_budget_of_hours_ends_too(tmp_path: Path) -> None:
    run, model = begin(tmp_path, small_recipe())
    with pytest.raises(Paused, match="--max-hours 0: 0 of 20 samples"):
        run_jobs(run, "both", make_runner(0), Silent(), Account(run, Budget(hours=0)))
    assert not model.taken


def test_the_command_line_pauses_with_success(tmp_path: Path) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump(small_values()), encoding="utf-8")
    words = ("build", recipe, "--run", tmp_path / "run", "--max-samples", "15")
    first = run_cli(*words)
    assert first.returncode == 0, first.stderr
    assert "paused at --max-samples 15: 15 of 20 samples are generated" in first.stdout
    assert f"-m datagen build {recipe}" in first.stdout
    assert not (tmp_path / "run" / "dataset").exists()
    second = run_cli(*words)
    assert second.returncode == 0, second.stderr
    assert (tmp_path / "run" / "report.html").exists()
