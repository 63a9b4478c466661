"""A scorer that does not answer is told, interrupted and recorded; what plugins print goes to the log."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen.errors import RunError, TooManyFailures
from datagen.pipeline import Run, create_run, find_jobs, plan_stage, run_jobs
from datagen.records import Failure
from datagen.runners.local import make_runner
from tests.helpers.runs import Listener, command, environment, hash_files, small_recipe, small_values

HEAD = 'import os, subprocess, sys, threading, time\nTARGET = "image"\nJUDGES = frozenset()\n'
HANGS = {
    "sleep": "time.sleep(3600)",
    "loop": "\n    while True:\n        pass",
    "lock": "threading.Event().wait()",
    "process": "subprocess.run(['sleep', '3600'])",
    "stubborn": "\n    while True:\n     try: time.sleep(3600)\n     except Exception: pass",
}
GOOD = "from datagen.records import Verdict; return Verdict(1.0, 'good')"
STUCK = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]); time.sleep(3600)"
"""Deaf to interruption, as a library is that never comes back."""
Write = Callable[[str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the body of the scorer `mine.scorer`."""

    def write_module(body: str) -> None:
        (tmp_path / "mine").mkdir(exist_ok=True)
        code = f"import signal\n{HEAD}def score(prompt, sample, tools):\n    {body}\n"
        (tmp_path / "mine/scorer.py").write_text(code, encoding="utf-8")

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("mine", "mine.scorer"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return write_module


def score(folder: Path, workers: int, watch: Listener | None = None, **changes: Any) -> Run:
    values = {"rewards": ["mine.scorer"], "prompts": 2, "scorer_timeout_seconds": 0.5, **changes}
    run = create_run(small_recipe(**values), str(folder))
    plan_stage(run, watch or Listener())
    run_jobs(run, "both", make_runner(workers), watch or Listener())
    return run


def list_failures(run: Run) -> list[Failure]:
    return [each for shard in run.folder.list_shards("failures") for each in run.folder.read_failures(shard)]


@pytest.mark.parametrize("body", HANGS.values(), ids=HANGS)
def test_a_call_that_hangs_is_interrupted_and_recorded(body: str, write: Write, tmp_path: Path) -> None:
    write(body)
    run = score(tmp_path / "run", workers=0)
    failures = list_failures(run)
    assert [each.error for each in failures] == [
        *["mine.scorer: no answer within 0.5 s"] * 3,
        "mine.scorer: not asked: it gave no answer 3 times in a row",
    ]
    assert all(each.unreached for each in failures)


def test_a_scorer_that_hung_is_asked_again_by_the_next_run(write: Write, tmp_path: Path) -> None:
    write(f"time.sleep(3600) if not os.path.exists({str(tmp_path / 'mended')!r}) else None; {GOOD}")
    score(tmp_path / "run", workers=1)
    (tmp_path / "mended").touch()
    run = score(tmp_path / "run", workers=1)
    assert list_failures(run) == []
    assert {each.value for each in run.folder.read_scores(0)} == {1.0}
    assert find_jobs(run, "both", Listener()).jobs == []


def test_calls_without_an_answer_count_towards_the_failure_limit(write: Write, tmp_path: Path) -> None:
    write(HANGS["sleep"])
    with pytest.raises(TooManyFailures, match=r"it gave no answer 3 times in a row \(13 times\); .*0\.5 s \(3 times\)"):
        score(tmp_path / "run", workers=1, prompts=8, shard_prompts=8, failure_limit=0.5)


def test_a_call_is_not_interrupted_in_the_middle_of_an_import(write: Write, tmp_path: Path) -> None:
    write("import mine.slow; return mine.slow.answer()")
    code = f"import time\ntime.sleep(1.5)\ndef answer():\n    {GOOD}\n"
    (tmp_path / "mine/slow.py").write_text(code, encoding="utf-8")
    run = score(tmp_path / "run", workers=0)
    assert [each.value for each in run.folder.read_scores(0)][1:] == [1.0] * 3


@pytest.mark.parametrize("workers", [0, 1])
def test_who_waits_for_a_scorer_is_told(
    workers: int, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from datagen.pipeline import waiting\nwaiting.TOLD_SECONDS = 0.1\n", encoding="utf-8"
    )
    monkeypatch.setattr("datagen.pipeline.waiting.TOLD_SECONDS", 0.1)
    monkeypatch.setattr("datagen.notices._told", set())
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{environment()['PYTHONPATH']}")
    write(f"time.sleep(1); {GOOD}")
    with caplog.at_level(logging.WARNING, "datagen"):
        score(tmp_path / "run", workers, scorer_timeout_seconds=60)
    said = "the scorer 'mine.scorer' has not answered for 0.1 s; it is given up after 60 s"
    assert [record.getMessage() for record in caplog.records] == [said]


def test_a_worker_that_cannot_be_interrupted_ends_the_run_by_the_scorers_name(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from datagen.pipeline import waiting\nwaiting.GRACE_SECONDS = 0.5\n", encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{environment()['PYTHONPATH']}")
    write(STUCK)
    with pytest.raises(RunError, match=r"scorer 'mine\.scorer' has not answered for \d s and cannot be interrupted"):
        score(tmp_path / "run", workers=1)


def test_without_workers_a_scorer_that_cannot_be_interrupted_is_told_on_the_console(
    write: Write, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from datagen.pipeline import waiting\nwaiting.GRACE_SECONDS = 0.2\n", encoding="utf-8"
    )
    write(
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])\n"
        f"    while not os.path.exists({str(tmp_path / 'told')!r}): time.sleep(0.02)\n"
        f"    {GOOD}"
    )
    recipe = tmp_path / "recipe.yaml"
    values = small_values(rewards=["mine.scorer"], prompts=2, scorer_timeout_seconds=0.2)
    recipe.write_text(yaml.safe_dump(values), encoding="utf-8")
    process = subprocess.Popen(
        command("build", recipe, "--run", "run", "--workers", "0"),
        env={**environment(), "PYTHONPATH": f"{tmp_path}:{environment()['PYTHONPATH']}"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert process.stderr is not None
    told = next(line for line in process.stderr if "cannot be interrupted" in line)
    assert "'mine.scorer'" in told
    assert f"`kill -9 {process.pid}` ends this" in told
    (tmp_path / "told").touch()
    assert "Traceback" not in process.communicate(timeout=300)[1]
    assert process.returncode == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_scorer_prints_goes_to_the_log(workers: int, write: Write, tmp_path: Path) -> None:
    write(f"print('hello from the scorer'); {GOOD}")
    recipe = tmp_path / "recipe.yaml"
    values = small_values(rewards=["counting", "mine.scorer"], prompts=2)
    recipe.write_text(yaml.safe_dump(values), encoding="utf-8")
    words = command("build", recipe, "--run", "run", "--workers", str(workers))
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "hello" not in done.stdout + done.stderr
    assert (tmp_path / "run/log.txt").read_text(encoding="utf-8").count("hello from the scorer\n") == 4
    assert hash_files(tmp_path / "run", "dataset")


def test_what_a_workers_libraries_and_child_processes_print_goes_to_the_log(write: Write, tmp_path: Path) -> None:
    write(f"subprocess.run(['sh', '-c', 'echo from a child; echo an error >&2']); os.write(2, b'raw\\n'); {GOOD}")
    score(tmp_path / "run", workers=1, scorer_timeout_seconds=60)
    log = (tmp_path / "run/log.txt").read_text(encoding="utf-8")
    assert [log.count(words) for words in ("from a child\n", "an error\n", "raw\n")] == [4, 4, 4]
