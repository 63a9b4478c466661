"""verl 0.9: its dataset, its filter and its collate function read prompts, pictures and facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from format_cases import ask as asks
from format_cases import make_example, say, show, write
from lessons import ONE, THREE, TWO, name_of
from spans import ANSWERS, ASKED, SHOWN

from datagen.export.examples import Example

DRAW = make_example("draw", asks("zwei «Sterne» 星"), say("plan", 1.0), show(ONE, 1.0), rewards=[0.25, 1.0])
AGAIN = Example("again", "trajectory", DRAW.group, DRAW.parts, facts=DRAW.facts)
EDIT = make_example("edit", show(TWO), show(THREE), asks("Was hat sich geändert?"), say("nichts", 1.0))


@pytest.mark.parametrize(
    ("examples", "prompt", "pictures"),
    [
        ([DRAW, AGAIN], "zwei «Sterne» 星", []),
        ([EDIT], f"{SHOWN}{SHOWN}Was hat sich geändert?", [name_of(TWO), name_of(THREE)]),
    ],
)
def test_a_prompt_arrives_once_with_its_pictures_and_facts(
    examples: list[Example], prompt: str, pictures: list[str], ask: Any, tiny: Any, tmp_path: Path
) -> None:
    write("verl", examples, tmp_path)
    for image in (ONE, TWO, THREE):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / name_of(image)).write_bytes(image)
    files, images = str(tmp_path / "train-00000-of-00001.parquet"), tmp_path / "images"
    cache = tmp_path / "cache"
    seen = ask("swift", "verl", arguments=files, model=tiny("swift"), images=images, cache=cache)
    (row,) = seen["rows"]
    assert row["text"] == f"{ASKED}{prompt}{ANSWERS}"
    assert row["pictures"] == pictures
    assert row["data_source"] == "datagen/trajectory"
    assert json.loads(row["reward_model"]["ground_truth"]) == dict(examples[0].facts)
    assert (row["ability"], row["extra_info"]["id"]) == ("counting", examples[0].id)
