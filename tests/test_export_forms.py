"""One more form of a run's dataset by the command: kept when it works, forgotten when it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from datagen.cli import app
from datagen.errors import RunError
from datagen.pipeline import open_run
from tests.helpers.runs import build_here, small_recipe


def test_a_form_is_kept_and_a_refused_one_is_not(tmp_path: Path) -> None:
    run = tmp_path / "run"
    build_here(small_recipe(), run)

    def export(*words: str) -> None:
        CliRunner().invoke(app, ["export", str(run), *words], catch_exceptions=False)

    export("--view", "trajectories")
    assert (run / "exports" / "trajectories-jsonl" / "README.md").is_file()
    with pytest.raises(RunError, match="irg"):
        export("--view", "irg")
    assert list(open_run(str(run)).recipe.exports) == ["trajectories-jsonl"]
    export()
