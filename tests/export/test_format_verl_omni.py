"""verl-omni: trajectories that its validator took (golden.json), the codes of its refusals, and prompts for BAGEL."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from format_cases import (
    BLUE,
    GREEN,
    RED,
    ask,
    criticise,
    load,
    make_closed,
    make_example,
    make_preference,
    make_questions,
    read_lines,
    say,
    show,
    write,
)
from golden import GOLDEN
from pydantic import ValidationError

from datagen.embedded.options import SHIPPED
from datagen.errors import RunError
from datagen.export.examples import Example
from datagen.export.formats.verl_omni import Options, find_fault, find_refusal

START = ask("zwei Sterne"), say("plan", 1.0), show(RED, 1.0)
REFINED = show(GREEN, 1.0, role="refined image")


def test_trajectories_are_those_that_its_validator_has_taken(tmp_path: Path) -> None:
    write("verl_omni", make_closed(), tmp_path)
    lines = read_lines(tmp_path / "train.jsonl")
    golden = GOLDEN["verl_omni"]["examples"]
    assert {line["source_record_id"]: line["trajectory_id"] for line in lines} == {
        name: each["trajectory_id"] for name, each in golden.items()
    }
    assert {name: each["atoms"] for name, each in golden.items()} == {
        "at once": {"t2i": 1, "reflect": 1},
        "after one": {"t2i": 1, "reflect": 2, "edit": 1},
        "after two": {"t2i": 1, "reflect": 3, "edit": 2},
    }


def test_each_image_has_a_step_and_the_last_one_stops(tmp_path: Path) -> None:
    write("verl_omni", make_closed(), tmp_path)
    lines = {line["source_record_id"]: line for line in read_lines(tmp_path / "train.jsonl")}
    images = {"at once": [RED], "after one": [RED, GREEN], "after two": [RED, GREEN, BLUE]}
    for name, line in lines.items():
        assert [(tmp_path / image["uri"]).read_bytes() for image in line["images"]] == images[name]
        assert [image["sha256"] for image in line["images"]] == [hashlib.sha256(i).hexdigest() for i in images[name]]
        assert [step["action"] for step in line["steps"]] == ["continue"] * (len(images[name]) - 1) + ["stop"]
    assert lines["after one"]["steps"] == [
        {"reflection": "ich sehe mehr grün", "action": "continue", "edit": "mehr grün"},
        {"reflection": "ich sehe none", "action": "stop", "edit": ""},
    ]


@pytest.mark.parametrize(
    ("example", "code"),
    [
        (make_example("x", *START, *criticise("mehr grün"), REFINED), "length_mismatch"),
        (make_example("x", *START), "length_mismatch"),
        (make_example("x", ask("a star"), say("star", 1.0)), "length_mismatch"),
        (make_example("x", ask(" "), *START[1:], *criticise("none", "close")), "empty_prompt"),
        (make_example("x", *START, say(" ", 1.0, "look"), criticise("none")[1]), "empty_reflection"),
        (make_example("x", *START, *criticise("mehr\nEdit: alles", "close")), "protocol_parse_error"),
        (make_example("x", *START, *criticise("none"), REFINED, *criticise("none", "close")), "contradictory_terminal"),
        (make_example("x", *START, *criticise("mehr grün", "close")), "turn_limit_exhausted"),
        (make_preference(), "length_mismatch"),
        (make_questions()[0], "length_mismatch"),
    ],
)
def test_what_verl_omni_refuses_is_refused_with_its_code(example: Example, code: str, tmp_path: Path) -> None:
    assert find_refusal(example).startswith(f"{code}: ")
    assert find_fault(example, Options()) == find_refusal(example)
    with pytest.raises(RunError, match=f"a trajectory that verl-omni refuses: {code}"):
        write("verl_omni", [example], tmp_path)


def test_samples_without_weight_are_left_out(tmp_path: Path) -> None:
    unlearned = make_example("none", ask("a star"), show(RED), *(say(p.text, 0.0, p.role) for p in criticise("none")))
    write("verl_omni", [unlearned, *make_closed()], tmp_path)
    assert len(read_lines(tmp_path / "train.jsonl")) == 3


TOKENIZER = """{"version": "1.0", "model": {"type": "WordLevel", "unk_token": "?", "vocab":
 {"?": 0, "two": 1, "stars": 2, "<|im_start|>": 3, "<|im_end|>": 4}}, "pre_tokenizer": {"type": "Whitespace"}}"""


def test_prompts_for_bagel_are_tokens_between_its_marks(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(TOKENIZER)
    examples = [make_example("a", ask(" two stars ")), make_example("b", ask("stars"), say("x", 1.0), show(RED, 1.0))]
    options = {"layout": "grpo", "tokenizer": tmp_path / "tokenizer.json"}
    write("verl_omni", examples, tmp_path / "out", **options)
    rows = load("parquet", data_files=str(tmp_path / "out" / "*.parquet"))
    assert [row["prompt_token_ids"] for row in rows] == [[3, 1, 2, 4], [3, 2, 4]]
    assert [row["prompt"] for row in rows] == [[{"role": "user", "content": text}] for text in ("two stars", "stars")]
    assert rows[0]["negative_prompt"] == [{"role": "user", "content": " "}]
    assert rows[0]["reward_model"] == {"style": "model", "ground_truth": '{"weakness":"counting"}'}
    with pytest.raises(RunError, match="a prompt of 4 tokens"):
        write("verl_omni", examples, tmp_path / "short", **options, max_tokens=3)
    with pytest.raises(RunError, match="a prompt with images"):
        write("verl_omni", make_questions(), tmp_path / "seen", **options)


def test_prompts_need_the_tokenizer_of_bagel(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="needs `tokenizer:`"):
        Options(layout="grpo")
    with pytest.raises(RunError, match="is not BAGEL's tokenizer"):
        write(
            "verl_omni",
            [make_example("a", ask("a star"))],
            tmp_path,
            layout="grpo",
            tokenizer=SHIPPED / "tokenizer.json",
        )
