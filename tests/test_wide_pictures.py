"""Runs whose pictures are not square, and what a report says of a corpus of written words, through the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from datagen.scoring.rendered import score_mario
from tests.helpers.runs import run_cli
from tests.helpers.scorers import choose

LEXICON = """
version: 1
lexicon: sides
objects: [{singular: cat, plural: cats, article: a}, {singular: dog, plural: dogs, article: a}]
relations:
  - {name: left of, phrase: to the left of}
  - {name: right of, phrase: to the right of}
  - {name: above, phrase: above}
  - {name: below, phrase: below}
"""
SCORERS = ["geneval", "geneval_strict", "spatial", "compbench_spatial", "plan", "got_layout"]
TRUE = {"relation(cat, right of, dog)", "relation(dog, left of, cat)"}


def build(folder: Path, recipe: dict[str, object]) -> Path:
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    done = run_cli("build", folder / "recipe.yaml", "--run", folder / "run", "--workers", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run"


def read_lines(run: Path, part: str) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted((run / part).glob("*.jsonl")) for line in path.open(encoding="utf-8")]


def test_a_wide_picture_is_judged_by_its_own_sides(tmp_path: Path) -> None:
    """In thousandths of each side the two things stand on a diagonal; in the picture they stand beside each other."""
    (tmp_path / "sides.yaml").write_text(LEXICON, encoding="utf-8")
    recipe = {
        "taxonomy": ["spatial"],
        "lexicon": str(tmp_path / "sides.yaml"),
        "prompts": 12,
        "candidates": 1,
        "backend": {"name": "tests.helpers.wide"},
        "detector": "tests.helpers.wide_eyes",
        "rewards": [choose(name).model_dump() for name in SCORERS],
    }
    run = build(tmp_path, recipe)
    claims = {prompt["id"]: prompt["claims"] for prompt in read_lines(run, "prompts")}
    seen = set()
    for line in read_lines(run, "scores"):
        (asked,) = (c for c in claims[line["sample_id"].rpartition("-")[0]] if c["kind"] == "relation")
        claim = f"relation({asked['subject']}, {asked['name']}, {asked['value']})"
        said = line["evidence"].get("passed", line["evidence"].get("holds"))
        assert said is (claim in TRUE), (line["name"], claim, line["reason"])
        seen.add((line["name"], said))
    assert seen == {(name, said) for name in SCORERS for said in (True, False)}


def test_the_report_gives_what_the_benchmark_would_say_of_the_whole_corpus(tmp_path: Path) -> None:
    recipe = {
        "taxonomy": ["text_rendering"],
        "lexicon": "pictograms",
        "prompts": 6,
        "candidates": 2,
        "backend": {"name": "tests.helpers.instant"},
        "detector": "learned",
        "rewards": ["text", *({"name": "text", "metric": name} for name in ("mario", "oneig", "cvtg"))],
    }
    run = build(tmp_path, recipe)
    mario = [line for line in read_lines(run, "scores") if line["name"] == "text_mario"]
    figures = score_mario(line["evidence"] for line in mario)
    page = (run / "report.html").read_text(encoding="utf-8")
    noted = re.findall(r"As the benchmark counts them together:([^<]*)</p>", page)
    assert any("ED " in note and "CR " in note for note in noted)
    assert any("word_accuracy " in note for note in noted)
    (said,) = (note for note in noted if "recall" in note)
    assert " ".join(said.split()) == ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    assert 0 < figures["F"] < 1
