"""The Slurm job script: its own steps, run on this machine with real Ray, build what one process builds."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen.config import make_recipe
from datagen.errors import ConfigError, RunError
from datagen.runners.slurm import SlurmJob, await_nodes, choose_models, find_own_address, make_script
from datagen.store import RunFolder
from tests.helpers.runs import SHARDS, build_here, environment, hash_files, run_cli, small_values

pytest.importorskip("ray")
NAMES = ("srun", "scontrol")
SRUN = """#!/bin/bash
# a step on one of the nodes, which are all this machine
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """#!/bin/bash
if [[ $1 == show ]]; then printf '%s\\n' "$(hostname)" "$(hostname)"; else echo "$@" >> "$ASKED"; fi
"""
"""Two nodes, and what the script asks of Slurm apart from their names."""


def write_script(folder: Path, values: dict[str, Any], *words: str) -> Path:
    """Write a recipe and its job script by the command line, in a folder."""
    folder.mkdir()
    (folder / "my recipe.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    done = run_cli("slurm", "my recipe.yaml", "--out", "job.sh", "--run", "the run", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "job.sh\nnext: sbatch job.sh\n"
    return folder / "job.sh"


def read_options(script: str) -> dict[str, str]:
    """Return what a script asks of Slurm."""
    lines = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def test_the_command_prints_a_script_that_bash_can_read() -> None:
    words = ["--nodes", "8", "--gpus-per-node", "8", "--partition", "gpu", "--account", "lab", "--time", "2-12"]
    done = run_cli("slurm", "quickstart", *words, "--set", "name=it's", "--run", "/a disk/$run")
    assert "it's" in done.stderr, "the recipe is checked first"
    done = run_cli("slurm", "quickstart", *words, "--set", "prompts=300", "--run", "/a disk/$run")
    assert done.returncode == 0, done.stderr
    assert subprocess.run(["bash", "-n"], input=done.stdout, text=True).returncode == 0
    options = read_options(done.stdout)
    asked = {"nodes": "8", "gpus-per-node": "8", "partition": "gpu", "account": "lab", "time": "2-12"}
    assert asked.items() <= options.items()
    assert "requeue" in options
    assert options["signal"] == "B:INT@120"
    build = "build quickstart --set prompts=300 --run '/a disk/$run' --models 64 --gpus-per-model 1.0"
    assert f"build=({build})" in done.stdout


def test_whole_nodes_are_taken_unless_processors_are_counted() -> None:
    whole = read_options(make_script(SlurmJob(nodes=2), "small", ["build"], "/"))
    assert {"exclusive", "mem"} <= whole.keys()
    shared = read_options(make_script(SlurmJob(nodes=2, cpus_per_node=4), "small", ["build"], "/"))
    assert not {"exclusive", "mem"} & shared.keys()
    assert shared["cpus-per-task"] == "4"


@pytest.mark.parametrize(
    ("gpus", "cluster", "given", "chosen"),
    [
        (8, None, (None, None), (16, 1.0)),
        (8, None, (None, 0.5), (32, 0.5)),
        (8, None, (None, 3), (4, 3)),
        (8, None, (5, None), (5, 1.0)),
        (8, {"models": 3}, (None, None), (None, 1.0)),
        (8, {"model": {"num_gpus": 4}}, (None, None), (4, None)),
        (None, None, (None, None), (None, None)),
    ],
)
def test_models_fill_the_gpus_unless_told_otherwise(
    gpus: int | None, cluster: Any, given: tuple[Any, Any], chosen: tuple[Any, Any]
) -> None:
    recipe = make_recipe(small_values(**({"cluster": cluster} if cluster else {})))
    assert choose_models(SlurmJob(nodes=2, gpus_per_node=gpus), recipe, *given) == chosen


def test_a_model_that_no_node_has_room_for_is_refused() -> None:
    recipe = make_recipe(small_values(cluster={"model": {"num_gpus": 16}}))
    with pytest.raises(ConfigError, match="a model of 16 GPUs has no room on a node of 8"):
        choose_models(SlurmJob(nodes=2, gpus_per_node=8), recipe, None, None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"time": "a day"}, "'a day' is no time"),
        ({"time": "9"}, "too short"),
        ({"time": "9:59"}, "too short"),
        ({"time": "0:09:59"}, "too short"),
        ({"partition": "gpu\n#SBATCH --wrap=ls"}, "no name that Slurm knows"),
        ({"account": "my lab"}, "no name that Slurm knows"),
    ],
)
def test_what_slurm_could_not_read_is_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SlurmJob(nodes=2, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("time", ["10", "10:00", "0:10:00", "0-1", "0-0:10", "1-0:0:0"])
def test_every_form_of_slurms_times_is_read(time: str) -> None:
    assert SlurmJob(nodes=1, time=time).time == time


def test_a_step_that_ended_is_not_waited_for() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    with pytest.raises(RunError, match="Ray ended on a node; 0 of 2 nodes came"):
        await_nodes("127.0.0.1:9", 2, [ended.pid])


def test_nodes_that_do_not_come_are_an_error() -> None:
    with pytest.raises(RunError, match="0 of 2 nodes came within 1 s"):
        await_nodes("127.0.0.1:9", 2, [], seconds=1)


def test_a_node_finds_its_address_in_the_network_of_the_others() -> None:
    assert find_own_address("127.0.0.1") == "127.0.0.1"
    with pytest.raises(RunError, match=r"node nowhere\.invalid is not found"):
        find_own_address("nowhere.invalid")


class Allocation:
    """Two nodes on this machine: what Slurm gives to a job script."""

    def __init__(self, folder: Path) -> None:
        self._bin, self._asked = folder / "bin", folder / "asked"
        self._bin.mkdir()
        for name, text in zip(NAMES, (SRUN, SCONTROL), strict=True):
            (self._bin / name).write_text(text, encoding="utf-8")
            (self._bin / name).chmod(0o755)
        self._job = str(os.getpid())

    @property
    def asked(self) -> list[str]:
        return self._asked.read_text(encoding="utf-8").splitlines() if self._asked.exists() else []

    def run(self, script: Path, send: int | None = None, when: RunFolder | None = None) -> tuple[int, str]:
        """Run a script; send a signal when a run has some samples more. Returns its exit code and what it said."""
        path = f"{self._bin}:{os.environ['PATH']}"
        given = {"PATH": path, "SLURM_JOB_ID": self._job, "SLURM_JOB_NODELIST": "two", "ASKED": str(self._asked)}
        log = script.with_suffix(".log")
        with log.open("wb") as out:
            batch = subprocess.Popen(
                ["env", "--default-signal=INT", "bash", script],  # a child of tests in the background ignores it
                stdout=out,
                stderr=out,
                env={**environment(), **given},
                start_new_session=True,
            )
            try:
                if when is not None and send is not None:
                    before = len(when.list_shards("samples"))
                    until = time.monotonic() + 300
                    while len(when.list_shards("samples")) < before + 2 and batch.poll() is None:
                        assert time.monotonic() < until, log.read_text(encoding="utf-8")
                        time.sleep(0.05)
                    batch.send_signal(send)
                code = batch.wait(timeout=240)
            finally:
                batch.terminate()
                self._await_end(batch.pid)
        return code, log.read_text(encoding="utf-8")

    @staticmethod
    def _await_end(session: int) -> None:
        """Slurm waits for all processes of a job before it runs it again."""
        until = time.monotonic() + 180
        while time.monotonic() < until:
            left = subprocess.run(["ps", "-s", str(session), "-o", "pid="], capture_output=True, text=True).stdout
            if not left.strip():
                return
            time.sleep(0.2)
        pytest.fail(f"processes of the job are left: {left}")


def test_a_job_that_is_stopped_goes_on_and_builds_what_one_process_builds(tmp_path: Path) -> None:
    """Cancelled by a person, then told to stop ahead of its end, then run to the end."""
    values = small_values(prompts=120, shard_prompts=4, backend={"delay": 0.05}, cluster={"models": 2, "stretch": 4})
    build_here(make_recipe(values), tmp_path / "here")
    script = write_script(tmp_path / "a project", values, "--nodes", "2", "--cpus-per-node", "2")
    allocation, folder = Allocation(tmp_path), RunFolder(str(tmp_path / "a project/the run"))
    code, said = allocation.run(script, signal.SIGTERM, folder)
    assert code == 130, said
    assert not allocation.asked, "who cancels a job does not want it again"
    code, said = allocation.run(script, signal.SIGINT, folder)
    assert code == 130, said
    assert [line.split()[0] for line in allocation.asked] == ["requeue"]
    done = len(folder.list_shards("samples"))
    assert 4 <= done < 30, "it was stopped in the middle"
    code, said = allocation.run(script)
    assert code == 0, said
    parts = (*SHARDS, "dataset")
    assert hash_files(tmp_path / "a project/the run", *parts) == hash_files(tmp_path / "here", *parts)
