"""Each recipe builds and exports on the embedded model, a handful of prompts; what it exports is what it promises."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datagen.config import load_recipe
from datagen.documents.geneval_lines import line_of
from datagen.errors import BackendError, ConfigError
from datagen.export.examples import Row, read_rows
from datagen.pipeline import Run, Silent, create_run, plan_stage
from datagen.prompts.geneval_forms import FORM_COUNTS, geneval_forms
from datagen.prompts.templated import plan_prompts
from datagen.taxonomy import load_lexicon, load_taxonomy, resolve_lexicon
from datagen.taxonomy.lexicon import Lexicon
from tests.helpers.runs import build_here

Line = dict[str, Any]
SMALL = ("shard_prompts=240", "validation_share=0.0")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Build a shipped recipe, made small."""

    def call(name: str, prompts: int, *changes: str) -> Run:
        recipe = load_recipe(name, (f"prompts={prompts}", *SMALL, *changes))
        return build_here(recipe, tmp_path_factory.mktemp("runs") / name)[0]

    return call


def rows_of(run: Run) -> dict[str, Row]:
    return {row["id"]: row for row in read_rows(run.folder.local_path / "dataset", "train")}


def lines_of(run: Run, export: str) -> list[Line]:
    path = run.folder.local_path / "exports" / export / "train.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{**line, "facts": json.loads(line["facts"])} for line in lines]


def image_of(run: Run, export: str, part: Line) -> bytes:
    return (run.folder.local_path / "exports" / export / part["image"]).read_bytes()


@pytest.mark.parametrize(
    ("arm", "weaknesses"),
    [
        ("", {"counting", "spatial", "attributes", "text_rendering"}),
        ("_broad", {"counting", "spatial", "attributes", "text_rendering", "composition", "logic"}),
        ("_benchmark_aligned", {"geneval_forms"}),
    ],
)
def test_the_arms_of_weakness_targeted_differ_in_their_prompts_alone(
    tmp_path: Path, arm: str, weaknesses: set[str]
) -> None:
    recipe, first = load_recipe(f"weakness_targeted{arm}", SMALL), load_recipe("weakness_targeted", SMALL)
    differs = {key for key, value in recipe.to_dict().items() if value != first.to_dict()[key]}
    assert differs <= {"name", "taxonomy", "allocate"}
    run = create_run(recipe, str(tmp_path / "run"))
    plan_stage(run, Silent())
    share = Counter(prompt.weakness for prompt in run.folder.read_prompts(0))
    assert share.keys() == weaknesses
    if arm == "_broad":
        assert max(share.values()) - min(share.values()) <= 2
    if not arm:
        assert max(share, key=lambda name: share[name]) == "counting"


@pytest.mark.parametrize("arm", ["", "_broad", "_benchmark_aligned"])
def test_weakness_targeted_thinks_draws_and_weighs_both(build: Callable[..., Run], arm: str) -> None:
    run = build(f"weakness_targeted{arm}", 12, "candidates=3")
    rows = rows_of(run)
    whole = lines_of(run, "whole")
    assert {line["id"] for line in whole} == {row["id"] for row in rows.values() if row["kept"]}
    for line in whole:
        row = rows[line["id"]]
        assert [part["role"] for part in line["parts"]] == ["prompt", "think", "image"]
        assert [part["loss"] for part in line["parts"]] == [0, row["text_weight"], row["image_weight"]]
        assert line["parts"][1]["switch"] == row["text_weight"]
        assert (row["switch"], row["engine"]) == ("autonomous", "embedded/2")
    for modality in ("text", "image"):
        assert len({row[f"{modality}_weight"] for row in rows.values()}) > 1
    assert all(row["text_reward"] <= row["image_reward"] for row in rows.values() if row["image_reward"] is not None)
    loss: dict[str, float] = defaultdict(float)
    for piece in lines_of(run, "pieces"):
        loss[piece["facts"]["trajectory"]] += sum(part["loss"] + part["switch"] for part in piece["parts"])
    assert loss == {line["id"]: pytest.approx(sum(p["loss"] + p["switch"] for p in line["parts"])) for line in whole}
    provenance = json.loads(next(iter(rows.values()))["provenance"])
    assert (provenance["model"]["name"], provenance["license"]) == ("embedded", "apache-2.0")
    assert provenance["fingerprint"] == run.folder.read_notes()["fingerprint"]


