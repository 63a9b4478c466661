"""Regions: each object has a score of its own, and SRUM reads a wrong one as less than a right one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from export_cases import draw
from format_cases import ask, make_example, make_preference, read_lines, say, show, write
from golden import GOLDEN

from datagen.errors import RunError
from datagen.export.examples import Example
from datagen.export.formats.srum import find_size, list_around
from datagen.export.regions import list_regions
from datagen.records import Claim, Score
from datagen.scoring.verdicts import find_holds

CUPS, RED_CUP = Claim("count", "cup", value=2), Claim("attribute", "cup", "color", "red")
LEFT = Claim("relation", "cup", "left of", "key")


def see(label: str, color: str = "", confidence: float = 0.9) -> dict[str, Any]:
    return {"label": label, "color": color, "box": [0, 0, 500, 500], "confidence": confidence}


def list_them(claims: list[Claim], scores: list[Score]) -> list[dict[str, Any]]:
    return list_regions(claims, scores, find_holds(claims, scores))


def score(claims: list[Claim], found: list[dict[str, Any]], **verdicts: Any) -> list[float | None]:
    said = {str(claim): verdicts[claim.kind] for claim in claims if claim.kind in verdicts}
    scores = [Score("s", "counting", "image", 0.5, "", {"claims": said, "detections": found})]
    return [region["score"] for region in list_them(claims, scores)]


def test_of_too_many_objects_the_least_certain_are_wrong() -> None:
    assert score([CUPS], [see("cup", confidence=c) for c in (0.5, 0.9, 0.7)]) == [0.0, 1.0, 1.0]


def test_an_object_is_right_though_another_is_missing() -> None:
    assert score([CUPS], [see("cup")], count=False) == [1.0]


def test_the_colour_is_that_of_the_object_itself() -> None:
    assert score([CUPS, RED_CUP], [see("cup", "red"), see("cup", "blue")], attribute=False) == [1.0, 0.5]
    blue = Claim("attribute", "cup", "color", "blue")
    assert score([RED_CUP, blue], [see("cup", "red"), see("cup", "blue"), see("cup", "pink")]) == [1.0, 1.0, 0.0]
    violet = Claim("attribute", "cup", "color", "violet")
    assert score([violet], [see("cup", "purple")], attribute=True) == [1.0]
    assert score([RED_CUP], [see("cup", "")], attribute=False) == [None]


def test_a_relation_is_the_matter_of_both_objects() -> None:
    found = [see("cup"), see("key"), see("car")]
    assert score([LEFT], found, relation=False) == [0.0, 0.0, None]
    assert score([CUPS, LEFT], found, relation=False) == [0.5, 0.0, None]
    assert score([LEFT], found) == [None, None, None]


def test_what_a_scorer_of_the_text_says_of_a_claim_is_no_verdict_on_the_image() -> None:
    said = Score("s", "coverage", "text", 1.0, "", {"claims": {str(LEFT): True}})
    seen = Score("s", "spatial", "image", 0.0, "", {"claims": {str(LEFT): False}, "detections": [see("cup")]})
    assert [region["score"] for region in list_them([LEFT], [said, seen])] == [0.0]


def test_a_part_counts_the_objects_of_its_colour_alone() -> None:
    part = Claim("part", "cup", "red", 1)
    assert score([part], [see("cup", "red"), see("cup", "red", 0.4), see("cup", "blue")]) == [1.0, 0.0, None]


def test_without_detections_there_are_no_regions() -> None:
    assert list_them([CUPS], [Score("s", "vqa", "image", 1.0, "", {"claims": {str(CUPS): True}})]) == []


def make_scored(
    name: str, reward: float | None, *regions: tuple[list[int], float | None], color: str = "red", group: str = "g"
) -> Example:
    listed = [{"object": "cup", "color": "red", "box": box, "score": score} for box, score in regions]
    parts = ask("a red cup"), say("plan", 1.0), show(draw(color), 1.0)
    example = make_example(name, *parts, task="graded", image_reward=reward, regions=listed)
    return replace(example, group=group)


SCORED = [
    make_scored("half", 0.5, ([0, 0, 500, 500], 1.0), ([500, 500, 1000, 1000], 0.0)),
    make_scored("best", 1.0, ([250, 0, 750, 1000], 1.0), color="blue"),
    make_scored("alone", 0.25, ([0, 0, 500, 500], None), group="h"),
]


def test_srum_has_a_score_for_the_whole_and_for_each_object(tmp_path: Path) -> None:
    write("srum", SCORED, tmp_path, root="/data/srum/")
    half, best, alone = read_lines(tmp_path / "train.jsonl")
    assert half["prompt"] == "a red cup"
    assert half["vlm_rewards"] == [
        {"object": "red cup", "score": 1.0, "bbox": [0, 0, 256, 256]},
        {"object": "red cup", "score": -1.0, "bbox": [256, 256, 512, 512]},
        {"object": "background", "score": 0.5, "bbox": [0, 0, 512, 256]},
        {"object": "background", "score": 0.5, "bbox": [0, 256, 256, 512]},
        {"object": "global_layout_reward", "score": 0.0},
    ]
    assert alone["vlm_rewards"] == [{"object": "global_layout_reward", "score": -0.5}]
    assert half["good_image_file"] == best["good_image_file"] == best["bad_image_file"]
    assert alone["good_image_file"] == alone["bad_image_file"]
    assert (tmp_path / half["bad_image_file"]).read_bytes() == draw("red")
    about = json.loads((tmp_path / "train.json").read_text())["regional_reward"]["train"]
    assert about == {
        "jsonl_path": "/data/srum/train.jsonl",
        "image_dirs": {"bad": "/data/srum/", "good": "/data/srum/"},
    }
    text = (tmp_path / "train.yaml").read_text()
    assert "max_num_tokens: 16,384 and" in text.split("\n")[0]
    config = yaml.safe_load(text)["regional_reward"]
    assert config["dataset_names"] == ["train"]
    assert not config["is_mandatory"]


def test_srum_made_these_maps_of_the_lines(tmp_path: Path) -> None:
    """Read by its own code: the weight of the loss in the corners and the middle of the image."""
    write("srum", SCORED, tmp_path)
    golden = GOLDEN["srum"]["examples"]
    assert {line["id"]: line for line in read_lines(tmp_path / "train.jsonl")} == {
        name: each["line"] for name, each in golden.items()
    }
    assert {name: each["map"] for name, each in golden.items()} == {
        "half": {"top left": 0.5, "bottom right": 0.25, "middle": 0.25, "bottom left": 0.375},
        "best": {"top left": 0.5, "bottom right": 0.5, "middle": 1.0, "bottom left": 0.5},
        "alone": {"top left": 0.125, "bottom right": 0.125, "middle": 0.125, "bottom left": 0.125},
    }


def test_what_is_right_in_a_wrong_image_is_learned_and_what_is_missing_counts_for_all(tmp_path: Path) -> None:
    right, wrong = ([0, 0, 500, 500], 1.0), ([500, 500, 1000, 1000], 0.0)
    write("srum", [make_scored("wrong", 0.0, right, wrong), make_scored("missing", 0.0, right, group="h")], tmp_path)
    first, second = (line["vlm_rewards"][-1]["score"] for line in read_lines(tmp_path / "train.jsonl"))
    assert (first, second) == (0.0, -1.0)


def test_boxes_around_others_cover_the_rest_and_nothing_twice() -> None:
    boxes = [(100, 100, 300, 300), (200, 200, 600, 400), (0, 900, 1000, 1000)]
    covered = [[0] * 10 for _ in range(10)]
    for x1, y1, x2, y2 in [*boxes, *list_around(boxes)]:
        for y in range(y1 // 100, y2 // 100):
            for x in range(x1 // 100, x2 // 100):
                covered[y][x] += 1
    assert {cell for row in covered for cell in row} == {1, 2}
    assert sum(row.count(2) for row in covered) == 1, "where the first two overlap"


@pytest.mark.parametrize(
    ("size", "resized"),
    [((16, 16), (512, 512)), ((1024, 1024), (1024, 1024)), ((2048, 1024), (1024, 512)), ((600, 700), (608, 704))],
)
def test_boxes_are_in_pixels_of_the_size_to_which_srum_resizes(size: tuple[int, int], resized: tuple[int, int]) -> None:
    assert find_size(*size) == resized


@pytest.mark.parametrize(
    ("examples", "reason"),
    [
        ([make_scored("none", None)], "no image reward or no regions"),
        ([make_example("plain", ask("x"), show(draw("red"), 1.0))], "no image reward or no regions"),
        ([make_example("words", ask("x"), say("y", 1.0))], "an example without an image"),
        ([make_preference()], "a preference"),
        (
            [SCORED[0], replace(SCORED[1], parts=(ask("x"), show(draw("red", size_px=1000), 1.0)))],
            "images of 512 x 512 and 992 x 992",
        ),
    ],
)
def test_what_srum_cannot_read_is_refused(examples: list[Example], reason: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=reason):
        write("srum", examples, tmp_path)
