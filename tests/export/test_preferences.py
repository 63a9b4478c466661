"""Pairs and graded groups, each against a slow reading of its definition, and through a real dataset."""

from __future__ import annotations

import json
import random
import statistics
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from export_cases import draw_png, export

from datagen.errors import ConfigError, RunError
from datagen.export import ExportItem, ViewPlan, check_view, export_view
from datagen.export.examples import read_rows
from datagen.export.views import graded, pairs
from datagen.weighting import Weight

TEXT = {"kind": "text", "role": "think", "text": "thought", "image": None}
IMAGE = {"kind": "image", "role": "image", "text": None, "image": 0}


def make_group(rng: random.Random, name: str) -> list[dict[str, Any]]:
    """One to six candidates with rewards on a coarse scale, so that ties and missing rewards are common."""
    rows = []
    for k in range(rng.randint(1, 6)):
        reward = rng.choice([None, 0.0, 0.25, 0.5, 1.0, round(rng.random(), 3)])
        rows.append(
            {
                **{"id": f"{name}-{k:02d}", "prompt_id": name, "group_id": name, "prompt": "3 stars", "candidate": k},
                **{"image_reward": reward, "text_reward": 0.5, "reward_my_pkg_sharp": reward, "passed": None},
                **{"text_weight": 0.0, "image_weight": 0.0, "kept": False, "switch": "autonomous", "seed": k},
                **{"weakness": "counting", "skill": "s", "level": "", "engine": "e", "claims": []},
                **{"segments": [TEXT, IMAGE], "images": [draw_png("red", 4)]},
            }
        )
    return rows


@pytest.mark.parametrize("which", ["best", "all"])
def test_pairs_are_those_of_the_definition(which: Any) -> None:
    rng = random.Random(5)
    found = 0
    for number in range(300):
        group, least = make_group(rng, f"p{number}"), rng.choice([0.0, 0.25, 0.3])
        wanted = {
            (a["id"], b["id"]): a["image_reward"] - b["image_reward"]
            for a, b in permutations(group, 2)
            if None not in (a["image_reward"], b["image_reward"])
            and a["image_reward"] > b["image_reward"]
            and a["image_reward"] - b["image_reward"] >= least
        }
        options = pairs.Options(pairs=which, min_margin=least)
        made = {(e.facts["chosen_id"], e.facts["rejected_id"]): e for e in pairs.view(group, options)}
        if which == "all":
            assert made.keys() == wanted.keys()
        elif wanted:
            (only,) = made
            assert wanted[only] == max(wanted.values())
        else:
            assert not made
        for key, example in made.items():
            assert example.facts["margin"] == pytest.approx(wanted[key])
        found += len(made)
    assert found > 150


def test_advantages_are_those_of_the_definition() -> None:
    rng = random.Random(6)
    flat = 0
    for number in range(300):
        group = make_group(rng, f"p{number}")
        rewards = {row["id"]: row["image_reward"] for row in group if row["image_reward"] is not None}
        made = {example.id: example.facts for example in graded.view(group, graded.Options())}
        assert made.keys() == (rewards.keys() if len(rewards) > 1 else set())
        for name, facts in made.items():
            mean, std = statistics.fmean(rewards.values()), statistics.stdev(rewards.values())
            assert facts["reward"] == rewards[name]
            assert facts["advantage"] == pytest.approx((rewards[name] - mean) / (std + 1e-4))
            assert facts["group_size"] == len(rewards)
        equal = len(rewards) > 1 and len(set(rewards.values())) == 1
        flat += equal
        left = list(graded.view(group, graded.Options(drop_equal=True)))
        assert len(left) == (0 if equal else len(made))
    assert flat > 10