def test_benchmark_aligned_prompts_have_the_forms_of_geneval_in_its_proportions() -> None:
    recipe = load_recipe("weakness_targeted_benchmark_aligned")
    prompts = list(plan_prompts(load_taxonomy(recipe.taxonomy, "everyday"), 553, 1))
    assert Counter(prompt.skill for prompt in prompts) == FORM_COUNTS
    everyday = load_lexicon(resolve_lexicon("everyday"))
    forms = {(p.skill, shape(p.text, everyday)) for p, _ in geneval_forms(everyday, 1)}
    ours = {(prompt.skill, shape(prompt.text, everyday)) for prompt in prompts}
    assert {(skill, text) for skill, text in ours if skill not in ("position", "single_object")} <= forms
    assert {text for skill, text in forms if skill == "single_object"} < {t for s, t in ours if s == "single_object"}
    for prompt in prompts:
        line_of(prompt.claims, prompt.skill, prompt.text)  # GenEval's evaluator can read every one


def test_the_arms_of_weakness_targeted_have_equally_many_prompts() -> None:
    for arm in ("", "_broad", "_benchmark_aligned"):
        run = Run(load_recipe(f"weakness_targeted{arm}"), "")
        prompts = list(plan_prompts(run.taxonomy, run.recipe.prompts, run.recipe.seed, shares=run.shares))
        assert len(prompts) == 240
    assert sum(prompt.skill == "single_object" for prompt in prompts) == round(240 * 80 / 553)


def shape(text: str, lexicon: Lexicon) -> str:
    """A prompt with its things, colours and numbers taken out."""
    for name, mark in (("objects", "THING"), ("colors", "COLOUR")):
        for word in sorted(lexicon.lists[name], key=lambda each: -len(each.name)):
            for form in (word.plural, word.name):
                text = re.sub(rf"\b{re.escape(form)}\b", mark, text)
    return re.sub(r"\b(?:two|three|four)\b", "NUMBER", text).replace(" an ", " a ")


def test_lencom_asks_for_its_three_kinds_and_measures_words(build: Callable[..., Run]) -> None:
    run = build("lencom", 9, "candidates=1")
    rows = list(rows_of(run).values())
    assert {"phrase", "rare_words"} < {row["skill"] for row in rows}
    assert {row["skill"] for row in rows} & {"misspelt", "keyboard_typo", "split_word"}
    for row in rows:
        (claim,) = row["claims"]
        assert (claim["kind"], row["mode"]) == ("text", "direct")
        assert claim["value"] in row["prompt"]
        assert row["reward_text_mario"] == row["image_reward"] is not None
        assert None not in [row[f"reward_text_{name}"] for name in ("longtext", "oneig", "cvtg", "tiif")]
    assert all(len(row["claims"][0]["value"].split()) >= 4 for row in rows if row["skill"] == "phrase")
    assert {(row["image_reward"], row["kept"]) for row in rows} == {(0.0, False)}, "the embedded model fails at all"
    card = (run.folder.local_path / "dataset" / "README.md").read_text(encoding="utf-8")
    assert card.count("teaches nothing") == len({row["skill"] for row in rows})


def test_unifluid_trains_both_tasks_with_one_balance(build: Callable[..., Run]) -> None:
    run = build("unifluid", 12, "candidates=2", "exports.both.view.balance=0.25")
    rows = rows_of(run)
    lines = lines_of(run, "both")
    right = {row["id"] for row in rows.values() if row["passed"]}
    assert 0 < len(right) < len(rows)
    for task in ("text to image", "image to text"):
        assert {line["facts"]["pair"] for line in lines if line["task"] == task} == right
    for line in lines:
        target, row = line["parts"][-1], rows[line["facts"]["pair"]]
        if line["task"] == "image to text":
            assert (target["text"], target["loss"]) == (row["prompt"], 0.25)
            assert image_of(run, "both", line["parts"][0]) == row["images"][0]
            assert line["parts"][1]["text"] == "Describe the image."
        else:
            assert target["loss"] == 1
            assert image_of(run, "both", target) == row["images"][0]


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("ernie_vilg", ["image to text", "text to image"]),
        ("du_vlg", ["image denoising", "image to text", "text denoising", "text to image"]),
    ],
)
def test_pairs_are_trained_in_both_directions(build: Callable[..., Run], name: str, tasks: list[str]) -> None:
    run = build(name, 8, "candidates=2")
    by_pair: dict[str, dict[str, Line]] = defaultdict(dict)
    for line in lines_of(run, "both"):
        by_pair[line["facts"]["pair"]][line["task"]] = line
    right = {row["id"] for row in rows_of(run).values() if row["passed"]}
    assert by_pair.keys() == right
    assert right
    for made in by_pair.values():
        assert sorted(made) == tasks
        drawn, said = made["text to image"], made["image to text"]
        assert (drawn["parts"][0]["text"], said["parts"][-1]["text"]) == (said["parts"][-1]["text"],) * 2
        assert drawn["parts"][-1]["image"] == said["parts"][0]["image"]
        if name == "du_vlg":
            torn, masked = made["image denoising"], made["text denoising"]
            assert torn["parts"][-1]["image"] == drawn["parts"][-1]["image"] != torn["parts"][0]["image"]
            assert masked["parts"][-1]["text"] == drawn["parts"][0]["text"]
            assert "[MASK]" in masked["parts"][1]["text"]


