"""Killed at random moments and started again, a push leaves the remote equal to the local, and never half of it."""

from __future__ import annotations

import math
import random
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from push_cases import NAME, Folder, hub_environment, read_local, read_pushed, split_shards
from test_push_s3 import strip_hashes

from datagen.pipeline import Silent
from datagen.push import pull_dataset
from tests.helpers.hub_server import HubServer
from tests.helpers.runs import command, environment
from tests.helpers.s3_server import BUCKET, S3Server

KILLS = 3
IN_FLIGHT = 5
"""Files that the hub's client sends at a time."""
STORE = "PUT /store/"


def start_push(run: Path, address: str, settings: dict[str, str]) -> subprocess.Popen[str]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a child of tests in the background ignores it
    try:
        return subprocess.Popen(
            command("push", run, address), env={**environment(), **settings},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Return when something is reached, or when the process ended by itself."""
    deadline = time.monotonic() + 120
    while process.poll() is None and not reached() and time.monotonic() < deadline:
        time.sleep(0.005)


def kill_push(run: Path, address: str, settings: dict[str, str], reached: Callable[[], bool], wait: float) -> bool:
    """Start a push and kill it `wait` seconds after something is reached; say whether that ended it."""
    process = start_push(run, address, settings)
    wait_until(reached, process)
    time.sleep(wait)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def was_asked(hub: HubServer, count: int) -> bool:
    return hub.count(STORE) >= count


def holds_at_least(folder: Folder, count: int) -> bool:
    return folder.count() >= count


def finish(run: Path, address: str, settings: dict[str, str]) -> None:
    done = subprocess.run(
        command("push", run, address), env={**environment(), **settings}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_killed_pushes_to_a_hub_end_the_same(run: Path, tmp_path: Path) -> None:
    split_shards(run / "dataset" / "data", 1)
    rng = random.Random(3)
    with HubServer(limit=0) as hub:
        settings = hub_environment(hub.url, tmp_path / "home")
        for _ in range(KILLS):
            more = rng.randint(1, 6)
            hub.limit = len(hub.store) + IN_FLIGHT + more  # what the last push had in flight may still arrive
            reached = partial(was_asked, hub, hub.count(STORE) + more)
            assert kill_push(run, NAME, settings, reached, rng.random() * 0.05)
            assert hub.files("me/small") == {}, "half a dataset became visible"
        assert 0 < len(hub.store) < len(read_local(run / "dataset")) - 1
        hub.limit = math.inf
        finish(run, NAME, settings)
        remote = hub.files("me/small")
        assert {**remote, "datagen.json": b""} == {**read_pushed(run), "datagen.json": b""}
        assert len(hub.repos["me/small"].commits) == 2
        assert hub.count(STORE) <= len(hub.store) + KILLS * IN_FLIGHT


def test_a_push_that_is_interrupted_says_how_to_go_on(run: Path, tmp_path: Path) -> None:
    with HubServer(limit=2) as hub:
        settings = hub_environment(hub.url, tmp_path / "home")
        process = start_push(run, NAME, settings)
        wait_until(lambda: len(hub.store) == 2, process)
        process.send_signal(signal.SIGINT)
        hub.limit = math.inf  # it waits for what is in flight
        said = process.communicate()[1]
        assert process.returncode == 130, said
        assert f"-m datagen push {run} {NAME}" in said
        assert "Traceback" not in said
        assert hub.files("me/small") == {}
        finish(run, NAME, settings)
        assert {**hub.files("me/small"), "datagen.json": b""} == {**read_pushed(run), "datagen.json": b""}


def test_killed_pushes_to_a_bucket_end_the_same(run: Path, s3: S3Server, tmp_path: Path) -> None:
    split_shards(run / "dataset" / "data", 2)
    settings, killed, rng = s3.environment(), 0, random.Random(4)
    for attempt in range(10):  # one that ended before the signal came is tried again elsewhere
        folder = Folder(f"s3://{BUCKET}/killed-{attempt}", s3.open(), f"{BUCKET}/killed-{attempt}")
        for _ in range(KILLS):
            goal = folder.count() + rng.randint(1, 6)
            reached = partial(holds_at_least, folder, goal)
            killed += kill_push(run, folder.address, settings, reached, rng.random() * 0.05)
        if killed:
            break
    assert killed
    finish(run, folder.address, settings)
    assert strip_hashes(folder.files()) == strip_hashes(read_local(run / "dataset"))
    pull_dataset(folder.address, tmp_path / "back", Silent())
    assert read_local(tmp_path / "back") == folder.files()
