"""Formats of conversations, read back with TRL's own reader or with what the trainers' sources say of theirs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from format_cases import (
    BLUE,
    RED,
    ask,
    images,
    load,
    make_example,
    make_preference,
    make_questions,
    make_reflections,
    make_trajectories,
    pixels,
    read_lines,
    say,
    show,
    texts,
    write,
)

from datagen.errors import RunError
from datagen.export.examples import Example, Part

ALL = [*make_trajectories(), *make_reflections(), *make_questions()]


def read_tags(text: str, pictures: list[bytes]) -> list[str | bytes]:
    """A text with its tags filled in order, as every reader of `<image>` tags does it."""
    found: list[str | bytes] = []
    for k, stretch in enumerate(text.split("<image>")):
        found += [pictures.pop(0)] if k else []
        found += [stretch] if stretch else []
    return found


def glue(parts: Sequence[Part]) -> list[str | bytes]:
    """Parts as a reader sees them: texts that follow each other are one, with a blank line between."""
    seen: list[str | bytes] = []
    for part in parts:
        if part.kind == "image":
            seen.append(part.image)
        elif seen and isinstance(seen[-1], str):
            seen[-1] += f"\n\n{part.text}"
        else:
            seen.append(part.text)
    return [each for each in seen if each]


def split(example: Example) -> int:
    """Where the first learned part of an example stands."""
    return next(k for k, part in enumerate(example.parts) if part.learned)


# ── chat ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def flatten(messages: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """(role, content) of every piece, images as their colour."""
    pieces = [(message["role"], piece) for message in messages for piece in message["content"]]
    return [(role, piece["text"] if piece["type"] == "text" else piece["image"]) for role, piece in pieces]


@pytest.mark.parametrize("layout", ["messages", "completion"])
def test_trl_fills_the_images_of_a_conversation(layout: str, tmp_path: Path) -> None:
    prepare = pytest.importorskip("trl.data_utils").prepare_multimodal_messages
    write("chat", ALL, tmp_path, layout=layout)
    rows = load(str(tmp_path))
    assert [row["id"] for row in rows] == [example.id for example in ALL]
    for row, example in zip(rows, ALL, strict=True):
        messages = row["messages"] if layout == "messages" else [*row["prompt"], *row["completion"]]
        filled = prepare(messages, images=[image["bytes"] for image in row["images"]])
        content = [part.image if part.kind == "image" else part.text for part in example.parts]
        assert [each for _, each in flatten(filled)] == content
        assert row["weights"] == [part.loss for part in example.parts]
        assert json.loads(row["facts"]) == dict(example.facts)


def test_pieces_of_a_conversation_have_no_null_keys(tmp_path: Path) -> None:
    write("chat", ALL, tmp_path)
    for row in load(str(tmp_path)):
        for message in row["messages"]:
            assert set(message) == {"role", "content"}
            assert all(set(piece) in ({"type"}, {"type", "text"}) for piece in message["content"])
            assert all(("text" in piece) == (piece["type"] == "text") for piece in message["content"])


def test_what_is_learned_is_what_trl_learns(tmp_path: Path) -> None:
    whole, piece = make_reflections()
    write("chat", [whole, piece], tmp_path / "messages")
    write("chat", [whole, piece], tmp_path / "completion", layout="completion")
    one, two = load(str(tmp_path / "messages"))
    assert [len(message["content"]) for message in one["messages"]] == [1, 5]
    assert [len(message["content"]) for message in two["messages"]] == [5, 1]
    one, two = load(str(tmp_path / "completion"))
    assert [message["role"] for message in two["prompt"]] == ["user", "assistant"]
    assert two["completion"] == [{"role": "assistant", "content": [{"type": "image"}]}]
    assert [message["role"] for message in one["prompt"]] == ["user"]


def test_a_preference_between_texts_is_one_for_trl(tmp_path: Path) -> None:
    prepare = pytest.importorskip("trl.data_utils").prepare_multimodal_messages
    asked = replace(make_preference(images=False), parts=(show(RED), *make_preference(images=False).parts))
    write("chat", [asked], tmp_path)
    (row,) = load(str(tmp_path))
    filled = prepare(row["prompt"], images=[image["bytes"] for image in row["images"]])
    assert flatten(filled) == [("user", RED), ("user", "ein Stern")]
    assert flatten(prepare(row["chosen"])) == [("assistant", "gut ✓")]
    assert flatten(prepare(row["rejected"])) == [("assistant", "schlecht")]
    assert row["margin"] == 0.375


def test_what_trl_cannot_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="example pair: the format 'chat' cannot hold a preference between images"):
        write("chat", [make_preference()], tmp_path)
    with pytest.raises(RunError, match="preferences beside single answers"):
        write("chat", [make_trajectories()[0], make_preference(images=False)], tmp_path)


def test_an_image_tag_in_a_text_stays_a_text_where_images_have_parts(tmp_path: Path) -> None:
    prepare = pytest.importorskip("trl.data_utils").prepare_multimodal_messages
    example = make_example("tag", ask("draw <image> twice"), show(BLUE, 1.0))
    write("chat", [example], tmp_path)
    (row,) = load(str(tmp_path))
    assert pixels(flatten(prepare(row["messages"], images=[BLUE]))[1][1]) == (0, 0, 255)
    assert flatten(row["messages"][:1]) == [("user", "draw <image> twice")]


# ── ms-swift ───────────────────────────────────────────────────────────────────────────────────────────────────────


def join_swift(messages: list[dict[str, Any]]) -> tuple[str, list[tuple[str, bool, float]]]:
    """What ms-swift makes of messages: the query, and the pieces of the answer with `loss` and `loss_scale`."""
    assert all(message["role"] in ("user", "assistant") and message["content"] is not None for message in messages)
    (query,) = (message["content"] for message in messages if message["role"] == "user")
    answer = [message for message in messages if message["role"] == "assistant"]
    return query, [(m["content"], m.get("loss", True), m.get("loss_scale", 1.0)) for m in answer]


def test_ms_swift_reads_pieces_with_their_loss_scale(tmp_path: Path) -> None:
    write("ms_swift", ALL, tmp_path)
    lines = read_lines(tmp_path / "train.jsonl")
    for line, example in zip(lines, ALL, strict=True):
        query, answer = join_swift(line["messages"])
        pictures = [(tmp_path / path).read_bytes() for path in line["images"]]
        assert pictures == images(example.parts)
        assert read_tags(query + "".join(text for text, *_ in answer), pictures) == glue_turns(example)
        behind = example.parts[-len(answer) :]
        assert [scale for *_, scale in answer] == [part.loss for part in behind]
        assert [loss for _, loss, _ in answer] == [part.learned for part in behind]
        assert line["facts"] == dict(example.facts)
    rows = load("json", data_files=str(tmp_path / "train.jsonl"))
    assert [row["id"] for row in rows] == [example.id for example in ALL]


def glue_turns(example: Example) -> list[str | bytes]:
    """The prompt's turn and the answer's, each glued by itself."""
    start = max(k for k, part in enumerate(example.parts, 1) if part.role == "prompt")
    joined: list[str | bytes] = []
    for each in [*glue(example.parts[:start]), *glue(example.parts[start:])]:
        if joined and isinstance(each, str) and isinstance(joined[-1], str):
            joined[-1] += each
        else:
            joined.append(each)
    return joined


def test_ms_swift_reads_a_preference_with_the_images_of_both(tmp_path: Path) -> None:
    write("ms_swift", [make_preference()], tmp_path)
    (line,) = read_lines(tmp_path / "train.jsonl")
    assert [m["content"] for m in line["messages"]] == ["ein Stern", "gut ✓", "<image>"]
    assert [m["content"] for m in line["rejected_messages"]] == ["ein Stern", "schlecht", "<image>"]
    assert (tmp_path / line["images"][0]).read_bytes() == RED
    assert (tmp_path / line["rejected_images"][0]).read_bytes() == BLUE
    assert line["margin"] == 0.375


# ── LLaMA-Factory ──────────────────────────────────────────────────────────────────────────────────────────────────


def read_sharegpt(folder: Path, name: str) -> list[tuple[list[str], list[str], list[str]]]:
    """Prompts, answers and image paths as LLaMA-Factory's ShareGPT converter takes them, by dataset_info.json."""
    about = json.loads((folder / "dataset_info.json").read_text())[name]
    assert about["formatting"] == "sharegpt"
    columns, found = about["columns"], []
    for line in read_lines(folder / about["file_name"]):
        turns = line[columns["messages"]]
        for k, turn in enumerate(turns):
            assert turn["from"] == ("human", "gpt")[k % 2]
        assert len(turns) % 2 == (1 if about["ranking"] else 0)
        answers = [line[columns["chosen"]], line[columns["rejected"]]] if about["ranking"] else turns[-1:]
        asked = turns if about["ranking"] else turns[:-1]
        assert all(answer["from"] == "gpt" for answer in answers)
        values = [turn["value"] for turn in asked], [turn["value"] for turn in answers]
        assert sum(value.count("<image>") for value in (*values[0], *values[1][:1])) == len(line[columns["images"]])
        found.append((*values, line[columns["images"]]))
    return found


