from __future__ import annotations

from pathlib import Path

import pytest

from datagen.config import Recipe, load_recipe
from datagen.errors import ConfigError
from datagen.project import FILES, init_project
from datagen.prompts.templated import plan_prompts
from datagen.taxonomy import load_taxonomy
from datagen.taxonomy.check import check_paths

SCORABLE = frozenset({"count", "attribute", "relation", "text"})


def test_a_new_project_is_without_a_problem(tmp_path: Path) -> None:
    files = init_project(tmp_path / "mine")
    assert all(file.is_file() for file in files)
    assert check_paths([tmp_path / "mine"], scorable=SCORABLE, models={"recipe": Recipe}) == []


def test_its_recipe_gives_all_the_prompts_it_asks_for(tmp_path: Path) -> None:
    init_project(tmp_path)
    recipe = load_recipe(tmp_path / "recipes" / "first.yaml")
    taxonomy = load_taxonomy(recipe.taxonomy, recipe.lexicon or "pictograms")
    prompts = list(plan_prompts(taxonomy, recipe.prompts, recipe.seed))
    assert len(prompts) == recipe.prompts
    assert {prompt.level for prompt in prompts} == {"easy", "hard"}


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    recipe = tmp_path / "recipes" / "first.yaml"
    recipe.parent.mkdir()
    recipe.write_text("mine")
    with pytest.raises(ConfigError, match="a project already: recipes/first"):
        init_project(tmp_path)
    assert recipe.read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [recipe]


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    init_project(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(FILES) == 3


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot write the project"):
        init_project(tmp_path / "file")
