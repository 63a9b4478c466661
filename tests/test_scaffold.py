"""`datagen new`: what it writes works as it stands, in a project, by its own test and in a build."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from datagen.errors import ConfigError
from datagen.scaffold import PARTS, write_part
from tests.helpers.runs import ROOT, environment, run_cli


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one part of each kind."""
    folder = tmp_path_factory.mktemp("new") / "shop"
    assert run_cli("init", folder).returncode == 0
    for kind in PARTS:
        done = run_cli("new", kind, f"my_{kind}", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert f"shop.my_{kind}" in done.stdout
        assert f"python -m pytest shop/test_my_{kind}.py" in done.stdout
    return folder


def test_the_tests_that_were_written_pass(shop: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "shop"]
    done = subprocess.run(command, cwd=shop, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    for kind in PARTS:
        text = (shop / f"shop/test_my_{kind}.py").read_text(encoding="utf-8")
        assert text.count("def test_") == 3


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("scorer", "abs(luma - options.goal)", "abs(luma)"),
        ("backend", "random.Random(request.seed)", "random.Random()"),
        ("format", 'part.role == "prompt"', 'part.role == "think"'),
    ],
)
def test_the_tests_that_were_written_fail_for_a_wrong_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, right: str, wrong: str
) -> None:
    monkeypatch.chdir(tmp_path)
    module, test, *_ = write_part(kind, f"own_{kind}.mine").files
    text = module.read_text(encoding="utf-8")
    assert right in text
    module.write_text(text.replace(right, wrong), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout


def test_a_build_uses_all_that_was_written(shop: Path) -> None:
    changes = (
        "backend=shop.my_backend", "prompts=6", "candidates=2", "rewards=[{name: shop.my_scorer, goal: 0.4}]",
        "exports={mine: {view: trajectories, format: shop.my_format}}", "detector=pictograms",
    )  # fmt: skip
    done = run_cli("build", *(word for change in changes for word in ("--set", change)), cwd=shop)
    assert done.returncode == 0, done.stderr
    (table,) = (shop / "outputs/shop/exports/mine").glob("train.csv")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        assert (table.parent / row["image"]).is_file()
        assert float(row["weight"]) > 0
    explained = run_cli("explain", "shop.my_scorer", cwd=shop)
    assert "mean luma: 0 is black, 1 is white" in explained.stdout


def test_what_was_written_keeps_the_style_of_this_repository(shop: Path) -> None:
    config = str(ROOT / "pyproject.toml")
    for words in (("check", "--extend-per-file-ignores", "test_*.py:D"), ("format", "--check")):
        command = [sys.executable, "-m", "ruff", *words, "--no-cache", "--config", config, str(shop / "shop")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_name_with_dots_makes_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written = write_part("format", "our_tools.tables.csv")
    assert written.module == "our_tools.tables.csv"
    assert {str(path) for path in written.files} == {
        "our_tools/tables/csv.py", "our_tools/tables/test_csv.py", "our_tools/__init__.py",
        "our_tools/tables/__init__.py",
    }  # fmt: skip
    write_part("scorer", "our_tools.tables.more")
    with pytest.raises(ConfigError, match=re.escape("there already: our_tools/tables/more.py")):
        write_part("scorer", "our_tools.tables.more")


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("scroer", "mine", "did you mean 'scorer'?"),
        ("scorer", "Bright-ness", "small letters, digits and _"),
        ("scorer", "own.class", "small letters, digits and _"),
        ("scorer", "../own", "small letters, digits and _"),
        ("scorer", "json.mine", "such as my_json.mine"),
    ],
)
def test_a_name_that_cannot_be_imported_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        write_part(kind, name)
    assert said in caught.value.hint
    assert not list(tmp_path.iterdir())
