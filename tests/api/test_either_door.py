"""A run made from Python is the run that the command line makes, and either goes on where the other stopped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import datagen as dg
from tests.helpers.runs import hash_files, run_cli, small_values

PARTS = ("prompts", "samples", "scores", "failures", "dataset", "exports", "run.yaml")


def hash_run(folder: Path) -> dict[str, str]:
    files = hash_files(folder, *PARTS)
    files["run.yaml"] = (folder / "run.yaml").read_text(encoding="utf-8")
    files["report"] = re.sub(r'data-run="[^"]*"', "", (folder / "report.html").read_text(encoding="utf-8"))
    return files


@pytest.fixture
def recipe() -> dg.Recipe:
    return dg.Recipe.load(small_values())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_both_doors_make_the_same_folder(here: Path, recipe: dg.Recipe) -> None:
    recipe.save("small.yaml")
    dg.build(recipe, run="one", workers=0)
    done = run_cli("build", "small.yaml", "--run", "two", "--workers", 0, cwd=here)
    assert done.returncode == 0, done.stderr
    assert hash_run(here / "one") == hash_run(here / "two")
    dg.open_run("one").weigh(policy="rank")
    dg.open_run("one").export("pieces", "chat:layout=prompt")
    run_cli("weigh", "two", "--policy", "rank", cwd=here)
    run_cli("export", "two", "--view", "pieces", "--format", "chat:layout=prompt", cwd=here)
    assert hash_run(here / "one") == hash_run(here / "two")


def test_the_shell_goes_on_where_python_paused(here: Path, recipe: dg.Recipe) -> None:
    recipe.save("small.yaml")
    with pytest.raises(dg.Paused):
        dg.build(recipe, run="one", workers=0, max_samples=3)
    assert 0 < dg.open_run("one").status().kept + dg.open_run("one").status().samples < 20
    done = run_cli("build", "small.yaml", "--run", "one", "--workers", 0, cwd=here)
    assert done.returncode == 0, done.stderr
    dg.build(recipe, run="whole", workers=0)
    assert hash_run(here / "one") == hash_run(here / "whole")


def test_python_goes_on_where_the_shell_paused(here: Path, recipe: dg.Recipe) -> None:
    recipe.save("small.yaml")
    run_cli("build", "small.yaml", "--run", "one", "--workers", 0, "--max-samples", 3, cwd=here)
    run = dg.build(recipe, run="one", workers=0)
    assert run.status().samples == 20
    dg.build(recipe, run="whole", workers=0)
    assert hash_run(here / "one") == hash_run(here / "whole")


def test_another_recipe_is_refused_in_a_folder_that_is_taken(here: Path, recipe: dg.Recipe) -> None:
    dg.build(recipe, run="one", workers=0)
    with pytest.raises(dg.RunError, match=r"changed: candidates: 2 -> 3"):
        dg.build(recipe.set(candidates=3), run="one", workers=0)


def test_a_run_is_found_by_its_name(here: Path, recipe: dg.Recipe) -> None:
    built = dg.build(recipe, workers=0)
    assert dg.open_run("small").folder == built.folder == "outputs/small"
    assert dg.open_run("small").recipe.to_dict() == recipe.to_dict()
    with pytest.raises(dg.RunError, match="no such run"):
        dg.open_run("smal")
