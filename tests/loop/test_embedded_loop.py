"""A loop of one tiny round on the model that ships, with its own trainer, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.helpers.runs import run_cli


def test_the_embedded_model_goes_once_around(tmp_path: Path) -> None:
    values = {"taxonomy": ["attributes"], "prompts": 6, "candidates": 2, "shard_prompts": 8, "rewards": ["attribute"]}
    train = {"steps": 2, "batch": 4, "detector": "learned", "backend": {"temperature": 0.5}}
    values |= {"backend": {"name": "embedded", "threads": 1}, "train": train}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**values, "lexicon": "pictograms"}))
    words = ("loop", "tiny.yaml", "--rounds", "1", "--prompts", "2", "--workers", "0")
    done = run_cli(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "another model" not in done.stdout + done.stderr, "it is meant to draw otherwise than it is measured"
    folder = tmp_path / "outputs/tiny-loop"
    found = json.loads((folder / "loop.json").read_text())
    assert [each["round"] for each in found["rounds"]] == [0, 1]
    checkpoint = folder / "rounds/01/checkpoint"
    assert json.loads((checkpoint / "training.json").read_text())["steps"] == 2
    recipe = yaml.safe_load((folder / "rounds/01/probe/run.yaml").read_text())["recipe"]
    assert recipe["backend"]["checkpoint"] == "outputs/tiny-loop/rounds/01/checkpoint"
    state = (checkpoint / "state.pt").stat().st_mtime_ns
    told = json.loads(run_cli(*words, "--json", cwd=tmp_path).stdout)
    assert set(told) == {"rounds", "stopped", "best", "page"}
    assert set(told["rounds"][1]) == {"number", "pass_1", "reward", "gain", "kept"}
    assert (checkpoint / "state.pt").stat().st_mtime_ns == state, "it is not trained twice"