def test_preference_yields_pairs_groups_and_prompts(build: Callable[..., Run]) -> None:
    run = build("preference", 10, "candidates=4")
    rows = rows_of(run)
    groups: dict[str, list[float]] = defaultdict(list)
    for row in rows.values():
        if row["image_reward"] is not None:
            groups[row["prompt_id"]].append(row["image_reward"])
    spread = {name: max(rewards) - min(rewards) for name, rewards in groups.items()}
    pairs = lines_of(run, "pairs")
    assert {pair["group"] for pair in pairs} == {name for name, margin in spread.items() if margin >= 0.25}
    for pair in pairs:
        assert pair["facts"]["margin"] == pytest.approx(spread[pair["group"]])
        assert rows[pair["facts"]["rejected_id"]]["image_reward"] == pair["facts"]["rejected_reward"]
        assert [part["role"] for part in pair["rejected"]] == ["think", "image"]
    graded = lines_of(run, "graded")
    assert Counter(line["group"] for line in graded) == {name: len(rewards) for name, rewards in groups.items()}
    sums: dict[str, float] = defaultdict(float)
    for line in graded:
        sums[line["group"]] += line["facts"]["advantage"]
    assert list(sums.values()) == pytest.approx([0.0] * len(sums))
    prompts = lines_of(run, "prompts")
    assert {line["id"] for line in prompts} == {name for name, margin in spread.items() if margin > 0}
    assert all(len(line["parts"]) == 1 and line["facts"]["claims"] for line in prompts)


def test_tiger_ranks_found_and_drawn_images_together_and_keeps_the_decision(
    build: Callable[..., Run], tmp_path: Path
) -> None:
    """The gallery is another run, of the same prompts and more: what is asked for is there."""
    gallery = build(
        "ernie_vilg", 16, "candidates=2", "rewards=[counting, attribute]", "exports={}", "taxonomy=counting"
    )
    dataset = gallery.folder.local_path / "dataset"
    run = build(
        "tiger", 6, f"backend.images={dataset}", "seed=1", "candidates=3", "taxonomy=counting", "backend.priors=8"
    )
    rows = rows_of(run)
    shown = {row["images"][-1] for row in rows_of(gallery).values()}
    decisions = lines_of(run, "decisions")
    assert {line["id"] for line in decisions} == {row["prompt_id"] for row in rows.values()}
    for line in decisions:
        facts = line["facts"]
        ranking = facts["ranking"]
        assert [each["score"] for each in ranking] == sorted((each["score"] for each in ranking), reverse=True)
        assert {each["source"] for each in ranking} == {"gallery", "generated"}
        assert facts["decision"] == ranking[0]["source"]
        others = [each["score"] for each in ranking if each["source"] != facts["decision"]]
        assert facts["margin"] == pytest.approx(ranking[0]["score"] - others[0])
        for each in ranking:
            row = rows[each["id"]]
            assert (row["images"][-1] in shown) == (each["source"] == "gallery") == (row["engine"] == "gallery/1")
            value = row["reward_likelihood"]
            assert math.log(value / (1 - value)) == pytest.approx(each["score"], abs=1e-6)
            assert each["score"] == pytest.approx((each["log_given"] - each["log_prior"]) / 36)
        assert image_of(run, "decisions", line["parts"][-1]) == rows[ranking[0]["id"]]["images"][-1]
        assert [row["id"] for row in rows.values() if row["prompt_id"] == line["id"] and row["kept"]] == [
            ranking[0]["id"]
        ]
        assert rows[ranking[0]["id"]]["reward_counting"] is not None


def test_without_a_gallery_no_run_that_is_to_decide_is_built(build: Callable[..., Run], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the view 'tiger' needs the likelihood of each image") as caught:
        build("ernie_vilg", 2, "candidates=1", "rewards=[counting]", "failure_limit=1", "exports={d: {view: tiger}}")
    assert "the backend `gallery`" in str(caught.value.hint)
    with pytest.raises(BackendError, match="there is no gallery") as missing:
        build("tiger", 2, f"backend.images={tmp_path / 'nothing'}")
    assert "datagen build quickstart" in str(missing.value.hint)
