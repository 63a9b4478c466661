"""Weights of what fails altogether, the skills that teach nothing, and the limits on what weights rest on."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen.errors import ConfigError, RunError
from datagen.export.examples import read_rows
from datagen.pipeline import Silent, open_run, weigh_run
from datagen.weighting import Policy, RewardRow, diagnose_weights, weigh
from tests.helpers.runs import build_here, run_cli, small_recipe, small_values

FAILED = "fails all that was asked, as does its whole group"
WRONG = {"backend": {"wrong": 1.0}, "rewards": ["attribute"], "taxonomy": ["attributes", "counting"]}
"""Every picture is spoiled: often no candidate of a prompt has the colours that were asked for."""


def weigh_groups(*groups: list[float | None], **fields: Any) -> list[tuple[float, str]]:
    rows = [
        RewardRow(f"{g}-{k}", f"g{g}", "w", "s", None, reward)
        for g, group in enumerate(groups)
        for k, reward in enumerate(group)
    ]
    fields = {"normalize": "none", "clip": None, **fields}
    return [(each.image_weight, each.reason.partition("image: ")[2]) for each in weigh(rows, Policy(**fields))]


@pytest.mark.parametrize("policy", ["rwr", "softmax", "advantage", "rank", "best", "threshold"])
def test_a_group_that_fails_altogether_weighs_nothing(policy: str) -> None:
    fields = {"policy": policy, "threshold": 0.0}
    assert weigh_groups([0.0, 0.0, 1e-12], [0.0], **fields) == [(0.0, FAILED)] * 4
    beside = weigh_groups([0.0, 0.0, 0.25], [0.0, 0.0], **fields)
    alone = weigh_groups([0.0, 0.0, 0.25], **fields)
    assert beside == [*alone, (0.0, FAILED), (0.0, FAILED)]
    assert alone[2][0] > 0


def test_a_failure_beside_what_passes_has_its_small_weight() -> None:
    found = [weight for weight, _ in weigh_groups([0.0, 1.0], policy="rwr", beta=0.25)]
    assert found == pytest.approx([1.0, math.exp(4)])


def test_what_is_unjudged_shows_no_group_how_it_is_done() -> None:
    assert weigh_groups([0.0, None]) == [(0.0, FAILED), (0.0, "unscored")]


def test_plain_fine_tuning_looks_at_no_reward() -> None:
    assert [weight for weight, _ in weigh_groups([0.0, 0.0], policy="uniform")] == [1.0, 1.0]


def test_skills_that_teach_nothing_are_found_by_modality_with_their_commonest_reason() -> None:
    rows = [RewardRow(f"a{k}", "a", "w", "bad", 0.5 + k / 10, 0.0) for k in range(3)]
    rows += [RewardRow(f"b{k}", "b", "w", "good", 0.5, 1.0) for k in range(2)]
    rows += [RewardRow(f"c{k}", "c", "w", "blind", 0.5, None, "", "counting: cannot see") for k in range(2)]
    report = diagnose_weights(rows, weigh(rows, Policy()), Policy())
    assert [str(skill) for skill in report.idle] == [
        f"w/bad teaches nothing: all 3 images weigh 0 (mostly: {FAILED})",
        "w/blind teaches nothing: all 2 images weigh 0 (mostly: unjudged, counting: cannot see)",
    ]
    assert [skill["path"] for skill in report.to_dict()["idle"]] == ["w/bad", "w/blind"]
    pictures = [RewardRow("a", "a", "w", "bad", None, 0.0)]
    (only,) = diagnose_weights(pictures, weigh(pictures, Policy()), Policy()).idle
    assert (only.modality, str(only)) == ("image", f"w/bad teaches nothing: its image weighs 0 (mostly: {FAILED})")


@pytest.mark.parametrize(("reward", "gap", "warns"), [(None, "", True), (None, "no detector", False), (0.5, "", False)])
def test_rows_that_nothing_could_score_are_warned_of(reward: float | None, gap: str, warns: bool) -> None:
    rows = [RewardRow(f"a{k}", "a", "w", "s", None, reward, "", gap) for k in range(2)]
    report = diagnose_weights(rows, weigh(rows, Policy()), Policy())
    assert any("nothing could be scored" in warning for warning in report.warnings) == warns
    assert bool(report.idle) == bool(gap), "and a gap is told by skill"
    assert diagnose_weights([], [], Policy()).warnings == ()


def test_console_report_and_card_name_what_teaches_nothing(tmp_path: Path) -> None:
    """Words that are never right, and numbers that always are."""
    values = small_values(backend={"wrong": 0.0}, taxonomy=["counting", "text_rendering"])
    values["rewards"] = ["counting", "tests.helpers.no_word"]
    values |= {"allocate": {"policy": "manual", "shares": {"counting/one_kind": 1, "text_rendering/word": 1}}}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({**values, "validation_share": 0.0}), encoding="utf-8")
    built = run_cli("build", file, "--run", tmp_path / "run", "--workers", "0")
    assert built.returncode == 0, built.stderr
    sentence = f"text_rendering/word teaches nothing: all 8 images weigh 0 (mostly: {FAILED})"
    assert sentence in built.stdout
    assert "counting/one_kind teaches" not in built.stdout
    assert sentence in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    card = (tmp_path / "run" / "dataset" / "README.md").read_text(encoding="utf-8")
    assert f"* {sentence}".replace("_", "&#95;") in card
    groups: dict[str, list[Any]] = defaultdict(list)
    for row in read_rows(tmp_path / "run" / "dataset", "train"):
        groups[row["skill"]].append((row["image_weight"] > 0, json.loads(row["receipt"])["reason"]))
    assert {kept for kept, _ in groups["one_kind"]} == {True}
    assert {(kept, FAILED in reason) for kept, reason in groups["word"]} == {(False, True)}


def test_least_stops_a_run_before_its_export_and_a_look_at_it_does_not(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        build_here(small_recipe(**WRONG, least={"passed": 0.9, "effective": 0.95}), tmp_path / "a")
    said = str(caught.value)
    assert "the weights rest on too little: attributes, image: effective size" in said
    assert "attributes: " in said.partition("samples passed, but must be 90%")[0]
    assert "--set least=null" in said
    assert not (tmp_path / "a" / "dataset").exists()
    run = open_run(str(tmp_path / "a"))
    with pytest.raises(RunError, match="rest on too little"):
        weigh_run(run, Silent())
    assert weigh_run(run, Silent(), look=True).weights
    weigh_run(open_run(str(tmp_path / "a"), ["least=null"]), Silent())
    assert open_run(str(tmp_path / "a")).recipe.least is None


def test_least_counts_what_nobody_judged(tmp_path: Path) -> None:
    """Two samples that are judged and pass are no tenth of twenty."""
    least = {"rewards": ["counting"], "detector": "tests.helpers.modest", "backend": {"wrong": 0.0}}
    _, built = build_here(small_recipe(**least, taxonomy=["counting"]), tmp_path / "a")
    share = sum(bool(row.passed) for row in built.weighed.rows) / 20
    assert 0 < share < 1
    for limit, stops in ((share, False), (share + 0.01, True)):
        run = open_run(str(tmp_path / "a"), [f"least.passed={limit}"])
        if not stops:
            assert weigh_run(run, Silent()).weights
            continue
        with pytest.raises(RunError, match=f"counting: {round(share * 20)} of 20 samples passed"):
            weigh_run(run, Silent())


def test_a_modality_without_scorers_has_no_least(tmp_path: Path) -> None:
    recipe = small_recipe(rewards=["counting"], backend={"wrong": 0.0}, taxonomy=["counting"], least={"effective": 0.9})
    _, built = build_here(recipe, tmp_path / "a")
    assert all(weight.text_weight == 0 for weight in built.weighed.weights)


@pytest.mark.parametrize("least", [{"effective": 1.5}, {"passd": 0.1}, {"passed": -0.1}])
def test_a_wrong_least_is_refused(least: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="least"):
        small_recipe(least=least)
