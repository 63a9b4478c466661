from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from datagen.checking import check_files
from datagen.cli import app
from datagen.config import Recipe, find_recipe, load_recipe
from datagen.errors import ConfigError
from datagen.project import PARTS, draft_part, init_project, name_project, write_new
from datagen.prompts.templated import plan_prompts
from datagen.taxonomy import load_taxonomy
from datagen.taxonomy.check import check_paths
from tests.helpers.runs import environment, run_cli

SCORABLE = frozenset({"count", "attribute", "relation", "text"})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, and the folder in which commands run."""
    init_project(tmp_path / "shop")
    monkeypatch.chdir(tmp_path / "shop")
    return tmp_path / "shop"


def call(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_new_project_is_without_a_problem(tmp_path: Path) -> None:
    files = init_project(tmp_path / "mine")
    assert all(file.is_file() for file in files)
    assert check_paths([tmp_path / "mine"], scorable=SCORABLE, models={"recipe": Recipe}) == []


def test_its_recipe_gives_all_the_prompts_it_asks_for(tmp_path: Path) -> None:
    init_project(tmp_path / "shop")
    recipe = load_recipe(tmp_path / "shop" / "recipes" / "shop.yaml")
    taxonomy = load_taxonomy(recipe.taxonomy, recipe.lexicon or "pictograms")
    prompts = list(plan_prompts(taxonomy, recipe.prompts, recipe.seed))
    assert recipe.name == "shop"
    assert len(prompts) == recipe.prompts
    assert {prompt.weakness for prompt in prompts} == {"shop"}
    assert {prompt.level for prompt in prompts} == {"easy", "medium", "hard"}


@pytest.mark.parametrize(
    ("folder", "name"),
    [("My shop", "my_shop"), ("2nd-try", "project_2nd_try"), ("__", "project"), ("a" * 99, "a" * 40)],
)
def test_a_project_takes_the_name_of_its_folder(tmp_path: Path, folder: str, name: str) -> None:
    assert name_project(tmp_path / folder) == name
    files = init_project(tmp_path / folder)
    assert files[-1].name == f"{name}.yaml"
    assert check_paths([tmp_path / folder], scorable=SCORABLE, models={"recipe": Recipe}) == []


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    recipe = tmp_path / "shop" / "recipes" / "shop.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("mine")
    with pytest.raises(ConfigError, match=r"there already: .+recipes/shop"):
        init_project(tmp_path / "shop")
    assert recipe.read_text() == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [recipe]


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert len(init_project(tmp_path)) == 4
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_every_new_part_is_sound_and_takes_what_the_project_has(project: Path) -> None:
    drafts = [draft_part(kind, "two", ["taxonomies/shop.yaml", "recipes/shop.yaml"]) for kind in PARTS]
    write_new({project / path: text for draft in drafts for path, text in draft.items()})
    assert check_files([project]) == []
    assert load_recipe(project / "recipes/two.yaml").taxonomy == ["taxonomies/shop.yaml"]
    own = load_recipe(project / "recipes/two.yaml", [("lexicon", "taxonomies/lexicons/two.yaml")])
    assert len(list(plan_prompts(load_taxonomy(own.taxonomy, own.lexicon or ""), 24, 1))) == 24
    assert (
        "recipe: ../recipes/two.yaml"
        in draft_part("experiment", "two", ["recipes/a.yaml", "recipes/two.yaml"])["experiments/two.yaml"]
    )
    assert "taxonomy: [counting]" in draft_part("recipe", "two")["recipes/two.yaml"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("lexicon", "../two"), ("recipe", "a/b"), ("template", "/a"), ("template", "a/"), ("taxonomy", ""), ("page", "a")],
)
def test_a_part_without_a_plain_name_is_refused(kind: str, name: str) -> None:
    with pytest.raises(ConfigError):
        draft_part(kind, name)


def test_where_one_new_file_cannot_be_written_none_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_new({tmp_path / "one": "1", tmp_path / "file/two": "2"})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be written"):
        init_project(tmp_path / "file")


def test_a_command_in_a_project_means_its_only_recipe(project: Path) -> None:
    assert find_recipe() == find_recipe("shop") == Path("recipes/shop.yaml")
    assert "shop/few" in call("plan", "--no-probe")
    assert find_recipe("reflect").name == "reflect.yaml", "what the project lacks is what ships"


def test_a_recipe_of_the_project_goes_before_a_shipped_one(project: Path) -> None:
    (project / "recipes" / "quickstart.yaml").write_text((project / "recipes" / "shop.yaml").read_text())
    assert find_recipe() == find_recipe("quickstart") == Path("recipes/quickstart.yaml")


def test_among_several_recipes_none_is_guessed(project: Path) -> None:
    (project / "recipes" / "other.yaml").write_text((project / "recipes" / "shop.yaml").read_text())
    with pytest.raises(ConfigError, match="which recipe"):
        find_recipe()
    with pytest.raises(ConfigError) as raised:
        find_recipe("shp")
    assert raised.value.hint == "did you mean 'shop'?"


def test_preview_and_check_show_the_skills_of_the_project(project: Path) -> None:
    lines = call("preview").splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["shop/few", "shop/pair"]
    assert call("preview", "shop").splitlines() == lines
    assert "counting/one_kind" in call("preview", "counting", "-n", "1"), "a shipped one by its name"
    call("check", "shop")


def test_a_project_builds_in_the_three_commands_that_init_prints(tmp_path: Path) -> None:
    printed = run_cli("init", "my shop", cwd=tmp_path).stdout
    *_, enter, preview, build = (line.strip() for line in printed.splitlines())
    assert enter == "cd 'my shop'"
    build += " --set prompts=4 --set candidates=1 --workers 0"
    done = subprocess.run(
        f"{enter} && {preview} && {build}", shell=True, cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my shop/outputs/my_shop/report.html").is_file()
    (text,) = [line for line in done.stdout.splitlines() if line.startswith("my_shop   text")]
    assert float(text.split()[5]) > 0, "its plans have a reward"
    assert "my_shop" in run_cli("status", cwd=tmp_path / "my shop").stdout
