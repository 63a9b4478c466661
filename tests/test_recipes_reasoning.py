"""Recipes of methods that reason before they draw: each builds and exports on the embedded model, kept tiny."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from datagen.config import load_recipe
from datagen.errors import RunError
from datagen.export import ViewPlan, export_view
from datagen.export.examples import read_rows
from datagen.export.views.irg import MODES
from datagen.scoring.layout import read_layout
from tests.helpers.runs import build_here

TINY = (
    *("shard_prompts=8", "validation_share=0", "failure_limit=1", "taxonomy=[counting, spatial, attributes]"),
    *("backend.batch_size=8", "backend.threads=1"),
)
"""Enough to see every part work; no words in the pictures, so that no OCR has to load."""
WILD = "backend.temperature=1.4"
"""Easy prompts come out right every time, and a group of equals has no advantage: here some go wrong."""


@dataclass(frozen=True)
class Built:
    """The rows of a built recipe by id, and the lines of each of its exports."""

    path: Path
    rows: dict[str, dict[str, Any]]
    exports: dict[str, list[dict[str, Any]]]


Build = Callable[..., Built]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Build a recipe at its smallest, once; `changes` are further overrides."""
    known: dict[tuple[str, ...], Built] = {}

    def make(name: str, *changes: str) -> Built:
        if (name, *changes) not in known:
            path = tmp_path_factory.mktemp(name) / "run"
            build_here(load_recipe(name, [*TINY, *changes]), path)
            rows = {row["id"]: dict(row) for row in read_rows(path / "dataset", "train")}
            exports = {file.parent.name: read_lines(file) for file in (path / "exports").glob("*/train.jsonl")}
            known[name, *changes] = Built(path, rows, exports)
        return known[name, *changes]

    return make


def read_lines(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{**line, "facts": json.loads(line.get("facts", "{}"))} for line in lines]