def test_a_pair_is_two_whole_answers_that_count_one(items: list[ExportItem], tmp_path: Path) -> None:
    dataset = export(items, tmp_path / "dataset").path
    plan = ViewPlan("pairs", "pairs", "jsonl", {}, {})
    result = export_view(dataset, tmp_path / "exports" / "pairs", plan)
    rows = {row["id"]: row for split in result.examples for row in read_rows(dataset, split)}
    lines = [json.loads(x) for split in result.examples for x in (result.path / f"{split}.jsonl").open()]
    assert len(lines) == 12  # candidates score 0, 0.5, 1 and None: one pair a prompt
    for line in lines:
        facts = json.loads(line["facts"])
        better, worse = rows[facts["chosen_id"]], rows[facts["rejected_id"]]
        assert (better["image_reward"], worse["image_reward"], facts["margin"]) == (1.0, 0.0, 1.0)
        assert [part["role"] for part in line["parts"]] == ["prompt", "think", "image"]
        assert [part["role"] for part in line["rejected"]] == ["think", "image"]
        assert [part["loss"] for part in line["parts"]] == [0, 1, 1]
        assert [part["loss"] for part in line["rejected"]] == [1, 1]
        assert (result.path / line["rejected"][1]["image"]).read_bytes() == worse["images"][0]


def test_a_prompt_list_has_each_prompt_once_with_its_claims(items: list[ExportItem], tmp_path: Path) -> None:
    dataset = export(items, tmp_path / "dataset", validation_share=0.0).path
    made = list(graded.view(read_rows(dataset, "train"), graded.Options(each="prompt")))
    assert len(made) == len({item.prompt.id for item in items}) == 12
    for example in made:
        (part,) = example.parts
        assert not part.learned
        assert example.facts["rewards"] == [0.0, 0.5, 1.0]
        assert example.facts["claims"][0]["kind"] == "count"


@pytest.mark.parametrize("reward", ["image", "text", "plan"])
def test_what_is_left_out_is_in_no_pair_mean_or_group(items: list[ExportItem], tmp_path: Path, reward: str) -> None:
    """The best of the candidates of a prompt, which score 0, 0.5, 1 and None (their texts 0 to 0.75)."""
    best = 2 if reward == "image" else 3
    away = [
        replace(item, weight=Weight(item.sample.id, 0.0, 0.0, False, "", "rejected by a person"))
        if item.sample.candidate == best
        else item
        for item in items
    ]
    dataset = export(away, tmp_path / "dataset", validation_share=0.0).path
    found = {}
    for word in ("pairs", "graded"):
        plan = ViewPlan(word, word, "jsonl", {"reward": reward}, {})
        path = export_view(dataset, tmp_path / "exports" / word, plan).path / "train.jsonl"
        found[word] = [json.loads(line) for line in path.open()]
    facts = [json.loads(line["facts"]) for line in found["pairs"]]
    assert len(facts) == 12
    assert {each["chosen_id"].rpartition("-")[2] for each in facts} == {f"{best - 1:02d}"}
    assert {each["margin"] for each in facts} == {0.5}
    graded_ids = {line["id"].rpartition("-")[2] for line in found["graded"]}
    assert graded_ids == {f"{k:02d}" for k in range(best)}
    assert {json.loads(line["facts"])["group_size"] for line in found["graded"]} == {best}
    assert {json.loads(line["facts"])["group_mean"] for line in found["graded"]} == {0.25}


def test_any_scorer_can_grade_and_an_unknown_one_is_named() -> None:
    group = make_group(random.Random(8), "p")
    by_scorer = list(pairs.view(group, pairs.Options(reward="my_pkg.sharp")))
    assert [e.facts["margin"] for e in by_scorer] == [e.facts["margin"] for e in pairs.view(group, pairs.Options())]
    for view in (pairs, graded):
        with pytest.raises(RunError, match="no reward 'sharpness' in this run"):
            list(view.view(group, view.Options(reward="sharpness")))


def test_a_run_without_two_candidates_gives_no_pair(items: list[ExportItem], tmp_path: Path) -> None:
    dataset = export(items[::4], tmp_path / "dataset").path
    for word in ("pairs", "graded"):
        with pytest.raises(RunError, match=f"the view '{word}' finds no example") as caught:
            export_view(dataset, tmp_path / "exports" / word, ViewPlan(word, word, "jsonl", {}, {}))
        assert "two candidates of one prompt" in str(caught.value.hint)


@pytest.mark.parametrize("option", [{"min_margin": -0.1}, {"pairs": "some"}, {"margin": 0.1}])
def test_a_wrong_option_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        check_view(ViewPlan("p", "pairs", "jsonl", option, {}))
