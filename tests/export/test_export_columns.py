"""Columns are made whole for speed: they must be the table that pyarrow makes of plain rows, one dict a sample."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pyarrow as pa
from export_cases import POLICY, SCORERS, draw_noise, make_items, make_prompt

from datagen.export import ExportItem, dataset_features
from datagen.export.columns import columns_of, pack_json
from datagen.export.shards import TableMaker
from datagen.records import Claim, Segment
from datagen.weighting import receipt_of

WORDS = ["3 étoiles «rouges»", "三颗星 🌟", 'a sign "OPEN|NOW"', "line\nbreak \u2028 <b>", ""]
STAR = {"label": "star", "color": "red", "box": [0, 100, 500, 1000], "confidence": 0.9}
EVIDENCE: list[dict[str, Any]] = [
    {},
    {"caption": "two stars"},
    {"claims": {"count(star, 3)": False}, "detections": [STAR, {**STAR, "label": "cup", "color": ""}]},
    {"detections": []},
]
REGION = {"object": "star", "color": "red", "box": [0, 100, 500, 1000], "score": 0.5}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"b": 1, "a": [None, True]},
    {"b": 1.0},
    {"b": True},
    {"b": -0.0},
    {"é": {"z": 2}},
]


def make_messy(seed: int, count: int) -> list[ExportItem]:
    """Samples of no or many segments, claims and scores, with numbers of all kinds."""
    rng, messy = Random(seed), []
    kinds = (Claim("count", "star", value=3), Claim("text", value="OPEN"), Claim("attribute", "star", "color", "red"))
    for item in make_items([make_prompt(k, f"{rng.choice(WORDS)} {k}") for k in range(count // 2)], candidates=2):
        segments = [
            Segment("image", "image", image=draw_noise(rng.choice([4, 9, 40]), rng.randrange(9)))
            if rng.random() < 0.5
            else Segment("text", "think", text=rng.choice(WORDS))
            for _ in range(rng.randrange(5))
        ]
        scores = [
            replace(score, value=rng.choice([None, 0.0, 0.1 + 0.2]), evidence=rng.choice(EVIDENCE))
            for score in rng.sample(item.scores, rng.randrange(3))
        ]
        messy.append(
            replace(
                item,
                prompt=replace(item.prompt, claims=tuple(rng.sample(kinds, rng.randrange(4)))),
                sample=replace(item.sample, segments=tuple(segments), settings=rng.choice(SETTINGS)),
                scores=scores,
                rewards=replace(
                    item.rewards,
                    text=rng.choice([None, 0, 1e-7]),
                    image=rng.choice([None, 1 / 3]),
                    misjudged=rng.choice([None, -0.25]),
                ),
                gain=rng.choice([None, 0.25]),
                passed=rng.choice([None, True, False]),
                causes=rng.choice([None, [], ["count"], ["missing", "place"]]),
                faults=rng.choice([[], ["expected 3 stars, found 2"], ["a", "b"]]),
                holds=rng.choice([[], [None], [0.0, 1 / 3, None]]),
                regions=rng.choice([[], [REGION], [REGION, {**REGION, "color": "", "score": None}]]),
            )
        )
    return messy


def write_row(item: ExportItem) -> dict[str, Any]:
    """One sample as a row, the slow and plain way."""
    prompt, sample, weight, rewards = item.prompt, item.sample, item.weight, item.rewards
    row: dict[str, Any] = {name: getattr(prompt, name) for name in ("source", "weakness", "skill", "level")}
    row |= {name: getattr(sample, name) for name in ("id", "prompt_id", "candidate", "seed", "mode", "switch")}
    row |= {"finish": sample.finish, "engine": sample.engine, "prompt": prompt.text, "group_id": rewards.group}
    row["claims"] = [{**claim.to_dict(), "value": str(claim.value)} for claim in prompt.claims]
    row["segments"], row["images"] = [], []
    for segment in sample.segments:
        shown: dict[str, Any] = {"kind": segment.kind, "role": segment.role, "text": None, "image": None}
        if segment.kind == "image":
            shown["image"] = len(row["images"])
            row["images"].append({"bytes": segment.image, "path": f"{sample.id}-{shown['image']}.png"})
        else:
            shown["text"] = segment.text
        row["segments"].append(shown)
    row["image_sha256"] = [hashlib.sha256(image["bytes"]).hexdigest() for image in row["images"]]
    captions = [score.evidence["caption"] for score in item.scores if "caption" in score.evidence]
    row["caption"] = captions[0] if captions else None
    row["regions"] = item.regions
    for scorer in SCORERS:
        (score,) = [score for score in item.scores if score.name == scorer] or [None]
        row[f"reward_{scorer.replace('.', '_')}"] = score.value if score else None
        row[f"reason_{scorer.replace('.', '_')}"] = score.reason if score else None
    row |= {"text_reward": rewards.text, "image_reward": rewards.image, "gain": item.gain, "passed": item.passed}
    row |= {"causes": item.causes, "faults": item.faults, "claims_hold": item.holds, "gap": rewards.misjudged}
    row |= {name: getattr(weight, name) for name in ("text_weight", "image_weight", "kept")}
    row |= {"left_out": weight.left_out or None}
    row["settings"] = pack_json(sample.settings)
    row["receipt"] = pack_json(receipt_of(rewards, POLICY, weight.reason))
    return {**row, "provenance": '{"seed":7}'}


def test_columns_are_the_table_of_plain_rows() -> None:
    schema = dataset_features(SCORERS).arrow_schema
    maker, plain = TableMaker(schema), schema.remove_metadata()

    def make(items: Sequence[ExportItem]) -> pa.Table:
        return maker.make(columns_of(items, SCORERS, POLICY, '{"seed":7}'))

    for seed, count in enumerate((200, 2, 60)):  # the memory of images is kept from one table to the next
        items = make_messy(seed, count)
        made, expected = make(items), pa.Table.from_pylist([write_row(item) for item in items], schema=plain)
        made.validate(full=True)
        assert made.cast(plain).equals(expected)
        assert made.column("settings").to_pylist() == [pack_json(item.sample.settings) for item in items]
