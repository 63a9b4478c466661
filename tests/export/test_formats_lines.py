"""Formats of JSON lines whose trainers have no weights, or generate their own answers: what their own code has read."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml
from format_cases import (
    AWKWARD,
    BLUE,
    GREEN,
    RED,
    ask,
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

from datagen.errors import RunError
from datagen.export.copies import draw_copies
from datagen.export.examples import Example
from datagen.records import Claim

CLAIMS = [
    Claim("count", "star", value=3),
    Claim("count", "cup", value=0),
    Claim("attribute", "star", "color", "red"),
    Claim("text", value="OPEN"),
]


def make_prompt(*claims: Claim) -> Example:
    packed = [{**claim.to_dict(), "value": str(claim.value)} for claim in claims]
    return make_example("p", ask("three red stars"), task="prompt", claims=packed, rewards=[0.5], skill="one_kind")


@pytest.mark.parametrize("weights", [(0.02, 1.0, 0.0), (0.6, 1.7), (5.0,)])
def test_copies_are_in_proportion_to_weights(weights: tuple[float, ...]) -> None:
    listed = [weights[k % len(weights)] for k in range(60 * len(weights))]
    count = round(4 * sum(listed))
    seen = Counter(draw_copies(listed, count))
    assert seen.total() == count
    for weight in weights:
        mine = sum(seen[k] for k, each in enumerate(listed) if each == weight)
        assert abs(mine - weight * 60 / sum(listed) * count) <= 1


@pytest.mark.parametrize("word", ["omnigen2", "diffsynth", "showo2"])
def test_lines_stand_as_often_as_they_weigh(word: str, tmp_path: Path) -> None:
    examples = [
        make_example(f"e{k}", ask("a star"), show(RED, weight)) for k, weight in enumerate((0.0, 0.5, 1.0, 2.0))
    ]
    write(word, examples, tmp_path)
    (path,) = tmp_path.glob("*.jsonl")
    assert Counter(line["id"] for line in read_lines(path)) == {"e1": 2, "e2": 4, "e3": 8}


def test_omnigen2_has_a_file_for_each_task(tmp_path: Path) -> None:
    write("omnigen2", [*make_trajectories(), *make_reflections()], tmp_path, root="/data/")
    config = yaml.safe_load((tmp_path / "train.yml").read_text())
    assert config["data"] == [
        {"path": "/data/train-edit.jsonl", "type": "edit", "ratio": 1},
        {"path": "/data/train-t2i.jsonl", "type": "t2i", "ratio": 1},
    ]
    edit = {line["id"]: line for line in read_lines(tmp_path / "train-edit.jsonl")}["whole"]
    assert edit["instruction"] == "zwei «Sterne»\n\nplan\n\nich sehe\n\nbesser so"
    (first,), last = edit["input_images"], edit["output_image"]
    assert [(tmp_path / path.removeprefix("/data/")).read_bytes() for path in (first, last)] == [RED, BLUE]
    assert all("input_images" not in line for line in read_lines(tmp_path / "train-t2i.jsonl"))


def test_diffsynth_names_images_from_its_base_path(tmp_path: Path) -> None:
    write("diffsynth", [*make_trajectories(), *make_reflections()], tmp_path)
    lines = {line["id"]: line for line in read_lines(tmp_path / "train.jsonl")}
    assert (tmp_path / lines["whole"]["image"]).read_bytes() == BLUE
    assert [(tmp_path / path).read_bytes() for path in lines["whole"]["edit_image"]] == [RED]
    assert "edit_image" not in lines["t0"]
    assert [lines[e.id]["prompt"] for e in make_trajectories()] == [
        "\n\n".join(texts(e.parts)) for e in make_trajectories()
    ]


def test_showo2_gets_no_line_breaks(tmp_path: Path) -> None:
    write("showo2", make_trajectories(), tmp_path)
    lines = {line["id"]: line for line in read_lines(tmp_path / "train.jsonl")}
    for k, text in enumerate(AWKWARD):
        assert lines[f"t{k}"]["prompt"] == " ".join(f"{text} I see: {text}".split())


@pytest.mark.parametrize("word", ["omnigen2", "diffsynth", "showo2"])
@pytest.mark.parametrize("example", [make_preference(), make_questions()[0]])
def test_what_does_not_end_in_an_image_is_refused(word: str, example: Example, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"the format '{word}' cannot hold"):
        write(word, [example], tmp_path)


def test_showo2_holds_one_image(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not texts with one image after them"):
        write("showo2", make_reflections(), tmp_path)


def test_tiif_asks_what_the_claims_say(tmp_path: Path) -> None:
    write("tiif", [make_prompt(*CLAIMS), make_prompt(*CLAIMS)], tmp_path)
    (line,) = read_lines(tmp_path / "train.jsonl")
    assert line == {
        "type": "counting/one_kind",
        "short_description": "three red stars",
        "long_description": "three red stars",
        "yn_question_list": [
            "Is there any star in the image?",
            "Is there any cup in the image?",
            "Are there exactly three stars in the image?",
            "Are the stars red?",
            'Is the text "OPEN" in the image?',
        ],
        "yn_answer_list": ["yes", "no", "yes", "yes", "yes"],
    }
    with pytest.raises(RunError, match="the view gives no claims"):
        write("tiif", [make_example("p", ask("a star"))], tmp_path)


def test_unirl_has_prompts_with_what_judges_them(tmp_path: Path) -> None:
    seen = make_example("seen", show(GREEN, sees="vit"), ask("draw it again"), say("x", 1.0))
    write("unirl", [make_prompt(*CLAIMS[:1]), seen], tmp_path)
    first, second = read_lines(tmp_path / "train.jsonl")
    assert first == {
        "prompt": "three red stars",
        "prompt_id": "group of p",
        "metadata": {
            "task": "prompt",
            "weakness": "counting",
            "skill": "one_kind",
            "rewards": [0.5],
            "claims": [{"kind": "count", "subject": "star", "name": "", "value": "3"}],
        },
    }
    (media,) = second["media"]
    assert (tmp_path / media.pop("uri")).read_bytes() == GREEN
    assert media == {"modality": "image", "role": "condition"}
    assert second["prompt"] == "draw it again"


@pytest.mark.parametrize(
    ("parts", "reason"),
    [((show(RED), show(GREEN), ask("x")), "a prompt with 2 images"), ((ask(" "),), "a prompt without words")],
)
def test_a_prompt_that_unirl_skips_is_refused(parts: tuple[object, ...], reason: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=reason):
        write("unirl", [make_example("p", *parts)], tmp_path)  # type: ignore[arg-type]
    assert json.dumps(reason)
