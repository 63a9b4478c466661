from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from export_cases import draw_png
from format_cases import (
    GREEN,
    RED,
    ask,
    images,
    make_example,
    make_preference,
    make_questions,
    make_reflections,
    make_trajectories,
    read_lines,
    say,
    show,
    texts,
    write,
)
from pydantic import ValidationError

from datagen.errors import RunError
from datagen.export.examples import Example
from datagen.export.formats.sensenova import Options


def read_weighted(weight: float, name: str = "one") -> Example:
    return make_example(name, ask(f"a star {name}"), show(RED, weight))


TEXT = make_example("text", ask("say «star»"), say("star 星", 1.0), task="text to text")
EDIT = make_example("edit", show(RED), ask("make it green"), say("so", 1.0), show(GREEN, 1.0))
ALL = [*make_trajectories(), *make_reflections(), *make_questions(), TEXT, EDIT]


def read_epoch(folder: Path) -> list[tuple[str | None, dict[str, Any]]]:
    """The lines of an epoch with their task, as the training code repeats and checks them."""
    epoch = []
    for about in json.loads((folder / "train.json").read_text()).values():
        assert about["repeat_time"] * about["length"] >= 1
        lines = read_lines(Path(about["annotation"]))
        assert len(lines) == about["length"]
        for line in lines:
            check_line(line, about.get("task"), Path(about["root"]))
        epoch += [(about.get("task"), line) for line in lines * about["repeat_time"]]
    return epoch


def check_line(line: dict[str, Any], task: str | None, root: Path) -> None:
    """What the training code asserts of a line before it uses it, and drops the line otherwise."""
    human, gpt = (turn["value"] for turn in line["conversations"])
    assert [turn["from"] for turn in line["conversations"]] == ["human", "gpt"]
    paths = line.get("image", [])
    assert human.count("<image>") + gpt.count("<image>") == len(paths)
    assert all((root / path).is_file() for path in paths)
    assert not any(token in human + gpt for token in ("<img>", "</img>", "<IMG_CONTEXT>"))
    if task in ("t2i", "it2i"):
        assert gpt.endswith("<image>")
        assert gpt.count("<image>") == 1
        assert human.count("<image>") == (0 if task == "t2i" else len(paths) - 1)
        assert (task == "it2i") == (len(paths) > 1)
    elif task == "interleave_gen":
        assert "<image>" in gpt
    else:
        assert "<image>" not in gpt
        assert bool(paths) == (task is None)


def test_every_line_passes_the_checks_of_its_task(tmp_path: Path) -> None:
    write("sensenova", ALL, tmp_path, root=str(tmp_path))
    epoch = read_epoch(tmp_path)
    tasks = {line["id"]: task for task, line in epoch}
    assert tasks == {
        **{example.id: "t2i" for example in make_trajectories()},
        "whole": "interleave_gen",
        "piece": "it2i",
        "question": None,
        "text": "text",
        "edit": "it2i",
    }


def test_texts_and_images_come_back_in_order(tmp_path: Path) -> None:
    write("sensenova", ALL, tmp_path, root=str(tmp_path))
    lines = {line["id"]: line for _, line in read_epoch(tmp_path)}
    for example in ALL:
        line = lines[example.id]
        assert [(tmp_path / path).read_bytes() for path in line.get("image", [])] == images(example.parts)
        said = "".join(turn["value"] for turn in line["conversations"]).replace("<image>", "")
        said = re.sub("<think>\n|\n</think>|\n\n", "", said)
        assert said == "".join(texts(example.parts)).replace("\n\n", "")
        assert line.get("width", []) == [16] * len(images(example.parts))
        first = next(k for k, part in enumerate(example.parts) if part.learned)
        assert line["conversations"][0]["value"].count("<image>") == len(images(example.parts[:first]))


def test_weights_are_repeats(tmp_path: Path) -> None:
    write("sensenova", ALL, tmp_path, root=str(tmp_path))
    seen = Counter(line["id"] for _, line in read_epoch(tmp_path))
    options = Options()
    assert seen == {example.id: n for example in ALL if (n := options.count(example))}


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.25, 0.6, 1.0, 1.7, 3.0, 7.9, 8.0])
def test_repeats_are_the_weight_on_average(weight: float) -> None:
    options = Options()
    counts = [options.count(example) for example in (read_weighted(weight, f"e{k}") for k in range(4000))]
    assert {*counts} <= {0, *options.buckets}
    wanted = options.copies * weight
    near = sorted({0, *options.buckets}, key=lambda bucket: abs(bucket - wanted))[:3]
    assert {*counts} <= {*near}
    spread = max(counts) - min(counts)
    assert abs(fmean(counts) - wanted) <= 4 * (spread / 2) / 4000**0.5  # four standard errors at most


def test_repeats_are_the_same_each_time_and_cut_above() -> None:
    example = read_weighted(0.6)
    assert len({Options().count(example) for _ in range(5)}) == 1
    heavy = read_weighted(1000.0)
    assert Options().count(heavy) == 32
    assert Options(buckets=(3,)).count(heavy) == 3


@pytest.mark.parametrize("buckets", [(), (2, 1), (1, 1), (0, 1)])
def test_buckets_that_do_not_rise_are_refused(buckets: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError):
        Options(buckets=buckets)


def test_sizes_are_width_and_height(tmp_path: Path) -> None:
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.new("RGB", (24, 8)).save(buffer, "PNG")
    write("sensenova", [make_example("wide", ask("a line"), show(buffer.getvalue(), 1.0))], tmp_path)
    (line,) = read_lines(tmp_path / "train-t2i-x4.jsonl")
    assert (line["width"], line["height"]) == ([24], [8])


@pytest.mark.parametrize("tag", ["<image>", "<img>", "</img>", "<IMG_CONTEXT>"])
def test_marks_of_the_trainer_are_refused_in_texts(tag: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"example tag: its text contains '{tag}'"):
        write("sensenova", [make_example("tag", ask(f"a {tag} star"), show(RED, 1.0))], tmp_path)


def test_what_it_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot hold a preference"):
        write("sensenova", [make_preference()], tmp_path)
    many = [show(draw_png("red", k + 1), 1.0) for k in range(41)]
    with pytest.raises(RunError, match="more than 40 images"):
        write("sensenova", [make_example("many", ask("draw"), *many)], tmp_path)


def test_a_thought_that_begins_an_answer_is_in_tags(tmp_path: Path) -> None:
    thought = make_example("thought", ask("a star"), say("a red one", 1.0), show(RED, 1.0), say("fine", 1.0, "look"))
    silent = make_example("silent", ask("a star"), say("", 1.0), show(RED, 1.0))
    read = make_example("read", ask("a star"), say("a red one"), show(RED, 1.0))
    write("sensenova", [thought, silent, read], tmp_path, root=str(tmp_path))
    answers = {line["id"]: line["conversations"][1]["value"] for _, line in read_epoch(tmp_path)}
    assert answers == {
        "thought": "<think>\na red one\n</think>\n\n<image>fine",
        "silent": "<image>",
        "read": "<image>",
    }
