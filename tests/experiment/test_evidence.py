"""What docs/evidence.md shows are the figures that experiments wrote, unedited."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datagen.experiment import load_experiment, render_markdown
from tests.helpers.runs import ROOT

PAGE = (ROOT / "docs/evidence.md").read_text(encoding="utf-8")
FILES = sorted((ROOT / "docs/evidence").glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_page_shows_the_figures_of_each_experiment(file: Path) -> None:
    figures = json.loads(file.read_text(encoding="utf-8"))
    for table in render_markdown(figures).strip().split("\n\n"):
        assert table in PAGE
    name = file.name.split(".")[0]
    assert f"datagen experiment {name}" in PAGE
    assert f"(evidence/{file.name})" in PAGE
    experiment, _ = load_experiment(name)
    shown = {line["label"] for judges in figures["lines"].values() for line in judges["held-out"]}
    assert shown <= set(experiment.labels)
