"""The Ray runner on a real cluster of two nodes: the files are those of one process, whatever is lost."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen.config import Recipe
from datagen.errors import Paused, RunError
from datagen.pipeline import (
    Account,
    Budget,
    Silent,
    build_run,
    create_run,
    find_jobs,
    finish_shard,
    generate_shards,
    open_run,
    plan_stage,
    run_jobs,
)
from datagen.runners.ray import choose_stretch, cut_prompts, make_ray_runner
from datagen.store import SUFFIXES, RunFolder
from tests.helpers.runs import SHARDS, build_here, hash_files, small_recipe, small_values
from tests.helpers.s3_server import BUCKET, KEYS, S3Server
from tests.runners.test_local import DYING

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")
PLANS: dict[str, dict[str, Any]] = {
    "plain": {"cluster": {"models": 2, "stretch": 3}},
    "scorers": {"cluster": {"models": 2, "stretch": 3, "scorers": 2, "scorer": {"num_cpus": 0.5}}},
    "failures": {"cluster": {"models": 2}, "backend": {"fails": 0.3}},
    "adapt": {"cluster": {"stretch": 4}, "candidates": 5, "adapt": {"start": 2, "by": ["counting", "attribute"]}},
}


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Started before the cluster, whose nodes find it by the environment."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as patch:
        key, secret = KEYS["admin"]
        given = {"AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
        for name, value in {**given, "AWS_REGION": "us-east-1"}.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def cluster(s3: S3Server) -> Iterator[Any]:
    made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    ray.init(address=made.address, logging_level=logging.ERROR, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def second(cluster: Any) -> Iterator[Any]:
    """A node that may be lost, and another one."""
    nodes = [cluster.add_node(num_cpus=2, resources={"painter": 2}) for _ in range(2)]
    cluster.wait_for_nodes()
    yield nodes[0]
    for node in nodes:
        if node in cluster.list_all_nodes():
            cluster.remove_node(node)


@pytest.mark.parametrize("plan", PLANS)
def test_a_cluster_writes_what_one_process_writes(cluster: Any, second: Any, plan: str, tmp_path: Path) -> None:
    recipe = small_recipe(**PLANS[plan])
    build_here(recipe, tmp_path / "here")
    build_run(create_run(recipe, str(tmp_path / "cluster")), make_ray_runner(), Silent())
    parts = (*SHARDS, "dataset")
    assert hash_files(tmp_path / "cluster", *parts) == hash_files(tmp_path / "here", *parts)


def when(condition: Callable[[], bool], act: Callable[[], None]) -> threading.Thread:
    """Do something in a thread as soon as a condition holds."""

    def wait() -> None:
        while not condition():
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def lose_a_node(cluster: Any, node: Any, address: str) -> threading.Thread:
    """Kill a node when part of the samples is there."""
    folder = RunFolder(address)
    kill = partial(cluster.remove_node, node, allow_graceful=False)
    return when(lambda: len(folder.list_shards("samples")) >= 3, kill)


def painting(**changes: Any) -> Recipe:
    """500 samples, of which each takes a moment, from three models; two have room on each of two nodes."""
    cluster = {"models": 3, "stretch": 5, "model": {"num_cpus": 0.5, "resources": {"painter": 1}}, **changes}
    values = {"prompts": 125, "candidates": 4, "shard_prompts": 5, "cluster": cluster, "backend": {"delay": 0.02}}
    return small_recipe(**values)


@pytest.mark.parametrize("scorers", [0, 2])
def test_a_node_that_is_lost_costs_what_was_in_flight(cluster: Any, second: Any, scorers: int, tmp_path: Path) -> None:
    recipe = painting(scorers=scorers, scorer={"num_cpus": 0.25, "resources": {"painter": 0.5 if scorers else 0}})
    build_here(recipe, tmp_path / "here")
    losing = lose_a_node(cluster, second, str(tmp_path / "cluster"))
    run = create_run(recipe, str(tmp_path / "cluster"))
    plan_stage(run, Silent())
    run_jobs(run, "both", make_ray_runner(), Silent())
    losing.join(timeout=60)
    assert not losing.is_alive(), "the node was lost before the end"
    # Whoever holds the folder next clears what the lost node was about to write.
    with run.folder.hold():
        assert hash_files(tmp_path / "cluster", *SHARDS) == hash_files(tmp_path / "here", *SHARDS)


def test_on_an_object_store_a_lost_node_costs_no_more(s3: S3Server, cluster: Any, second: Any, tmp_path: Path) -> None:
    s3.wait()
    recipe, address = painting(), f"s3://{BUCKET}/cluster"
    build_here(recipe, tmp_path / "here")
    losing = lose_a_node(cluster, second, address)
    run = create_run(recipe, address)
    plan_stage(run, Silent())
    run_jobs(run, "both", make_ray_runner(), Silent())
    losing.join(timeout=60)
    assert not losing.is_alive(), "the node was lost before the end"
    for stage in SHARDS:
        for shard in run.folder.list_shards(stage):
            name = f"{stage}/{shard:05d}.{SUFFIXES[stage]}"
            assert run.folder.read_head(name, -1) == (tmp_path / "here" / name).read_bytes(), name


def test_a_budget_is_kept_in_whole_prompts(cluster: Any, tmp_path: Path) -> None:
    recipe = small_recipe(prompts=30, cluster={"models": 2, "stretch": 4})
    build_here(recipe, tmp_path / "here")
    run = create_run(recipe, str(tmp_path / "run"))
    plan_stage(run, Silent())
    with pytest.raises(Paused, match=r"paused at --max-samples 25: 2[0-4] of 60 samples"):
        run_jobs(run, "both", make_ray_runner(), Silent(), Account(run, Budget(25)))
    run_jobs(run, "both", make_ray_runner(), Silent())
    assert hash_files(tmp_path / "run", *SHARDS) == hash_files(tmp_path / "here", *SHARDS)


def test_a_model_that_always_dies_is_one_clear_error(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datagen.runners.ray.REST_SECONDS", (0.1, 0.2))
    (tmp_path / "dying").mkdir()
    (tmp_path / "dying/model.py").write_text(DYING, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run = create_run(small_recipe(backend={"name": "dying.model"}), str(tmp_path / "run"))
    plan_stage(run, Silent())
    with pytest.raises(RunError, match="a model process was killed 8 times without an answer"):
        run_jobs(run, "both", make_ray_runner(), Silent())


def test_a_node_with_another_version_is_refused_in_one_line(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datagen.runners.ray.read_versions", lambda: {"numpy": "9.9"})
    run = create_run(small_recipe(), str(tmp_path / "run"))
    plan_stage(run, Silent())
    with pytest.raises(RunError, match=r"node \S+ has numpy \S+, the driver 9\.9"):
        run_jobs(run, "both", make_ray_runner(), Silent())


def test_an_error_of_a_task_is_that_of_one_process(cluster: Any, tmp_path: Path) -> None:
    run, _ = build_here(small_recipe(), tmp_path / "run")
    path = tmp_path / "run/samples/00001.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\0" * 64 + content[68:])
    run.folder.remove_shard("scores", 1)
    with pytest.raises(RunError, match="damaged") as caught:
        run_jobs(run, "score", make_ray_runner(), Silent())
    assert caught.value.where == str(path)


def test_stretches_become_smaller_towards_the_end() -> None:
    assert cut_prompts(10, size=4, rest=1000, models=8) == [(0, 4), (4, 8), (8, 10)]
    assert cut_prompts(9, size=4, rest=17, models=1) == [(0, 4), (4, 7), (7, 9)]
    assert cut_prompts(9, size=4, rest=9, models=1) == [(0, 2), *((k, k + 1) for k in range(2, 9))]
    assert cut_prompts(3, size=4, rest=3, models=100) == [(0, 1), (1, 2), (2, 3)]


def test_a_stretch_is_what_a_model_makes_in_a_minute_within_bounds() -> None:
    assert choose_stretch(0, 0.0) == choose_stretch(0, 5.0) == 16
    assert choose_stretch(100, 1000.0) == 16
    assert choose_stretch(100, 200.0) == 30
    assert choose_stretch(1000, 100.0) == 64


def test_a_task_that_runs_twice_changes_nothing(tmp_path: Path) -> None:
    """Ray may begin a task anew on another node after the first one has written all of it."""
    recipe = small_recipe(backend={"fails": 0.3})
    build_here(recipe, tmp_path / "here")
    run = create_run(recipe, str(tmp_path / "run"))
    plan_stage(run, Silent())
    jobs = find_jobs(run, "both", Silent()).jobs
    for done in generate_shards(run, jobs):
        if done is not None:
            finish_shard(run, done)
    for job in jobs:
        finish_shard(run, job)
    assert hash_files(tmp_path / "run", *SHARDS) == hash_files(tmp_path / "here", *SHARDS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_driver_that_ends_keeps_what_has_come(number: signal.Signals, tmp_path: Path) -> None:
    """Without an address the command starts a cluster of its own, which ends with it."""
    path, folder = write_recipe(tmp_path), tmp_path / "run"
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    words = [sys.executable, "-m", "datagen", "build", str(path), "--run", str(folder), "--runner", "ray"]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    waiting = when(lambda: len(list(folder.glob("samples/*/*.arrow"))) >= 5, lambda: process.send_signal(number))
    said = process.communicate(timeout=180)[0]
    waiting.join(timeout=1)
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL), said
    kept = count_answers(folder)
    assert 4 <= kept < 96
    told = subprocess.run(words, env=environment, check=True, timeout=180, capture_output=True, text=True)
    assert hash_files(folder, *SHARDS) == hash_files(tmp_path / "here", *SHARDS)
    printed = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("logs/*.txt")))
    assert f"datagen on {socket.gethostname()}" in printed, "what workers print is in the run folder"
    assert "datagen on" not in told.stdout + told.stderr, "and not on the console"


def test_a_head_that_is_lost_ends_the_command_and_the_next_one_goes_on(tmp_path: Path) -> None:
    path, folder = write_recipe(tmp_path), tmp_path / "run"
    losing = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    words = [sys.executable, "-m", "datagen", "build", str(path), "--run", str(folder)]
    environment = {**os.environ, "RAY_gcs_rpc_server_reconnect_timeout_s": "12"}
    given = [*words, "--runner", "ray", "--address", losing.address]
    process = subprocess.Popen(given, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    waiting = when(lambda: len(list(folder.glob("samples/*/*.arrow"))) >= 5, losing.head_node.kill_all_processes)
    said = process.communicate(timeout=180)[0]
    waiting.join(timeout=1)
    losing.shutdown()
    assert process.returncode > 0, said
    assert "the head of the cluster does not answer" in said
    assert 4 <= count_answers(folder) < 96
    subprocess.run(words, check=True, timeout=180, capture_output=True)
    assert hash_files(folder, *SHARDS) == hash_files(tmp_path / "here", *SHARDS)


def test_the_cluster_file_of_the_docs_is_one_that_ray_takes() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    page = (Path(__file__).parents[2] / "docs/cluster.md").read_text(encoding="utf-8")
    (written,) = re.findall(r"```yaml\n(cluster_name.*?)```", page, re.DOTALL)
    validate_config(prepare_config(yaml.safe_load(written)))


def write_recipe(tmp_path: Path) -> Path:
    """Write a recipe of 96 samples that take a moment each, and build it in one process, in `here`."""
    values = {"prompts": 24, "candidates": 4, "backend": {"delay": 0.1}, "cluster": {"models": 2, "stretch": 4}}
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(small_values(**values)), encoding="utf-8")
    build_here(small_recipe(**values), tmp_path / "here")
    return path


def count_answers(folder: Path) -> int:
    """How many samples are in parts or files."""
    run = open_run(str(folder))
    done = run.folder.list_shards("samples")
    rows = sum(len(run.folder.read_parts(shard, keep=False)[0]) for shard in {*run.folder.list_open()} - {*done})
    return rows + sum(run.folder.count_samples(shard) for shard in done)
