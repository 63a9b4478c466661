"""A run made from Python is the run that the command line makes, and either goes on where the other stopped."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
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
    with pytest.raises(dg.RunError, match=r"changed: candidates: 2 -> 1"):
        dg.build(recipe.set(candidates=1), run="one", workers=0)


def test_a_run_is_found_by_its_name(here: Path, recipe: dg.Recipe) -> None:
    built = dg.build(recipe, workers=0)
    assert dg.open_run("small").folder == built.folder == "outputs/small"
    assert dg.open_run("small").recipe.to_dict() == recipe.to_dict()
    with pytest.raises(dg.RunError, match="no such run"):
        dg.open_run("smal")


def test_both_doors_estimate_and_examine_alike(here: Path, recipe: dg.Recipe) -> None:
    recipe.save("small.yaml")
    told = run_cli("plan", "small.yaml", "--no-probe", "--workers", 0, "--json", cwd=here)
    assert json.loads(told.stdout) == json.loads(json.dumps(asdict(dg.plan(recipe, probe=False, workers=0))))
    told = run_cli("doctor", "small.yaml", "--json", cwd=here)
    assert [(each["check"], each["verdict"]) for each in json.loads(told.stdout)] == [
        (each.check, each.verdict) for each in dg.doctor(recipe)
    ]


def test_a_run_is_trained_on_from_python_and_the_shell_resumes(here: Path) -> None:
    run = dg.build(dg.Recipe.load("quickstart").set(prompts=6, candidates=2), run="six", workers=0)
    steps = dg.train(run, "checkpoint", steps=2, batch=4)
    assert [steps[0].done, steps[-1].done] == [0, 2]
    told = run_cli("train", "six", "--out", "checkpoint", "--steps", 2, "--batch", 4, "--json", cwd=here)
    assert json.loads(told.stdout)["held_out"][-1]["step"] == 2, told.stderr
    assert (here / "checkpoint/model.safetensors").is_file()
    with pytest.raises(dg.RunError):
        dg.train(run, "checkpoint", steps=3, batch=4)