def by_role(line: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {part["role"]: part for part in line["parts"]}


def build_got(build: Build) -> Built:
    return build("got_r1", "prompts=8", "candidates=4", WILD)


@pytest.mark.parametrize("backend", ["embedded", "tests.helpers.instant"])
def test_irg_teaches_what_each_sample_may_teach(build: Build, backend: str) -> None:
    own = ["backend={name: tests.helpers.instant}"] if backend != "embedded" else []
    built = build("irg", "prompts=6", "candidates=2", *own)
    tasks: dict[str, set[str]] = defaultdict(set)
    for line in [*built.exports["stage1"], *built.exports["stage2"]]:
        sample, mode = line["id"].split("-", 2)[:2], line["task"]
        row = built.rows["-".join(sample)]
        tasks[mode].add(row["id"])
        assert [name for name in by_role(line) if name != "prompt"] == [
            {"T1": "think", "I1": "image", "T2": "reflect", "I2": "refined image"}[name]
            for name in MODES[mode]
            if name != "prompt"
        ]
        assert (line["facts"]["gain"] > 0) if mode.startswith("improving") else True
        for part in line["parts"]:
            if part["kind"] == "image" and not part["loss"]:
                assert part["sees"] == ("vit" if mode.endswith("understanding") else "vae+vit")
            assert part["loss"] in (0, row["text_weight"] if part["kind"] == "text" else row["image_weight"])
    assert {line["task"] for line in built.exports["stage2"]} <= {"initial_full", "improving_full"}
    kept = {row["id"]: row["gain"] for row in built.rows.values() if row["kept"]}
    assert tasks["initial_full"] == {name for name, gain in kept.items() if gain is not None and gain <= 0}
    assert tasks["improving_full"] == {name for name, gain in kept.items() if gain is not None and gain > 0}
    if backend != "embedded":  # the embedded model seldom repairs an image
        assert tasks["improving_full"]


def test_uae_keeps_the_captions_that_were_scored(build: Build) -> None:
    small = [f"{key}.{name}" for key in ("judge", "drawer") for name in ("batch_size=8", "threads=1")]
    built = build("uae", "prompts=4", "candidates=2", *small)
    assert {row["mode"] for row in built.rows.values()} == {"direct"}
    scored = {name: row for name, row in built.rows.items() if row["reward_reconstruction"] is not None}
    assert len(scored) >= len(built.rows) / 2
    for row in scored.values():
        assert read_layout(row["caption"]).things  # the embedded model describes in its own plans
        assert row["text_reward"] == row["image_reward"] == row["reward_reconstruction"]
        assert row["text_weight"] == row["image_weight"] > 0
    lines = {line["id"]: line for line in built.exports["tasks"]}
    assert set(lines) == {f"{name}-{task}" for name in scored for task in ("caption", "redraw")}
    for name, row in scored.items():
        caption, redraw = lines[f"{name}-caption"], lines[f"{name}-redraw"]
        assert by_role(caption)["caption"]["text"] == by_role(redraw)["prompt"]["text"] == row["caption"]
        assert (by_role(caption)["image"]["sees"], by_role(caption)["image"]["loss"]) == ("vit", 0)
        assert by_role(caption)["caption"]["loss"] == by_role(redraw)["image"]["loss"] == row["text_weight"]
        stored = built.path / "exports" / "tasks" / by_role(redraw)["image"]["image"]
        assert stored.read_bytes() == row["images"][0]
    listed = built.exports["prompts"]
    assert [line["id"] for line in listed] == list(built.rows)
    assert not any(part["loss"] for line in listed for part in line["parts"])


def test_got_r1_multiplies_its_rewards_and_writes_layouts(build: Build) -> None:
    built = build_got(build)
    judged = [row for row in built.rows.values() if row["image_reward"] is not None]
    assert len(judged) >= len(built.rows) / 2  # the others hold something that has no name
    for row in judged:
        image = [row[f"reward_{name}"] for name in ("counting", "spatial", "attribute", "text")]
        plan = [row["reward_plan"], row["reward_got_layout"]]
        factors = [fmean(known) for values in (image, plan) if (known := [v for v in values if v is not None])]
        factors += [row["reward_plan_image"]] if row["reward_plan_image"] is not None else []
        assert row["image_reward"] == row["text_reward"] == pytest.approx(math.prod(factors))
    lines = built.exports["got"]
    assert {line["id"] for line in lines} <= {name for name, row in built.rows.items() if row["kept"]}
    assert lines
    for line in lines:
        thought = by_role(line)["think"]["text"]
        layout, planned = read_layout(thought), read_layout(built.rows[line["id"]]["segments"][0]["text"])
        assert layout == planned
        assert not layout.faults
        assert thought.count("<|obj_end|> <|box_start|>") == len(layout.things) > 0
        assert all(0 <= edge <= 1000 for thing in layout.things for edge in thing.box)


def test_reasongen_r1_tells_one_target_in_several_styles(build: Build) -> None:
    built = build("reasongen_r1", "prompts=8", "candidates=4", "backend.temperature=1.2")
    rewards = defaultdict(set)
    for row in built.rows.values():
        rewards[row["group_id"]].add(row["image_reward"])
    equal = {group for group, values in rewards.items() if len(values) == 1}
    lines = built.exports["captions"]
    assert lines
    assert not equal & {line["group"] for line in lines}
    for line in lines:
        row, parts = built.rows[line["id"]], by_role(line)
        assert (parts["think"]["loss"], parts["think"]["switch"]) == (2 * row["text_weight"], 0)
        assert parts["image"]["loss"] == row["image_weight"] > 0
        assert len(line["facts"]["brief_caption"].split()) <= len(row["prompt"].split())
        assert line["facts"]["brief_caption"] == parts["prompt"]["text"]
        assert line["facts"]["detailed_caption"] == parts["think"]["text"]
        assert {"tags", "object_prompts"} <= line["facts"]["augmented_prompts"].keys()
    sources = {row["source"].split(":")[0] for row in built.rows.values()}
    assert sources == {"template", "rewrite"}
    claims = {row["prompt"]: row["claims"] for row in built.rows.values()}
    told = [
        (line["facts"]["brief_caption"], caption)
        for line in lines
        for name in ("paraphrases", "varied_captions")
        for caption in line["facts"]["augmented_prompts"].get(name, [])
    ]
    assert all(claims[one] == claims[other] for one, other in told)


def test_t2i_r1_has_a_row_a_prompt_with_its_advantages(build: Build) -> None:
    built = build("t2i_r1", "prompts=4", WILD)
    groups = defaultdict(list)
    for row in built.rows.values():
        groups[row["prompt_id"]].append(row)
    lines = {line["id"]: line for line in built.exports["prompts"]}
    assert lines.keys() == groups.keys()
    for name, rows in groups.items():
        facts, rewards = lines[name]["facts"], [row["image_reward"] for row in rows]
        known = [reward for reward in rewards if reward is not None]
        assert len(rows) <= 8
        assert facts["prompt"] == rows[0]["prompt"]
        assert all(noun in facts["prompt"] for noun in facts["nouns"])
        assert [reward is None for reward in rewards] == [each is None for each in facts["advantages"]]
        advantages = [each for each in facts["advantages"] if each is not None]
        assert advantages == pytest.approx([(reward - fmean(known)) / (stdev(known) + 1e-4) for reward in known])
        weights = [row["image_weight"] for row in rows if row["image_reward"] is not None]
        assert weights == pytest.approx([max(0.0, advantage) for advantage in advantages])
    for row in built.rows.values():
        words = len(row["segments"][0]["text"].split())
        assert words <= 50 if row["reward_format_brief"] == 1 else True


def test_a_view_that_a_run_cannot_give_is_one_clear_line(build: Build, tmp_path: Path) -> None:
    dataset = build_got(build).path / "dataset"
    for view, what in (("irg", "mode 'reflect', but this run has 'think'"), ("uae", "the scorer 'reconstruction'")):
        with pytest.raises(RunError, match=what):
            export_view(dataset, tmp_path / view, ViewPlan(view, view, "jsonl", {}, {}))
    assert not list(tmp_path.iterdir())