def test_the_first_engine_of_llamafactory_reads_two_turns(tmp_path: Path) -> None:
    write("llamafactory", ALL, tmp_path)
    for ((asked,), (answer,), paths), example in zip(read_sharegpt(tmp_path, "train"), ALL, strict=True):
        pictures = [(tmp_path / path).read_bytes() for path in paths]
        first = split(example)
        assert read_tags(asked, pictures) == glue(example.parts[:first])
        assert read_tags(answer, pictures) == glue(example.parts[first:])
        assert not pictures


def test_the_v1_engine_of_llamafactory_reads_a_weight_for_each_message(tmp_path: Path) -> None:
    write("llamafactory", ALL, tmp_path)
    rows = load("json", data_files=str(tmp_path / "train.jsonl"))
    for row, example in zip(rows, ALL, strict=True):
        pieces = [(piece, message) for message in row["messages"] for piece in message["content"]]
        assert {piece["type"] for piece, _ in pieces} <= {"text", "image_url"}
        said = [piece["value"] for piece, _ in pieces if piece["type"] == "text"]
        assert said == texts(example.parts)
        shown = [(tmp_path / piece["value"]).read_bytes() for piece, _ in pieces if piece["type"] == "image_url"]
        assert shown == images(example.parts)
        weights = [message["loss_weight"] for _, message in pieces]
        assert weights == [part.loss for part in example.parts]
        assert {message["role"] for _, message in pieces} == {"user", "assistant"}


