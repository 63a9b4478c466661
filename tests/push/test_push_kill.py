"""Killed at random moments and started again, a push leaves the remote equal to the local, and never half of it."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from push_cases import NAME, Folder, hub_environment, read_local, read_pushed, split_shards
from test_push_s3 import strip_hashes

from datagen.pipeline import Silent
from datagen.push import pull_dataset
from tests.helpers.hub_server import HubServer
from tests.helpers.runs import command, environment
from tests.helpers.s3_server import BUCKET, S3Server

KILLS = 3


def kill_pushes(run: Path, address: str, settings: dict[str, str], count: Callable[[], int], seed: int) -> int:
    """Start pushes and kill each once a random number of files more arrived; return how many were killed."""
    rng, killed = random.Random(seed), 0
    for _ in range(KILLS):
        goal = count() + rng.randint(1, 6)
        process = subprocess.Popen(
            command("push", run, address), env={**environment(), **settings},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while process.poll() is None and count() < goal and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    return killed


def finish(run: Path, address: str, settings: dict[str, str]) -> None:
    done = subprocess.run(
        command("push", run, address), env={**environment(), **settings}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_killed_pushes_to_a_hub_end_the_same(run: Path, tmp_path: Path) -> None:
    split_shards(run / "dataset" / "data", 2)
    with HubServer(delay=0.1) as hub:
        settings = hub_environment(hub.url, tmp_path / "home")
        assert kill_pushes(run, NAME, settings, lambda: len(hub.store), seed=3) >= 2
        assert hub.files("me/small") == {}, "half a dataset became visible"
        assert 0 < len(hub.store) < len(read_local(run / "dataset")) - 1
        hub.delay = 0.0
        finish(run, NAME, settings)
        remote = hub.files("me/small")
        assert {**remote, "datagen.json": b""} == {**read_pushed(run), "datagen.json": b""}
        assert len(hub.repos["me/small"].commits) == 2
        in_flight = KILLS * 5  # the client sends five files at a time
        assert hub.count("PUT /store/") <= len(hub.store) + in_flight


def test_killed_pushes_to_a_bucket_end_the_same(run: Path, s3: S3Server, tmp_path: Path) -> None:
    split_shards(run / "dataset" / "data", 2)
    folder = Folder(f"s3://{BUCKET}/killed", s3.open(), f"{BUCKET}/killed")
    settings = s3.environment()
    assert kill_pushes(run, folder.address, settings, lambda: len(folder.files()), seed=4) >= 1
    finish(run, folder.address, settings)
    assert strip_hashes(folder.files()) == strip_hashes(read_local(run / "dataset"))
    pull_dataset(folder.address, tmp_path / "back", Silent())
    assert read_local(tmp_path / "back") == folder.files()
