"""Ctrl-C from the first import to the end of Python, and workers that the system kills: kept, told, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, model_serializer
from pydantic_core import PydanticSerializationError

from datagen.cli import main
from datagen.interrupts import Interrupted
from datagen.plugins import attempt
from tests.helpers.runs import command, environment, hash_files, small_values

PRESS = """
import atexit, os, runpy, signal, sys
moment, sys.argv = sys.argv[1], ["datagen", *sys.argv[2:]]

class Presser:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

if moment == "exit":
    atexit.register(os.kill, os.getpid(), signal.SIGINT)
else:
    sys.meta_path.insert(0, Presser())
runpy.run_module("datagen", run_name="__main__")
"""
"""Runs the command line, with Ctrl-C when a module is imported, or when Python ends."""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "slow.yaml"
    path.write_text(yaml.safe_dump(small_values(prompts=40, backend={"delay": 0.05})), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "moment", ["datagen.cli", "typer", "shlex", "datagen.config", "rich.console", "pyarrow", "exit"]
)
def test_ctrl_c_at_any_import_and_at_the_end_says_how_to_go_on(moment: str, tmp_path: Path, recipe: Path) -> None:
    recipe.write_text(yaml.safe_dump(small_values(prompts=2)), encoding="utf-8")
    words = ["build", str(recipe), "--run", str(tmp_path / "run"), "--workers", "0"]
    done = subprocess.run(
        [sys.executable, "-c", PRESS, moment, *words], env=environment(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1] == f"stopped; what is finished is kept; to go on: datagen {' '.join(words)}"
    assert "Traceback" not in done.stderr
    assert bool(hash_files(tmp_path / "run", "dataset")) == (moment == "exit")


class Interrupting(BaseModel):
    """Pressed just then: its values are being written."""

    @model_serializer
    def write(self) -> dict[str, str]:
        raise Interrupted


def test_ctrl_c_that_a_library_makes_an_error_of_its_own_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("datagen.cli.app", lambda args, **_: Interrupting().model_dump())
    monkeypatch.setattr(sys, "argv", ["datagen", "score", "one"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "stopped; what is finished is kept; to go on: datagen score one\n"


def test_ctrl_c_that_a_library_makes_an_error_within_a_plugin_stops_the_run() -> None:
    with pytest.raises(PydanticSerializationError):
        attempt(Interrupting().model_dump)


def list_workers(parent: int) -> list[int]:
    """The processes that a process has spawned to work."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            is_child = int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent
            if is_child and b"spawn_main" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


def start(*words: str | Path) -> subprocess.Popen[str]:
    """Start a command that is a process group, as in a terminal, and wait until it has begun to start a worker."""
    process = subprocess.Popen(
        command(*words), env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and not list_workers(process.pid):
        time.sleep(0.002)
    return process


@pytest.mark.parametrize(
    ("name", "options", "wait"),
    [("build", (), 0.0), ("build", (), 0.3), ("build", ("--models", "2"), 0.0), ("diagnose", ("--prompts", "8"), 0.1)],
)
def test_ctrl_c_while_workers_start_is_no_fault(
    name: str, options: tuple[str, ...], wait: float, tmp_path: Path, recipe: Path
) -> None:
    process = start(name, recipe, "--run", tmp_path / "run", *options)
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "what the model has answered is kept" in said
    assert f"-m datagen {name} {recipe}" in said
    assert "Traceback" not in said
    assert not {"killed", "fault"} & set(said.split())


def test_a_worker_killed_by_the_system_is_a_question_of_memory(tmp_path: Path, recipe: Path) -> None:
    process = start("build", recipe, "--run", tmp_path / "run")
    while process.poll() is None and not list((tmp_path / "run/samples").glob("*.parts/*")):
        time.sleep(0.005)  # the model draws
    for worker in list_workers(process.pid):
        os.kill(worker, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "a scoring process was killed\nout of memory? try --workers 1" in said
    assert "Traceback" not in said
    assert list((tmp_path / "run/samples").glob("*"))
