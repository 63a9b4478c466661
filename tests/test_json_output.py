"""`--json`: one value on standard output, with the keys that docs/json.md names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from datagen.cli import app
from datagen.console import print_json
from tests.helpers.runs import ROOT, build_here, run_cli, small_recipe, small_values

PAGE = (ROOT / "docs/json.md").read_text(encoding="utf-8")
DOCUMENTED = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe, and a run of it with failures."""
    folder = tmp_path_factory.mktemp("json")
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**small_values(), "name": "tiny"}), encoding="utf-8")
    build_here(small_recipe(backend={"fails": 0.1}), folder / "outputs/run")
    return folder


def call(home: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    monkeypatch.chdir(home)
    result = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    return json.loads(result.stdout)


def promised(command: str) -> Iterator[tuple[str, set[str]]]:
    """What the page promises of a command: a path, `""` for the value itself, and its keys."""
    text = re.sub(r" \([^)]*\)$", "", DOCUMENTED[command])
    for part in text.split("; "):
        where, colon, keys = part.rpartition(": ")
        yield where.strip("`") if colon else "", set(re.findall(r"`([^`]+)`", keys))


def at(value: Any, path: str) -> Any:
    """The value at a path, the first of a list."""
    for name in [name for name in path.split(".") if name and name != "[]"]:
        value = (value[0] if isinstance(value, list) else value)[name]
    return value[0] if isinstance(value, list) else value


COMMANDS = {
    "explain": ("explain", "pieces"),
    "preview": ("preview", "counting", "-n", "1"),
    "plan": ("plan", "tiny.yaml", "--no-probe"),
    "doctor": ("doctor", "tiny.yaml"),
    "weigh": ("weigh", "run"),
    "status": ("status", "run"),
    "diff": ("diff", "run", "run"),
    "diagnose": ("diagnose", "--results", "run", "--out", "diagnosis.yaml"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_prints_the_keys_that_are_documented(
    home: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    value = call(home, monkeypatch, *COMMANDS[command])
    for path, keys in promised(command):
        if command == "diff" and path == "changes":
            continue  # there is none between a run and itself; `tests/test_run_diff.py` has some
        assert set(at(value, path)) == keys, path


def test_a_sample_has_its_documented_keys(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = (home / "outputs/run/scores/00001.jsonl").read_text(encoding="utf-8").splitlines()[0]
    value = call(home, monkeypatch, "sample", "run", json.loads(line)["sample_id"])
    for path, keys in promised("sample"):
        assert set(at(value, path)) == keys, path
    image = value["segments"][-1]
    assert (image["kind"], image["format"]) == ("image", "png")
    assert image["bytes"] > 100
    assert value["image"] is None


def test_problems_have_their_documented_keys_and_the_exit_code_stays(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    Path("broken.yaml").write_text("version: 1\nweaknes: x\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["check", "broken.yaml", "--json"])
    ((_, keys),) = promised("check")
    assert result.exit_code == 1
    assert all(set(each) == keys for each in json.loads(result.stdout))
    assert CliRunner().invoke(app, ["check", "tiny.yaml", "--json"]).stdout == "[]\n"


def test_a_build_prints_one_value_and_tells_the_rest_on_standard_error(home: Path) -> None:
    done = run_cli("build", "tiny.yaml", "--workers", "0", "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    ((_, keys),) = promised("build")
    assert set(value) == keys
    assert 0 < value["kept"] <= sum(value["rows"].values())
    assert "mean reward" in done.stderr
    paused = run_cli("build", "tiny.yaml", "--run", "p", "--workers", "0", "--max-samples", "1", "--json", cwd=home)
    assert paused.returncode == 0
    assert paused.stdout == ""
    assert "to go on: " in paused.stderr
    failed = run_cli("status", "no_such_run", "--json", cwd=home)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "no such run" in failed.stderr


def test_figures_of_an_experiment_have_their_documented_keys() -> None:
    ((_, keys),) = promised("experiment")
    for file in (ROOT / "docs/evidence").glob("*.json"):
        assert {*json.loads(file.read_text(encoding="utf-8")), "page", "table"} == keys


def test_every_command_that_takes_json_is_documented() -> None:
    takes = {
        command.name or command.callback.__name__.strip("_")
        for command in app.registered_commands
        if command.callback and "json" in command.callback.__annotations__
    }
    assert takes | {"bench"} == set(DOCUMENTED)


def test_no_control_character_and_no_nan_reaches_a_reader(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": "a\x1b[31m\ud800 ü", "value": [float("nan"), float("inf"), 0.5]})
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert "\x1b" not in shown
    assert json.loads(shown) == {"text": "a\x1b[31m\ud800 ü", "value": [None, None, 0.5]}
