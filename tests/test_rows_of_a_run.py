"""Judgements and repairs of a real run of the embedded model: what they say of an image is what is in it."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from datagen.config import load_recipe
from datagen.export.examples import read_rows
from datagen.taxonomy.english import number_word, plural_of
from datagen.vision.detectors.pictograms import PictogramDetector
from tests.helpers.runs import build_here, small_recipe

NUMBER = re.compile(r"(?:Is|Are) there exactly (\w+) (.+) in the image\? Answer in one word\.")
EXPORTS = "{asked: {view: judgements}, mended: {view: repairs}, irg: {view: {name: irg, repairs: true, stage: 2}}}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    changes = ("taxonomy=counting", "prompts=16", "rewards=[counting]", "validation_share=0.0", f"exports={EXPORTS}")
    home = tmp_path_factory.mktemp("runs") / "run"
    build_here(load_recipe("quickstart", changes), home)
    return home


def read(run: Path, export: str) -> list[dict[str, Any]]:
    lines = (run / "exports" / export / "train.jsonl").read_text(encoding="utf-8").splitlines()
    return [{**json.loads(line), "facts": json.loads(json.loads(line)["facts"])} for line in lines]


def count_things(run: Path, export: str, part: dict[str, Any]) -> Counter[str]:
    image = (run / "exports" / export / part["image"]).read_bytes()
    return Counter(thing.label for thing in PictogramDetector()(image))


def test_the_answer_to_how_many_is_what_is_in_the_image(run: Path) -> None:
    lines = read(run, "asked")
    assert lines
    for line in lines:
        image, question, answer = line["parts"]
        asked = NUMBER.fullmatch(question["text"])
        assert asked, question["text"]
        found = count_things(run, "asked", image)
        names = {name: n for name, n in found.items() if asked[2] in (name, plural_of(name))}
        right = [number_word(n) for n in names.values()] == [asked[1]]
        assert answer["text"] == ("Yes" if right else "No")
    said = Counter((line["facts"]["skill"], line["facts"]["answer"]) for line in lines)
    assert all(said[skill, "Yes"] == said[skill, "No"] > 0 for skill, _ in said)


def test_a_repair_goes_from_an_image_that_fails_to_one_that_passes(run: Path) -> None:
    rows = {row["id"]: row for row in read_rows(run / "dataset", "train")}
    lines = read(run, "mended")
    assert lines
    for line in lines:
        wrong, right = rows[line["facts"]["wrong_id"]], rows[line["facts"]["right_id"]]
        assert (wrong["prompt"], wrong["passed"], right["passed"]) == (right["prompt"], False, True)
        _, before, words, after = line["parts"]
        wanted = {claim["subject"]: int(claim["value"]) for claim in right["claims"] if claim["kind"] == "count"}
        for part, holds in ((before, False), (after, True)):
            found = count_things(run, "mended", part)
            assert all(found[name] == n for name, n in wanted.items()) is holds
        assert words["text"] == wrong["reason_counting"]


def test_repairs_fill_the_improving_modes_of_a_run_that_never_improved(run: Path) -> None:
    made = [line for line in read(run, "irg") if line["task"] == "improving_full"]
    assert {line["id"].removesuffix("-improving_full") for line in made} == {line["id"] for line in read(run, "mended")}
    assert all(line["facts"]["gain"] > 0 for line in made)


def test_what_only_evaluates_leaves_nothing_in_the_regions(tmp_path: Path) -> None:
    """They are learned (SRUM), so the judge of the outcome must not be in them."""
    both: dict[str, Any] = {"taxonomy": ["spatial"], "rewards": ["counting", "plan"], "backend": {"wrong": 0.9}}
    build_here(small_recipe(**both, evaluate=["spatial"]), tmp_path / "held")
    build_here(small_recipe(**both), tmp_path / "alone")
    held, alone = (read_rows(tmp_path / name / "dataset", "train") for name in ("held", "alone"))
    regions = [[row["regions"] for row in rows] for rows in (held, alone)]
    assert regions[0] == regions[1]
    assert any(regions[0])
