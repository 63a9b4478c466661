"""A recipe that is changed in Python is the one that the command line would load, and mistakes are told as there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import datagen as dg
from datagen.config import load_recipe
from datagen.plugins import shipped_path
from tests.helpers import instant
from tests.helpers.runs import small_values

NAMES = sorted(path.stem for path in shipped_path("recipes").glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_recipe_is_the_one_that_set_makes(name: str) -> None:
    words = ["prompts=7", "weights.policy=rank", "aggregate.image=mean"]
    loaded = load_recipe(name, words)
    assert dg.Recipe.load(name).set(*words).to_dict() == loaded.to_dict()
    keys: dict[str, Any] = {"prompts": 7, "weights.policy": "rank", "aggregate.image": "mean"}
    assert dg.Recipe.load(name).set(**keys).to_dict() == loaded.to_dict()


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_recipe_loads_as_it_was(name: str, tmp_path: Path) -> None:
    recipe = dg.Recipe.load(name).set(prompts=9)
    assert load_recipe(recipe.save(tmp_path / "deep" / "mine.yaml")).to_dict() == recipe.to_dict()


def test_a_recipe_of_plain_values_is_that_of_a_file(tmp_path: Path) -> None:
    values = small_values()
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    assert dg.Recipe.load(values).to_dict() == load_recipe(file).to_dict()


def test_set_leaves_the_recipe_as_it_was() -> None:
    recipe = dg.Recipe.load(small_values())
    before = recipe.to_dict()
    recipe.set("backend.wrong=0.1", prompts=3)
    assert recipe.to_dict() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda recipe: recipe.set(prompts="many"), "prompts: must be a whole number, not 'many'"),
        (lambda recipe: recipe.set(promts=3), "did you mean 'prompts'"),
        (lambda recipe: recipe.set("prompts"), "is not key=value"),
        (lambda recipe: recipe.set(rewards=["conting"]), "did you mean 'counting'"),
        (lambda recipe: recipe.set(rewards=[lambda prompt, sample, tools: None]), "cannot be found again by its name"),
        (lambda recipe: recipe.set(backend=instant.Instant()), "cannot stand in a recipe"),
        (lambda recipe: recipe.set(rewards=["tests.helpers.instant:nothing"]), "'tests.helpers.instant:nothing'"),
        (lambda recipe: recipe.set(rewards=["tests.helpers.nowhere:thing"]), "cannot be imported"),
    ],
)
def test_a_mistake_is_named(change: Callable[[dg.Recipe], object], said: str) -> None:
    with pytest.raises(dg.ConfigError) as caught:
        change(dg.Recipe.load(small_values()))
    assert said in str(caught.value)


def test_a_function_inside_a_function_is_refused() -> None:
    def inner(prompt: object, sample: object, tools: object) -> dg.Verdict:
        return dg.Verdict(1.0, "")

    with pytest.raises(dg.ConfigError, match="at the top level of a module or notebook"):
        dg.Recipe.load(small_values()).set(rewards=[inner])


def test_modules_and_classes_stand_for_their_words() -> None:
    recipe = dg.Recipe.load(small_values(backend={}))
    assert recipe.set(backend=instant).backend.name == "tests.helpers.instant"
    recipe = recipe.set(backend={"name": instant.Instant, "wrong": 0.2})
    assert (recipe.backend.name, recipe.backend.options) == ("tests.helpers.instant:Instant", {"wrong": 0.2})


def test_a_recipe_shows_itself() -> None:
    recipe = dg.Recipe.load(small_values())
    assert repr(recipe) == "<recipe small: 10 prompts of counting, attributes, 2 each>"
    assert dg.Recipe.load(yaml.safe_load(str(recipe))).to_dict() == recipe.to_dict()
