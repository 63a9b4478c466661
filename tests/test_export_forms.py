"""One more form of a run's dataset by the command: kept when it works, forgotten when it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from datagen.cli import app
from datagen.errors import ConfigError, RunError
from datagen.pipeline import create_run, open_run
from tests.helpers.runs import build_here, small_recipe


def test_a_form_is_kept_and_a_refused_one_is_not(tmp_path: Path) -> None:
    run = tmp_path / "run"
    build_here(small_recipe(), run)

    def export(*words: str) -> None:
        CliRunner().invoke(app, ["export", str(run), *words], catch_exceptions=False)

    export("--view", "trajectories")
    assert (run / "exports" / "trajectories-jsonl" / "README.md").is_file()
    with pytest.raises(RunError, match="tiger"):
        export("--view", "tiger")
    assert list(open_run(str(run)).recipe.exports) == ["trajectories-jsonl"]
    export()


@pytest.mark.parametrize(
    ("view", "mode", "said", "fix"),
    [
        (
            "irg",
            "think",
            "is about samples of mode 'reflect', and the recipe has 'think'",
            "build with `mode: reflect`",
        ),
        (
            "t2i_r1",
            "direct",
            "is about samples of mode 'think', and the recipe has 'direct'",
            "build with `mode: think`",
        ),
        ("uae", "direct", "needs the scorer 'reconstruction'", "add reconstruction under `rewards`"),
    ],
)
def test_a_view_that_the_run_cannot_give_is_refused_before_it_is_built(
    view: str, mode: str, said: str, fix: str, tmp_path: Path
) -> None:
    recipe = small_recipe(mode=mode, exports={"mine": {"view": view, "format": "jsonl"}})
    with pytest.raises(ConfigError) as caught:
        create_run(recipe, str(tmp_path / "run"))
    assert str(caught.value).startswith(f"exports.mine: the view {view!r} {said}")
    assert str(caught.value).split("\n")[1].startswith(fix)
    assert not (tmp_path / "run").exists()
