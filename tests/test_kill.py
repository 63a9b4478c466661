"""Killed at random moments and started again, a run ends byte for byte like one that was never stopped."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.runs import SHARDS, command, environment, hash_files, run_cli, small_values

KILLS = 5
SHARD_COUNT = 8
ENOUGH = 20  # of the 32 shard files of the run: no more kills, so that the last one falls before the end


def write_recipe(folder: Path, **changes: Any) -> Path:
    """A recipe of 8 shards that takes long enough to be killed in the middle."""
    path = folder / "mortal.yaml"
    values = small_values(prompts=32, **{"candidates": 3, "backend": {"delay": 0.01, "fails": 0.1}, **changes})
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def list_finished(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every shard file with its inode and time: what must never be written again."""
    files = [path for stage in SHARDS for path in (folder / stage).glob("[0-9]*.*[!s]")]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def start_and_kill(recipe: Path, folder: Path, rng: random.Random) -> int:
    """Start a build, kill it once a random number of files more are there, and return its exit code."""
    goal = len(list_finished(folder)) + rng.randint(1, 6)
    process = subprocess.Popen(
        command("build", recipe, "--run", folder, "--workers", "2"),
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while process.poll() is None and len(list_finished(folder)) < goal and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(rng.random() * 0.05)
    process.send_signal(signal.SIGKILL)
    return process.wait()


@pytest.mark.parametrize("changes", [{}, {"candidates": 5, "adapt": {"start": 2, "by": ["counting", "attribute"]}}])
def test_killed_at_random_moments_a_run_ends_the_same(tmp_path: Path, changes: dict[str, Any]) -> None:
    recipe, rng = write_recipe(tmp_path, **changes), random.Random(7)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    assert run_cli("build", recipe, "--run", whole, "--workers", "0").returncode == 0
    finished: dict[Path, tuple[int, int]] = {}
    kills = 0
    while len(finished) < ENOUGH and (kills < KILLS or not any(path.parent.name == "scores" for path in finished)):
        kills += start_and_kill(recipe, torn, rng) == -signal.SIGKILL
        now = list_finished(torn)
        scored = {path.name[:5] for path in finished if path.parent.name == "scores"}
        kept = {p: s for p, s in finished.items() if p.parent.name in ("prompts", "samples") or p.name[:5] in scored}
        assert {path: now.get(path) for path in kept} == kept, "a finished shard was lost or made again"
        finished = now
    assert kills >= 3
    assert 0 < len(list((torn / "scores").iterdir())) < SHARD_COUNT, "the kills did not fall in the middle of the run"
    last = run_cli("build", recipe, "--run", torn)
    assert last.returncode == 0, last.stderr
    parts = (*SHARDS, "dataset")
    assert hash_files(whole, *parts) == hash_files(torn, *parts)
    assert not list(torn.rglob("*.part"))


def test_ctrl_c_keeps_what_has_come_and_says_how_to_go_on(tmp_path: Path) -> None:
    recipe, folder = write_recipe(tmp_path), tmp_path / "run"
    process = subprocess.Popen(
        command("build", recipe, "--run", folder), env=environment(), stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not list((folder / "scores").glob("[0-9]*")):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "what the model has answered is kept" in said
    assert f"-m datagen build {recipe} --run {folder}" in said
    assert "Traceback" not in said
    done = {path.name[:5] for path in (folder / "scores").glob("[0-9]*")}
    assert {path.name[:5] for path in (folder / "samples").glob("*.parquet")} == done
    assert 0 < len(done) < SHARD_COUNT
    assert run_cli("build", recipe, "--run", folder).returncode == 0


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    recipe, folder, marker = tmp_path / "slow.yaml", tmp_path / "run", tmp_path / "begun"
    recipe.write_text(yaml.safe_dump(small_values(backend={"delay": 20.0, "marker": str(marker)})), encoding="utf-8")
    process = subprocess.Popen(
        command("build", recipe, "--run", folder), env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    while not marker.exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    while "stopping: " not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)  # a shard takes 160 seconds
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert not list(folder.glob("samples/[0-9]*"))


def test_workers_die_with_a_killed_run(tmp_path: Path) -> None:
    recipe, folder = write_recipe(tmp_path), tmp_path / "run"
    process = subprocess.Popen(
        command("build", recipe, "--run", folder, "--workers", "2"), env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and not list((folder / "scores").glob("[0-9]*")):
        time.sleep(0.005)
    members = list_group(process.pid)
    assert len(members) >= 2, "there was no worker to die"
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while list_group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list_group(process.pid) == []


def list_group(group: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return sorted(pid for pid in found if pid != os.getpid())
