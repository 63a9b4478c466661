"""`datagen loop` from end to end with the instant backend and a trainer of its own, a real process."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from datagen.config import Recipe, make_recipe
from datagen.errors import ConfigError, Paused, RunError
from datagen.loop import LoopPlan, LoopResult, run_loop
from datagen.pipeline import Budget, Silent, open_run
from datagen.runners.local import make_runner
from tests.helpers.runs import ROOT, hash_files, small_values

TRAINER = f"{shlex.quote(sys.executable)} {ROOT / 'tests/helpers/trainer.py'} --data {{dataset}} --out {{checkpoint}}"


def loop_recipe(more: str = "", **changes: Any) -> Recipe:
    train = {"command": f"{TRAINER} {more}", "into": "backend.checkpoint", **changes.pop("train", {})}
    values = {"taxonomy": ["attributes"], "rewards": ["counting", "attribute"], "backend": {"wrong": 0.5}}
    values |= {"evaluate": [{"name": "attribute", "as": "held_out"}], "same_judge": True, "train": train}
    return make_recipe(small_values(**{**values, **changes}))


def loop(folder: Path, recipe: Recipe, rounds: int = 2, budget: Budget | None = None, **more: Any) -> LoopResult:
    plan = LoopPlan(recipe, folder, rounds, prompts=12, candidates=2, **more)
    return run_loop(plan, make_runner(0), Silent(), lambda _: None, budget)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop whose first round makes the model faultless."""
    folder = tmp_path_factory.mktemp("loop") / "one"
    loop(folder, loop_recipe())
    return folder


def test_a_round_that_helps_is_kept(done: Path) -> None:
    found = json.loads((done / "loop.json").read_text())
    assert found["best"] == 1
    first, second = found["rounds"][:2]
    assert first["pass_1"]["value"] < 0.8 < second["pass_1"]["value"]
    assert second["helps"]
    assert second["gain"]["low"] > 0
    assert (done / "best").resolve() == (done / "rounds/01/checkpoint").resolve()
    assert (done / "best/wrong").read_text() == "0.0"
