"""Formats of conversations, read back with TRL's own reader or with what the trainers' sources say of theirs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
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
    read_lines,
    say,
    show,
    write,
)

from datagen.errors import RunError
from datagen.export.examples import Example, Part
from datagen.export.files import split_by_role
from datagen.plugins import load_plugin

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


def list_lessons(examples: Sequence[Example]) -> list[tuple[list[str | bytes], str, float]]:
    """What comes before each stretch of learned texts of one weight, the stretch, and the weight."""
    lessons = []
    for example in examples:
        for weight, stretch in groupby(enumerate(example.parts), lambda each: (each[1].kind == "text") * each[1].loss):
            numbered = list(stretch)
            said = "\n\n".join(part.text for _, part in numbered)
            if weight and said:
                lessons.append((glue(example.parts[: numbered[0][0]]), said, weight))
    return lessons


# ── chat ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def flatten(messages: list[dict[str, Any]]) -> list[str | bytes]:
    """The pieces of every message, images as their bytes."""
    pieces = [piece for message in messages for piece in message["content"]]
    return [piece["text"] if piece["type"] == "text" else piece["image"] for piece in pieces]


def fill(row: dict[str, Any], name: str, *, images: bool = True) -> list[str | bytes]:
    """The pieces of a row's messages after TRL has filled its images in."""
    prepare = pytest.importorskip("trl.data_utils").prepare_multimodal_messages
    return flatten(prepare(row[name], images=[image["bytes"] for image in row["images"]] if images else None))


def test_every_learned_text_is_an_answer_for_trl_and_images_are_in_prompts_alone(tmp_path: Path) -> None:
    write("chat", ALL, tmp_path)
    rows = load(str(tmp_path))
    found = [(fill(row, "prompt"), fill(row, "completion", images=False), row["weight"]) for row in rows]
    assert found == [(asked, [said], weight) for asked, said, weight in list_lessons(ALL)]
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["id"].rsplit("-", 1)[0] for row in rows} >= {"whole"}
    assert all(json.loads(row["facts"])["weakness"] == "counting" for row in rows)


def test_one_list_holds_the_same_turns(tmp_path: Path) -> None:
    write("chat", ALL, tmp_path / "completion")
    write("chat", ALL, tmp_path / "messages", layout="messages")
    apart, together = load(str(tmp_path / "completion")), load(str(tmp_path / "messages"))
    assert [row["messages"] for row in together] == [[*row["prompt"], *row["completion"]] for row in apart]


def test_pieces_of_a_conversation_have_no_null_keys(tmp_path: Path) -> None:
    write("chat", ALL, tmp_path)
    for row in load(str(tmp_path)):
        for message in [*row["prompt"], *row["completion"]]:
            assert set(message) == {"role", "content"}
            pieces = [] if isinstance(message["content"], str) else message["content"]
            assert all(set(piece) in ({"type"}, {"type", "text"}) for piece in pieces)
            assert all(("text" in piece) == (piece["type"] == "text") for piece in pieces)


def test_texts_alone_have_no_column_of_images_and_plain_contents(tmp_path: Path) -> None:
    write("chat", make_trajectories(), tmp_path)
    rows = load(str(tmp_path))
    assert "images" not in rows[0]
    assert [row["completion"] for row in rows] == [
        [{"role": "assistant", "content": said}] for _, said, _ in list_lessons(make_trajectories())
    ]


def read_split(folder: Path, split: str) -> list[dict[str, Any]]:
    """The rows of a split, out of the one dataset that all splits are."""
    from datasets import load_dataset

    return list(load_dataset(str(folder))[split])


def test_a_split_has_images_if_an_earlier_one_has(tmp_path: Path) -> None:
    chat = load_plugin("export.formats", "chat", "write")
    for split, examples in (("train", make_reflections()), ("validation", make_trajectories())):
        chat.write(iter(examples), tmp_path, split, chat.Options())
    assert {tuple(row) for row in read_split(tmp_path, "train")} == {
        tuple(row) for row in read_split(tmp_path, "validation")
    }


def test_images_in_a_later_split_alone_are_refused(tmp_path: Path) -> None:
    chat = load_plugin("export.formats", "chat", "write")
    chat.write(iter(make_trajectories()), tmp_path, "train", chat.Options())
    with pytest.raises(RunError, match="images in the split 'validation' alone"):
        chat.write(iter(make_reflections()), tmp_path, "validation", chat.Options())