def test_llamafactory_reads_a_preference_between_texts(tmp_path: Path) -> None:
    write("llamafactory", [make_preference(images=False)], tmp_path)
    assert read_sharegpt(tmp_path, "train") == [(["ein Stern"], ["gut ✓", "schlecht"], [])]
    (line,) = read_lines(tmp_path / "train.jsonl")
    for name, said in (("chosen_messages", "gut ✓"), ("rejected_messages", "schlecht")):
        assert [message["content"][0]["value"] for message in line[name]] == ["ein Stern", said]
        assert [message["loss_weight"] for message in line[name]] == [0.0, 1.0]
    with pytest.raises(RunError, match="a preference between images"):
        write("llamafactory", [make_preference()], tmp_path)
    with pytest.raises(RunError, match="preferences beside single answers"):
        write("llamafactory", [make_preference(images=False), make_trajectories()[0]], tmp_path)


@pytest.mark.parametrize("word", ["ms_swift", "llamafactory", "sensenova"])
def test_a_tag_in_a_text_would_take_an_image_and_is_refused(word: str, tmp_path: Path) -> None:
    prompt = make_example("tag", ask("draw <image> twice"), show(RED, 1.0))
    thought = make_example("thought", ask("draw"), say("so: <image>", 1.0), show(RED, 1.0))
    for example in (prompt, thought):
        with pytest.raises(RunError, match=f"example {example.id}: its text contains '<image>'"):
            write(word, [example], tmp_path)
