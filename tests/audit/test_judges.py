"""Both judges of pictograms on scenes that neither was made with, and that a faulty one is found out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datagen.audit.judges import NAMES, compare_judges, make_judges, rate_judges
from datagen.audit.scenes import CHANGES, TRUE, Case, make_cases
from datagen.audit.trust import Row
from datagen.config import make_recipe
from datagen.pipeline import Run
from datagen.prompts.templated import sample_prompt
from datagen.records import UNNAMED, Detection
from datagen.rewards.words import text
from datagen.scoring.tools import make_tools
from datagen.vision import ocr as _ocr
from tests.helpers.runs import build_here, small_recipe

WEAKNESSES = ["counting", "spatial", "attributes", "text_rendering"]


@pytest.fixture(scope="module")
def run() -> Run:
    recipe = make_recipe({"taxonomy": WEAKNESSES, "lexicon": "pictograms", "rewards": ["counting"], "name": "a"})
    return Run(recipe, "audit")


@pytest.fixture(scope="module")
def cases(run: Run) -> list[Case]:
    return list(make_cases([sample_prompt(skill, k, 77) for skill in run.taxonomy.skills for k in range(5)], 77))


def find_row(rows: list[Row], weakness: str, scenes: str) -> dict[str, Any]:
    (row,) = [row for row in rows if (row["weakness"], row["scenes"]) == (weakness, scenes)]
    return dict(row)


def test_each_judge_is_right_on_true_and_on_broken_scenes(run: Run, cases: list[Case]) -> None:
    rows, by_scene = rate_judges(make_judges(run), cases)
    assert {row["weakness"] for row in rows} == {"all", *WEAKNESSES}
    for scenes in ("true", "broken"):
        row = find_row(rows, "all", scenes)
        assert row["cases"] >= 100
        for judge in NAMES:
            assert row[judge] + row[f"{judge} leaves open"] >= 0.98
    assert find_row(rows, "all", "true")["pictograms"] >= 0.98
    assert find_row(rows, "all", "true")["learned"] >= 0.98
    assert [row["scene"] for row in by_scene] == [change for change in CHANGES if change != "order"]
    for row in by_scene:
        for judge in NAMES:
            passes = float(row[f"{judge} passes"] or 0)
            if row["scene"] in ("true", "moved", "moved to the border"):
                assert passes >= 0.98, row
            else:
                assert passes <= 0.05, row


def test_a_judge_that_sees_nothing_is_found_out(run: Run, cases: list[Case]) -> None:
    judges = {"learned": make_judges(run)["learned"], "blind": make_tools(lambda image: [], lambda image: [])}
    row = find_row(rate_judges(judges, [case for case in cases if case.change == TRUE])[0], "all", "true")
    assert row["blind"] == row["blind leaves open"] == 0
    assert row["agree"] == pytest.approx(1 - row["learned"])


def test_what_no_judge_can_name_is_left_open(run: Run, cases: list[Case]) -> None:
    judges = {"unsure": make_tools(lambda image: [Detection(UNNAMED, "", (0, 0, 1000, 1000), 1.0)], lambda image: [])}
    rows, by_scene = rate_judges(
        judges, [case for case in cases if not case.scene.items or not case.scene.items[0].word]
    )
    assert all(row["unsure"] == 0 and row["unsure leaves open"] == 1 for row in rows)
    assert all(row["unsure passes"] == 0 for row in by_scene)


def test_a_recipe_that_reads_with_its_detector_leaves_the_ocr_to_the_other_judge(
    cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ocr, "build", lambda: lambda image: ["from the OCR"])
    run = Run(small_recipe(detector="learned"), "audit")
    case = next(case for case in cases if case.prompt.weakness == "text_rendering")
    sample = case.as_sample()
    assert sample.image is not None
    assert text.score(case.prompt, sample, run.tools).value == 1
    judges = make_judges(run)
    assert judges["learned"].read_text(sample.image) == run.tools.read_text(sample.image)
    assert judges["pictograms"].read_text(sample.image) == ["from the OCR"]


def test_judges_are_compared_on_what_was_drawn(tmp_path: Path) -> None:
    run, _ = build_here(small_recipe(backend={"wrong": 0.5}), tmp_path / "run")
    judges = make_judges(run)
    rows, divided = compare_judges(judges, run, most=3)
    by = {row["weakness"]: row for row in rows}
    assert by["all"]["cases"] == 20
    assert by["all"]["same verdict"] == by["all"]["same things"] == 1
    assert 0 < by["all"]["pictograms passes"] == by["all"]["learned passes"] < 1
    assert divided == []
    blind = {**judges, "blind": make_tools(lambda image: [], lambda image: [])}
    rows, divided = compare_judges(blind, run, most=3)
    assert rows[0]["same things"] == 0
    assert len(divided) == 3
    assert all("found" in str(row["blind"]) for row in divided)


def test_damaged_images_belong_to_no_share_and_are_counted(tmp_path: Path) -> None:
    run, _ = build_here(small_recipe(), tmp_path / "run")
    whole = list(run.folder.read_samples(0))
    pictures = [replace(whole[0].segments[-1], image=image) for image in (b"not an image", b"")]
    damaged = [replace(whole[k], segments=(picture,)) for k, picture in enumerate(pictures)]
    run.folder.write_samples(0, [*damaged, *whole[2:]])
    rows, divided = compare_judges(make_judges(run), run, most=3)
    assert (rows[0]["weakness"], rows[0]["cases"], rows[0]["unreadable"]) == ("all", 18, 2)
    assert sum(row["unreadable"] for row in rows[1:]) == 2
    assert divided == []
