"""Every command that is printed works as it stands, however the program was called."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from datagen import program
from datagen.cli import app
from tests.helpers.runs import environment, run_cli, small_values


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program as an environment in the folder has it; commands run in that folder."""
    path = tmp_path / ".venv/bin/datagen"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!{sys.executable}\nfrom datagen.cli import main\nmain()\n", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return path


def call_as(monkeypatch: pytest.MonkeyPatch, *argv: str) -> str:
    monkeypatch.setattr(sys, "argv", [*argv])
    return program.command("export", "outputs/a b")


def test_a_program_beside_is_called_by_its_path(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call_as(monkeypatch, ".venv/bin/datagen") == ".venv/bin/datagen export 'outputs/a b'"
    assert call_as(monkeypatch, str(script)) == ".venv/bin/datagen export 'outputs/a b'"
    monkeypatch.chdir(script.parent)
    assert call_as(monkeypatch, "./datagen").startswith("./datagen export")
    monkeypatch.chdir(script.parents[1])
    assert call_as(monkeypatch, str(script)).startswith("bin/datagen export")
    monkeypatch.chdir("/usr")
    assert call_as(monkeypatch, str(script)).startswith(f"{script} export")


def test_a_program_on_the_path_is_called_by_its_name(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(script.parent), prepend=":")
    assert call_as(monkeypatch, str(script)) == "datagen export 'outputs/a b'"


def test_a_module_is_called_by_its_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path)
    assert call_as(monkeypatch, "/there/datagen/__main__.py") == f"{sys.executable} -m datagen export 'outputs/a b'"


def test_a_command_for_another_folder_finds_the_program_from_there(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert program.command("build", folder="my shop") == "../.venv/bin/datagen build"


def test_commands_in_a_sentence_are_called_as_the_program_was(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/datagen"])
    told = (
        "run `datagen build`, then: datagen export RUN; an older datagen exported it, and this datagen reads version 1"
    )
    shown = program.from_here(told)
    assert shown == told.replace("`datagen build", "`.venv/bin/datagen build").replace(": data", ": .venv/bin/data")
    assert program.from_here(shown) == shown


def test_paths_are_told_from_here_however_they_were_given(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(small_values(name="tiny")), encoding="utf-8")
    told = [
        run_cli(*words, cwd=tmp_path)
        for words in (
            ("build", tmp_path / "tiny.yaml", "--run", tmp_path / "outputs/a run", "--workers", "0"),
            ("build", tmp_path / "tiny.yaml", "--run", tmp_path / "outputs/a run", "--set", "seed=5"),
            ("status", tmp_path / "outputs/a run"),
            ("diff", tmp_path / "outputs/a run", "outputs/a run"),
            ("status", tmp_path / "outputs/none"),
            ("check", tmp_path / "none.yaml"),
            ("init", tmp_path / "shop"),
        )
    ]
    shown = [done.stdout + done.stderr for done in told]
    assert [done.returncode for done in told] == [0, 1, 0, 0, 1, 1, 0]
    assert not [text for text in shown if f"{tmp_path}/" in text]
    assert "outputs/a run/dataset" in shown[0]
    assert "--run 'outputs/a run-2'" in shown[1]
    assert "outputs/none: no such run" in shown[4]


def test_a_path_elsewhere_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = f"{tmp_path}/a, {tmp_path}2/a, s3:/{tmp_path}/a and {tmp_path}"
    assert program.shorten_paths(text) == text.replace(f"{tmp_path}/a, ", "a, ", 1)


def test_every_command_has_its_group() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    names |= {group.name for group in app.registered_groups if group.name}
    listed = [word for words in program.GROUPS.values() for word in words]
    assert sorted(listed) == sorted(names)


def test_what_a_build_prints_last_can_be_run(script: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(small_values(name="tiny")), encoding="utf-8")
    command = [".venv/bin/datagen", "build", "tiny.yaml", "--workers", "0"]
    built = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
    (line,) = re.findall(r"^look at +(.*)$", built.stdout, re.MULTILINE)
    assert line.startswith(".venv/bin/datagen sample outputs/tiny ")
    shown = subprocess.run(line.split(), cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
    assert f"  {line.split()[-1]}\n" in shown.stdout


def test_hints_of_errors_can_be_run(tmp_path: Path) -> None:
    error = run_cli("train", "outputs/none", "--out", "x", cwd=tmp_path).stderr
    assert re.search(r"`\S*python\S* -m datagen export RUN`", error)
