"""What a run, a loop or an experiment notes of its recipe: what changed since, and what only lies elsewhere."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from datagen.errors import Paused, RunError
from datagen.pipeline import (
    Account,
    Budget,
    Run,
    Silent,
    create_run,
    list_taught_changes,
    note_recipe,
    plan_stage,
    run_jobs,
)
from datagen.runners.local import make_runner
from tests.helpers.runs import MANY, build_here, hash_files, small_recipe, write_kitchen


def write_project(folder: Path, words: str = MANY) -> dict[str, Any]:
    """Write a taxonomy and a model, and return the note of a recipe on both."""
    write_kitchen(folder, words)
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model/wrong").write_text("0.25")
    return note_recipe(Run(recipe_of(folder), ""))


def recipe_of(folder: Path, **changes: Any) -> Any:
    values = {"taxonomy": [str(folder / "kitchen.yaml")], "rewards": ["counting"], **changes}
    return small_recipe(backend={"checkpoint": str(folder / "model")}, **values)


def test_a_project_that_was_moved_is_the_same(tmp_path: Path) -> None:
    old = write_project(tmp_path / "one")
    before = copy.deepcopy(old)
    assert list_taught_changes(old, write_project(tmp_path / "two/deeper")) == []
    assert old == before


def test_another_content_is_told_wherever_it_lies(tmp_path: Path) -> None:
    old = write_project(tmp_path / "one")
    other = write_project(tmp_path / "two", words="{{ many(n, object) }}")
    assert list_taught_changes(old, other) == ["the file few.j2"]
    (tmp_path / "two/model/wrong").write_text("0.5")
    other = note_recipe(Run(recipe_of(tmp_path / "two"), ""))
    one, two = tmp_path / "one/model", tmp_path / "two/model"
    assert list_taught_changes(old, other)[0] == f"backend.checkpoint: {one} -> {two}"
    (one / "wrong").write_text("0.5")
    assert list_taught_changes(old, note_recipe(Run(recipe_of(tmp_path / "one"), ""))) == [f"backend.checkpoint: {one}"]
    assert list_taught_changes(old, note_recipe(Run(recipe_of(tmp_path / "one"), "")), keep=True) == []


def test_keys_that_teach_are_told_and_others_not(tmp_path: Path) -> None:
    old = write_project(tmp_path)
    more = {"license": "mit", "least": {"passed": 0.1}, "failure_limit": 0.1, "name": "other"}
    assert list_taught_changes(old, note_recipe(Run(recipe_of(tmp_path, **more), ""))) == []
    more = {"weights": {"policy": "best"}, "filter": "kept", "candidates": 3}
    told = list_taught_changes(old, note_recipe(Run(recipe_of(tmp_path, **more), "")))
    assert [each.partition(":")[0] for each in told] == ["candidates", "filter", "weights.policy"]


def test_what_an_old_note_lacks_is_as_it_is_now(tmp_path: Path) -> None:
    now = write_project(tmp_path)
    old = {"recipe": {key: value for key, value in now["recipe"].items() if key not in ("filter", "least", "mode")}}
    assert list_taught_changes(old, now) == []


def test_a_run_goes_on_when_its_model_was_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path / "one")
    run = create_run(recipe_of(Path("one")), "run")
    plan_stage(run, Silent())
    with pytest.raises(Paused):
        run_jobs(run, "both", make_runner(0), Silent(), Account(run, Budget(8)))
    before = hash_files(tmp_path / "run", "samples")
    for name in ("two", "three"):
        (tmp_path / "one").rename(name) if name == "two" else (tmp_path / "two").rename(name)
        create_run(recipe_of(Path(name)), "run")
    (tmp_path / "three/model/wrong").write_text("0.75")
    (tmp_path / "three").rename("four")
    with pytest.raises(RunError, match=r"backend\.checkpoint: three/model -> four/model"):
        create_run(recipe_of(Path("four")), "run")
    (tmp_path / "four/model/wrong").write_text("0.25")
    build_here(recipe_of(Path("four")), "run")
    assert before
    assert before.items() <= hash_files(tmp_path / "run", "samples").items()
