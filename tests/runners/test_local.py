"""The local runner: workers change when things happen, never what is written; faults in a worker are clear errors."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from datagen.errors import Paused, RunError, TooManyFailures
from datagen.pipeline import Account, Budget, Progress, Silent, build_run, create_run, find_jobs, plan_stage, run_jobs
from datagen.runners.local import count_cores, default_workers, list_devices, make_runner
from tests.helpers.runs import SHARDS, build_here, hash_files, small_recipe

KILLER = """
import os
TARGET = "image"
JUDGES = frozenset()
def score(prompt, sample, tools):
    os._exit(9)
"""


THREADS = """
import os
from datagen.records import Verdict
TARGET = "image"
JUDGES = frozenset()
def score(prompt, sample, tools):
    return Verdict(1.0, os.environ["OMP_NUM_THREADS"])
"""
DYING = """
import os
from dataclasses import dataclass
@dataclass
class Dying:
    name = "dying"
    lexicon = "pictograms"
    def generate(self, requests):
        os._exit(9)
def build(options):
    return Dying()
"""


class Recorder(Silent):
    def __init__(self) -> None:
        self.seen: list[Progress] = []

    def show(self, progress: Progress) -> None:
        self.seen.append(progress)


def test_model_processes_share_a_budget(tmp_path: Path) -> None:
    recipe = small_recipe(prompts=30)
    build_here(recipe, tmp_path / "whole")
    run = create_run(recipe, str(tmp_path / "run"))
    plan_stage(run, Silent())
    with pytest.raises(Paused, match="paused at --max-samples 25: 25 of 60 samples"):
        run_jobs(run, "both", make_runner(1, 2), Silent(), Account(run, Budget(25)))
    run_jobs(run, "both", make_runner(1, 2), Silent(), Account(run, Budget(100)))
    assert hash_files(tmp_path / "run", *SHARDS) == hash_files(tmp_path / "whole", *SHARDS)


@pytest.mark.parametrize(("workers", "models"), [(1, 1), (3, 1), (1, 2)])
def test_workers_write_what_one_process_writes(tmp_path: Path, workers: int, models: int) -> None:
    recipe = small_recipe(backend={"fails": 0.2})
    build_here(recipe, tmp_path / "plain")
    recorder = Recorder()
    build_run(create_run(recipe, str(tmp_path / "workers")), make_runner(workers, models), recorder)
    parts = (*SHARDS, "dataset")
    assert hash_files(tmp_path / "plain", *parts) == hash_files(tmp_path / "workers", *parts)
    last = {progress.stage: progress for progress in recorder.seen}
    assert [last[stage].done for stage in ("generate", "score", "export", "report")] == [
        20,
        20,
        *[last["weigh"].done] * 2,
    ]
    assert last["generate"].failed > 0
    assert last["score"].reward is not None
    assert 0 < last["score"].reward <= 1


def test_a_worker_that_dies_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deadly").mkdir()
    (tmp_path / "deadly/scorer.py").write_text(KILLER, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    run = create_run(small_recipe(rewards=["deadly.scorer"]), str(tmp_path / "run"))
    plan_stage(run, Silent())
    with pytest.raises(RunError, match="a scoring process ended with exit code 9"):
        run_jobs(run, "both", make_runner(1), Silent())
    assert run.folder.list_shards("samples")


def test_a_model_process_that_dies_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dying").mkdir()
    (tmp_path / "dying/model.py").write_text(DYING, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe = small_recipe(backend={"name": "dying.model"})
    run = create_run(recipe, str(tmp_path / "run"))
    plan_stage(run, Silent())
    with pytest.raises(RunError, match="a model process ended with exit code 9"):
        run_jobs(run, "both", make_runner(1, 2), Silent())


@pytest.mark.parametrize("given", ["", "7"])
def test_workers_share_the_cores_unless_threads_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    (tmp_path / "asks").mkdir()
    (tmp_path / "asks/threads.py").write_text(THREADS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    run = create_run(small_recipe(rewards=["asks.threads"]), str(tmp_path / "run"))
    plan_stage(run, Silent())
    run_jobs(run, "both", make_runner(2), Silent())
    reasons = {score.reason for shard in run.folder.list_shards("scores") for score in run.folder.read_scores(shard)}
    assert reasons == {given or str(max(1, count_cores() // 2))}


def test_each_model_sees_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 7")
    assert list_devices() == ["4", "7"]
    assert list_devices(3) == ["4", "7", "4"]
    assert list_devices(1) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    assert list_devices() == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert list_devices(2) == ["", ""]


def test_torch_is_loaded_to_count_gpus_only_where_there_may_be_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gpu0").touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")  # elsewhere torch counts them
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(device_count=lambda: 2)))
    monkeypatch.setattr("datagen.runners.local.GPU_FILES", (str(tmp_path / "gpu[0-9]"),))
    assert list_devices() == ["0", "1"]
    monkeypatch.setattr("datagen.runners.local.GPU_FILES", (str(tmp_path / "other[0-9]"),))
    assert list_devices() == []


def test_errors_cross_the_process_border_whole(tmp_path: Path) -> None:
    run, _ = build_here(small_recipe(), tmp_path / "run")
    path = tmp_path / "run/samples/00001.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\0" * 64 + content[68:])  # its end is whole: only reading it all tells
    run.folder.remove_shard("scores", 1)
    with pytest.raises(RunError, match="damaged") as caught:
        run_jobs(run, "score", make_runner(1), Silent())
    assert caught.value.where == str(path)
    assert "delete that file" in caught.value.hint


def test_failures_over_the_limit_stop_and_what_was_drawn_is_written(tmp_path: Path) -> None:
    recipe = small_recipe(prompts=60, candidates=5, backend={"fails": 0.7}, failure_limit=0.1)
    run = create_run(recipe, str(tmp_path / "run"))
    plan_stage(run, Silent())
    with pytest.raises(TooManyFailures, match="Most often: "):
        run_jobs(run, "both", make_runner(1), Silent())
    assert run.folder.list_shards("samples") == run.folder.list_shards("scores")
    assert 0 < len({*run.folder.list_shards("samples"), *run.folder.list_open()}) < 15
    assert find_jobs(run, "both", Silent()).jobs


def test_default_workers_leave_a_core_for_the_model() -> None:
    assert 1 <= default_workers() <= 8
