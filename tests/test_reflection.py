"""Reflection through the pipeline: both images are scored, the gain is kept, reported and exported."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from datagen.errors import ConfigError, PluginError
from datagen.pipeline import Run, create_run
from datagen.pipeline.views import find_gain, judge_rounds
from datagen.records import Claim, Prompt, Score
from datagen.weighting import RewardRow
from tests.helpers.report_page import read_cards
from tests.helpers.runs import build_here, small_recipe


def image_score(name: str, *rounds: tuple[float | None, bool | None]) -> Score:
    (last, passed), evidence = rounds[-1], {"rounds": [list(each) for each in rounds]}
    return Score("s", name, "image", last, "", evidence if passed is None else {**evidence, "passed": passed})


def judge(scores: list[Score], image: str = "product", **changes: Any) -> list[tuple[float | None, bool | None]]:
    """The reward and the verdict after each image, of a prompt that claims a number and a colour."""
    rewards = ["counting", "attribute", "spatial", "plan"]
    recipe = small_recipe(mode="reflect", rewards=rewards, aggregate={"image": image}, **changes)
    where = {"weakness": "counting", "skill": "one_kind", "level": "easy", "index": 0, "seed": 0, "template": "t"}
    prompt = Prompt.make(
        "a red cup", (Claim("count", "cup", value=1), Claim("attribute", "cup", "color", "red")), **where
    )
    return [(row.image, row.passed) for row in judge_rounds(Run(recipe, "nowhere"), prompt, scores)]


def test_rewards_by_round_are_joined_like_the_reward_itself() -> None:
    scores = [
        image_score("counting", (0.5, False), (1.0, True)),
        image_score("attribute", (0.8, True), (0.5, False)),
        image_score("spatial", (None, None), (None, None)),
        Score("s", "plan", "text", 0.1, ""),
    ]
    assert judge(scores) == [(0.4, False), (0.5, False)]
    weighted = [reward for reward, _ in judge(scores, "0.75*counting + 0.25*attribute * plan")]
    assert weighted == pytest.approx([0.75 * 0.5 + 0.25 * 0.08, 0.75 + 0.25 * 0.05])


def test_a_round_in_which_a_scorer_could_not_judge_its_claims_has_no_reward_and_passes_not() -> None:
    plan, colored = Score("s", "plan", "text", 1.0, ""), image_score("attribute", (1.0, True), (1.0, True))
    scores = [image_score("counting", (None, None), (0.5, False)), colored, plan]
    assert judge(scores) == [(None, None), (0.5, False)]
    assert judge(scores, weights={"unjudged": "keep"})[0] == (1.0, True)
    scores[1] = image_score("attribute", (0.0, False), (1.0, True))
    assert judge(scores)[0] == (None, False), "one failure decides, whatever else is open"


def test_a_gain_is_of_two_rounds_that_have_a_reward() -> None:
    def gain(*rewards: float | None) -> float | None:
        return find_gain([RewardRow("", "p", "w", "s", None, reward) for reward in rewards])

    assert gain(0.25, 0.0, 1.0) == 0.75
    assert gain(1.0, 0.5) == -0.5
    assert gain(None, 1.0) is gain(1.0, None) is gain(1.0) is gain() is None


def test_a_reflecting_run_keeps_both_images_and_what_it_gained(tmp_path: Path) -> None:
    run, _ = build_here(small_recipe(mode="reflect"), tmp_path / "run")
    rows = load_dataset(str(tmp_path / "run" / "dataset"), split="train")
    assert [part["role"] for part in rows[0]["segments"]] == ["think", "image", "look", "reflect", "refined image"]
    assert all(len(images) == 2 for images in rows["images"])
    gains = [gain for gain in rows["gain"] if gain is not None]
    assert min(gains) >= 0
    assert max(gains) > 0
    scores = run.folder.read_scores(0)
    judged = [score for score in scores if score.target == "image" and score.value is not None]
    assert all(score.evidence["rounds"][-1][0] == score.value for score in judged)
    page = tmp_path / "run" / "report.html"
    assert "Revised 1: reward (pass)" in page.read_text(encoding="utf-8")
    captions = [picture["caption"] for card in read_cards(page) for picture in card["pictures"]]
    assert any(re.fullmatch(r"first ✗ 0\.\d\d", caption) for caption in captions)
    assert "revised 1 ✓ 1.00" in captions


def test_a_run_without_reflection_does_not_speak_of_it(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "h-rounds" not in page
    rows = load_dataset(str(tmp_path / "run" / "dataset"), split="train")
    assert set(rows["gain"]) == {None}


def test_a_backend_that_does_not_reflect_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    recipe = small_recipe(mode="reflect", backend={"name": "tests.helpers.deaf", "fault": "swapped"})
    with pytest.raises(ConfigError, match="does not reflect"):
        create_run(recipe, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_scorer_that_asks_needs_a_judge(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'vqa' asks a judge"):
        create_run(small_recipe(rewards=["vqa"]), str(tmp_path / "run"))
    with pytest.raises(PluginError, match="no backend named 'nobody'"):
        create_run(small_recipe(rewards=["vqa"], judge="nobody"), str(tmp_path / "run"))
    run = create_run(small_recipe(rewards=["vqa"], judge="tests.helpers.instant"), str(tmp_path / "run"))
    with pytest.raises(ConfigError, match="does not answer questions"):
        _ = run.judge


def test_a_judge_scores_through_the_pipeline(tmp_path: Path) -> None:
    recipe = small_recipe(rewards=["counting", "vqa"], judge={"name": "tests.helpers.judge", "says": "No"})
    run, _ = build_here(recipe, tmp_path / "run")
    scores = [score for score in run.folder.read_scores(0) if score.name == "vqa"]
    assert [score.value for score in scores] == pytest.approx([0.1] * len(scores))
    assert scores
    assert all(score.evidence["holds"] is False for score in scores)