def test_prompts_alone_stand_once_with_their_images(tmp_path: Path) -> None:
    twice = [each for example in (*ALL[:2], *make_questions()) for each in (example, replace(example, id="again"))]
    write("chat", twice, tmp_path, layout="prompt")
    rows = load(str(tmp_path))
    assert [fill(row, "prompt") for row in rows] == [glue(split_by_role(example)[0]) for example in twice[::2]]
    assert [json.loads(row["facts"]) for row in rows] == [dict(example.facts) for example in twice[::2]]


def test_a_preference_between_texts_is_one_for_trl(tmp_path: Path) -> None:
    asked = replace(make_preference(images=False), parts=(show(RED), *make_preference(images=False).parts))
    write("chat", [asked], tmp_path)
    (row,) = load(str(tmp_path))
    assert fill(row, "prompt") == [RED, "ein Stern"]
    assert row["chosen"] == [{"role": "assistant", "content": "gut ✓"}]
    assert row["rejected"] == [{"role": "assistant", "content": "schlecht"}]
    assert row["margin"] == 0.375


def test_what_trl_cannot_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="example pair: the format 'chat' cannot hold a preference between images"):
        write("chat", [make_preference()], tmp_path)
    with pytest.raises(RunError, match="preferences beside single answers"):
        write("chat", [make_trajectories()[0], make_preference(images=False)], tmp_path)


def test_an_image_tag_in_a_text_stays_a_text_where_images_have_parts(tmp_path: Path) -> None:
    write("chat", [make_example("tag", ask("draw <image> twice"), show(BLUE), say("no", 1.0))], tmp_path)
    (row,) = load(str(tmp_path))
    assert fill(row, "prompt") == ["draw <image> twice", BLUE]


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
    taught = [example for example in ALL if list_lessons([example])]
    for line, example in zip(lines, taught, strict=True):
        query, answer = join_swift(line["messages"])
        pictures = [(tmp_path / path).read_bytes() for path in line["images"]]
        assert pictures == images(example.parts)
        assert read_tags(query + "".join(text for text, *_ in answer), pictures) == glue_turns(example)
        behind = example.parts[-len(answer) :]
        assert [scale for *_, scale in answer] == [part.loss for part in behind]
        assert [loss for _, loss, _ in answer] == [part.learned for part in behind]
        assert json.loads(line["facts"]) == dict(example.facts)
    rows = load("json", data_files=str(tmp_path / "train.jsonl"))
    assert [row["id"] for row in rows] == [example.id for example in taught]


def test_ms_swift_is_told_where_images_are_and_how_a_turn_ends(tmp_path: Path) -> None:
    thought = make_example("thought", ask("ein Stern"), say("so", 0.5), piece=1, pieces=2, ends=False)
    write("ms_swift", [*make_questions(), thought], tmp_path, root="/data/mine/", end="<|im_end|>")
    question, goes_on = read_lines(tmp_path / "train.jsonl")
    assert [path.startswith("/data/mine/images/") for path in question["images"]] == [True]
    ending = {"role": "assistant", "content": "<|im_end|>", "loss": True, "loss_scale": 0.7}
    assert question["messages"][-1] == ending
    assert goes_on["messages"][-1]["content"] == "so"
    assert not question["add_eos"]
    assert not goes_on["add_eos"]


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


def test_llamafactory_reads_every_learned_text_as_an_answer(tmp_path: Path) -> None:
    write("llamafactory", ALL, tmp_path)
    lines = read_lines(tmp_path / "train.jsonl")
    found = []
    for ((asked,), (answer,), paths), line in zip(read_sharegpt(tmp_path, "train"), lines, strict=True):
        pictures = [(tmp_path / path).read_bytes() for path in paths]
        found.append((read_tags(asked, pictures), answer, line["weight"]))
        assert not pictures
    assert found == list_lessons(ALL)
    rows = load("json", data_files=str(tmp_path / "train.jsonl"))
    assert [row["id"] for row in rows] == [line["id"] for line in lines]


def test_llamafactory_reads_a_preference_between_texts(tmp_path: Path) -> None:
    write("llamafactory", [make_preference(images=False)], tmp_path)
    assert read_sharegpt(tmp_path, "train") == [(["ein Stern"], ["gut ✓", "schlecht"], [])]
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
