"""What a scorer is worth: figures worked out by hand, and scorers with a known fault that the audit must find."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from datagen.audit import audit_recipe, audit_scenes, conclude
from datagen.audit.scenes import Case
from datagen.audit.trust import Opinion, Row, rate, truth_for
from datagen.config import make_recipe
from datagen.embedded.pictograms import Item, Scene
from datagen.errors import ConfigError, RunError
from datagen.records import Claim, Prompt, Sample, Verdict
from tests.helpers.runs import run_cli

COUNT, COLOR = Claim("count", "star", "", 1), Claim("attribute", "star", "color", "red")
WHERE = {"weakness": "w", "skill": "s", "level": "", "index": 0, "seed": 0, "template": ""}


def make_case(**truth: bool | None) -> Case:
    marks = {COUNT: truth.get("count"), COLOR: truth.get("color")}
    return Case(
        Prompt.make("a red star", (COUNT, COLOR), **WHERE),
        Scene("white", (Item("star", "red", 0, 0, 2, 2),)),
        "true",
        marks,
    )


def opinion(value: float | None, truth: bool, seconds: float = 0.002) -> Opinion:
    return Opinion("x", make_case(), value, None if value is None else value >= 0.5, "", truth, seconds)


def test_figures_worked_out_by_hand() -> None:
    row = rate([opinion(0.9, True), opinion(0.2, True), opinion(0.6, False), opinion(0.1, False), opinion(None, True)])
    assert row["cases"] == 5
    assert row["unjudged"] == 1
    assert row["accuracy"] == 0.5
    assert row["AUC"] == 0.75
    assert row["false pass"] == 0.5
    assert row["false fail"] == 0.5
    assert row["calibration error"] == pytest.approx((0.1 + 0.8 + 0.6 + 0.1) / 4)
    assert row["ms"] == pytest.approx(2.0)


def test_nothing_judged_has_no_figures() -> None:
    row = rate([opinion(None, True)])
    assert row["accuracy"] is row["AUC"] is row["false pass"] is row["calibration error"] is None


@pytest.mark.parametrize(
    ("count", "color", "kinds", "truth"),
    [
        (True, False, {"count"}, True),
        (True, False, {"attribute"}, False),
        (True, False, {"count", "attribute"}, False),
        (True, None, {"count", "attribute"}, None),
        (False, None, {"count", "attribute"}, False),
        (True, True, {"text"}, None),
    ],
)
def test_truth_is_that_of_the_claims_a_scorer_judges(
    count: bool, color: bool | None, kinds: set[str], truth: bool | None
) -> None:
    assert truth_for(make_case(count=count, color=color), kinds) is truth


def plant(monkeypatch: pytest.MonkeyPatch, name: str, score: Any) -> str:
    package, module = ModuleType("planted"), ModuleType(f"planted.{name}")
    module.TARGET, module.JUDGES, module.score = "image", frozenset({"count"}), score  # type: ignore[attr-defined]
    package.__path__ = []  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "planted", package)
    monkeypatch.setitem(sys.modules, f"planted.{name}", module)
    return f"planted.{name}"


def audit(*rewards: str) -> dict[str, list[dict[str, Any]]]:
    recipe = make_recipe({"taxonomy": ["counting"], "lexicon": "pictograms", "rewards": list(rewards), "name": "a"})
    return audit_scenes(recipe, per_skill=4, seed=5)


def test_a_scorer_that_always_passes_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def score(prompt: Prompt, sample: Sample, tools: object) -> Verdict:
        return Verdict(1.0, "fine", {"passed": True})

    rows = {row["scorer"]: row for row in audit("counting", plant(monkeypatch, "kind", score))["scorers"]}
    good, bad = rows["counting"], rows["planted.kind"]
    assert good["accuracy"] >= 0.98
    assert (bad["false pass"], bad["false fail"], bad["AUC"]) == (1.0, 0.0, 0.5)


def test_a_bias_shows_in_its_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    from datagen.rewards.objects import counting

    def score(prompt: Prompt, sample: Sample, tools: Any) -> Verdict:
        crowded = len(tools.detect(sample.image)) >= 5
        return Verdict(0.0, "too many", {"passed": False}) if crowded else counting.score(prompt, sample, tools)

    name = plant(monkeypatch, "shy", score)
    rows = {row["bucket"]: row["accuracy"] for row in audit(name)["bias"] if row["by"] == "crowd"}
    assert rows["5 or more things"] < 0.9 <= rows["2 things"]


def test_a_scorer_that_raises_or_answers_nan_is_unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)

    def score(prompt: Prompt, sample: Sample, tools: object) -> Verdict:
        if rng.random() < 0.5:
            raise RuntimeError("no")
        return Verdict(float("nan"), "nan")

    (row,) = audit(plant(monkeypatch, "broken", score))["scorers"]
    assert row["unjudged"] == row["cases"] > 0
    assert row["accuracy"] is None


def test_a_model_that_is_not_reached_ends_the_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    def score(prompt: Prompt, sample: Sample, tools: object) -> Verdict:
        raise ConnectionError("HTTP 503")

    with pytest.raises(RunError, match=r"planted.down: HTTP 503"):
        audit("counting", plant(monkeypatch, "down", score))


def test_prompts_that_the_world_cannot_draw_are_refused() -> None:
    recipe = make_recipe({"taxonomy": ["counting"], "lexicon": "everyday", "rewards": ["counting"], "name": "a"})
    with pytest.raises(ConfigError, match="there are no scenes"):
        audit_scenes(recipe, per_skill=2, seed=1)


@pytest.mark.parametrize(
    ("picture_sizes", "rewards", "said"),
    [
        (0, ["plan"], "judges what scenes show"),
        (0, ["blank"], "judges what scenes show"),
        (1, ["plan"], "judges images"),
    ],
)
def test_a_recipe_without_a_scorer_for_the_pictures_is_told_so(
    picture_sizes: int, rewards: list[str], said: str
) -> None:
    recipe = make_recipe({"taxonomy": ["counting"], "lexicon": "pictograms", "rewards": rewards, "name": "a"})
    with pytest.raises(ConfigError, match=f"no scorer {said}") as raised:
        audit_recipe(recipe, picture_sizes=picture_sizes, prompts=1)
    assert "rewards=[counting]" in raised.value.hint


def test_runs_are_opened_before_scenes_are_judged() -> None:
    nothing = make_recipe({"taxonomy": ["counting"], "lexicon": "everyday", "rewards": ["counting"], "name": "a"})
    for before in (None, "never"):
        with pytest.raises(RunError, match="no such run"):
            audit_recipe(nothing, run="nope", before=before)
    with pytest.raises(ConfigError, match="--before needs --run"):
        audit_recipe(nothing, before="nope")


def test_the_command_prints_every_table_for_programs(tmp_path: Path) -> None:
    seen = ("--set", "taxonomy=[counting, spatial, attributes]", "--set", "rewards=[counting, attribute]")
    done = run_cli("audit", "quickstart", *seen, "--prompts", 1, "--json")
    assert done.returncode == 0, done.stderr
    assert all(title in done.stdout for title in ("scorers", "scenes", "bias"))
    tables = json.loads(done.stdout)["tables"]
    broken = {row["scene"]: row for row in tables["judges by scene"]}
    extras = ("small", "cut", "touching", "overlapping", "off the grid")
    for change in (*(f"one more, {how}" for how in extras), "two colours", "partly rubbed out"):
        assert broken[change]["pictograms passes"] == broken[change]["learned passes"] == 0, broken[change]
    for change in ("true", "moved", "moved to the border"):
        assert broken[change]["pictograms"] == broken[change]["learned"] == 1, broken[change]
    counted = {row["scene"]: row for row in tables["scenes"] if row["scorer"] == "counting"}
    assert counted["one more, cut"]["passes"] == 0 < counted["one more, cut"]["unjudged"]


def test_an_audit_ends_with_a_verdict_on_each_scorer() -> None:
    def row(name: str, accuracy: float | None, passes: float | None) -> Row:
        return {"scorer": name, "weakness": "all", "accuracy": accuracy, "false pass": passes, "false fail": 0.02}

    rows = [row("good", 0.99, 0.0), row("lax", 0.96, 0.2), row("bad", 0.6, 0.5), row("idle", None, None)]
    assert conclude({"scorers": [*rows, {**rows[2], "weakness": "counting"}]}) == [
        "good: can be trusted: right on 99.0% of the scenes that it judged",
        "lax: with care: right on 96.0% of the scenes that it judged, passes 20.0% of the broken",
        "bad: with care: right on 60.0% of the scenes that it judged, passes 50.0% of the broken",
        "idle: no verdict, it judged none of these scenes",
    ]


def test_a_verdict_that_depends_on_the_size_is_told_with_the_size() -> None:
    rows: list[Row] = [
        {"scorer": "sharpness", "on": "paintings", "pictures": 4, "96 px": 0.5, "256 px": 0.8, "1024 px": 1.0},
        {"scorer": "counting", "on": "scenes", "pictures": 4, "96 px": 1.0, "256 px": 1.0, "1024 px": 1.0},
    ]
    assert conclude({"same verdict by size": rows}) == [
        "sharpness on paintings: its verdict depends on the size: at 96 px it is the same for 50%",
        "counting on scenes: its verdict does not depend on the size",
    ]
