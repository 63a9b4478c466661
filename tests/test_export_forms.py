"""One more form of a run's dataset by the command: kept when it works, forgotten when it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import datagen as dg
from datagen.cli import app
from datagen.config import Recipe
from datagen.errors import ConfigError, RunError
from datagen.export import ViewPlan, export_view
from datagen.pipeline import check_recipe, create_run, list_scorable, open_run
from datagen.taxonomy.check import check_paths
from tests.helpers.runs import build_here, small_recipe, small_values


def test_a_form_is_kept_and_a_refused_one_is_not(tmp_path: Path) -> None:
    run = tmp_path / "run"
    build_here(small_recipe(), run)

    def export(*words: str) -> None:
        CliRunner().invoke(app, ["export", str(run), *words], catch_exceptions=False)

    export("--view", "trajectories")
    assert (run / "exports" / "trajectories-jsonl" / "README.md").is_file()
    with pytest.raises(ConfigError, match="the view 'tiger' needs the likelihood of each image"):
        export("--view", "tiger")
    with pytest.raises(ConfigError, match="claims"):
        export("--view", "trajectories", "--format", "geneval")
    assert list(open_run(str(run)).recipe.exports) == ["trajectories-jsonl"]
    export()


def test_a_format_without_a_view_is_refused_by_either_door(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--format needs --view") as raised:
        CliRunner().invoke(app, ["export", "first", "--format", "chat"], catch_exceptions=False)
    assert raised.value.hint == "such as: datagen export first --view pieces --format chat"
    with pytest.raises(ConfigError, match="--format needs --view"):
        dg.Run("first").export(format="chat")
    with pytest.raises(ConfigError, match="--drop goes alone"):
        CliRunner().invoke(app, ["export", "first", "--drop", "a", "--format", "chat"], catch_exceptions=False)


def test_a_format_that_leaves_every_example_out_says_so(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path / "run")
    words = ["export", str(tmp_path / "run"), "--view", "pieces:tasks=[text to image]", "--format", "chat"]
    with pytest.raises(ConfigError, match="the format 'chat' holds nothing of what the view 'pieces' makes"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    plan = ViewPlan("pictures", "pieces", "chat", {"tasks": ["text to image"]}, {})
    with pytest.raises(RunError, match="the format 'chat' can hold none of the"):
        export_view(tmp_path / "run/dataset", tmp_path / "pictures", plan)


def test_views_and_formats_take_options_on_the_command_line(tmp_path: Path) -> None:
    run = tmp_path / "run"
    build_here(small_recipe(), run)
    words = ["--view", "pieces:tasks=[text to text, text to image],average=token", "--format", "chat:layout=messages"]
    CliRunner().invoke(app, ["export", str(run), *words], catch_exceptions=False)
    ((name, kept),) = open_run(str(run)).recipe.exports.items()
    assert kept.view.options == {"tasks": ["text to text", "text to image"], "average": "token"}
    assert (kept.format.name, kept.format.options) == ("chat", {"layout": "messages"})
    assert (run / "exports" / name / "data" / "train-00000-of-00001.parquet").is_file()
    with pytest.raises(ConfigError, match="layout"):
        CliRunner().invoke(
            app, ["export", str(run), "--view", "pieces", "--format", "chat:layout=none"], catch_exceptions=False
        )


@pytest.mark.parametrize(
    ("view", "mode", "said", "fix"),
    [
        (
            "irg",
            "think",
            "needs samples of mode 'reflect', but the recipe has 'think'",
            "build with `mode: reflect`",
        ),
        (
            "t2i_r1",
            "direct",
            "needs samples of mode 'think', but the recipe has 'direct'",
            "build with `mode: think`",
        ),
        ("uae", "direct", "needs the scorer 'reconstruction'", "add reconstruction under `rewards`"),
        ("tiger", "think", "needs the likelihood of each image", "build with the backend `gallery`"),
        (
            {"name": "pairs", "reward": "countng"},
            "think",
            "compares by 'countng', but the recipe has no such scorer",
            "did you mean 'counting'",
        ),
    ],
)
def test_a_view_that_the_run_cannot_give_is_refused_before_it_is_built(
    view: str | dict[str, str], mode: str, said: str, fix: str, tmp_path: Path
) -> None:
    word = view if isinstance(view, str) else view["name"]
    recipe = small_recipe(mode=mode, exports={"mine": {"view": view, "format": "jsonl"}})
    with pytest.raises(ConfigError) as caught:
        create_run(recipe, str(tmp_path / "run"))
    assert str(caught.value).startswith(f"exports.mine: the view {word!r} {said}")
    assert str(caught.value).split("\n")[1].startswith(fix)
    assert not (tmp_path / "run").exists()


def test_a_second_reflection_that_irg_has_no_place_for_is_refused_before_the_run(tmp_path: Path) -> None:
    backend = {"name": "embedded", "rounds": 2}
    recipe = small_recipe(mode="reflect", backend=backend, exports={"mine": {"view": "irg", "format": "jsonl"}})
    with pytest.raises(ConfigError, match="the view 'irg' takes 1 reflection a sample, but the recipe asks for 2"):
        create_run(recipe, str(tmp_path / "run"))
    create_run(small_recipe(mode="reflect", backend=backend), str(tmp_path / "run"))


@pytest.mark.parametrize("view", ["pairs", "graded"])
def test_candidates_that_are_compared_are_asked_for_before_a_run_is_built(view: str, tmp_path: Path) -> None:
    recipe = small_recipe(candidates=1, exports={"mine": {"view": view, "format": "jsonl"}})
    with pytest.raises(
        ConfigError, match=f"the view '{view}' compares the candidates of a prompt, but the recipe generates 1"
    ):
        create_run(recipe, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_check_names_the_line_of_every_view_that_no_such_run_gives(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    lines = ["exports:", "  one: {view: pairs}", "  two: {view: trajectories}", "  three: {view: irg}"]
    lines += ["candidates: 1", "mode: think", *yaml.safe_dump(bare_values()).splitlines()]
    file.write_text("\n".join(lines), encoding="utf-8")
    problems = check_paths([file], scorable=list_scorable(), models={"recipe": Recipe}, examine=check_recipe)
    assert [(problem.severity, problem.line) for problem in problems] == [("error", 2), ("error", 4)]
    assert "the recipe generates 1" in problems[0].what
    assert "build with `mode: reflect`" in problems[1].hint


def bare_values() -> dict[str, Any]:
    """A small recipe without what the test above says itself."""
    return {key: value for key, value in small_values().items() if key not in ("exports", "candidates", "mode")}
