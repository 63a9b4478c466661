from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from format_cases import AWKWARD, GREEN, ask, load, make_example, read_lines, say, show, write

from datagen.documents.geneval_lines import claims_of
from datagen.documents.geneval_lines import read_lines as read_metadata
from datagen.errors import RunError
from datagen.export.examples import Example
from datagen.records import Claim

CLAIMS = {
    "three stars": [Claim("count", "star", value=3)],
    "a red star": [Claim("count", "star", value=1), Claim("attribute", "star", "color", "red")],
    "a cat left of a box": [Claim("relation", "cat", "left of", "box")],
}


def make_prompts() -> list[Example]:
    """Prompts with claims as the dataset has them (values as text), two examples of each."""
    examples = []
    for text, claims in CLAIMS.items():
        packed = [{**claim.to_dict(), "value": str(claim.value)} for claim in claims]
        example = make_example(text, ask(text), task="prompt", claims=packed, rewards=[0.25, 1.0])
        examples += [example, replace(example, id=f"{text} again", parts=(ask(text), say("x", 1.0), show(GREEN, 1.0)))]
    return examples


def test_geneval_reads_what_each_prompt_asks_for(tmp_path: Path) -> None:
    write("geneval", make_prompts(), tmp_path)
    lines = read_metadata(tmp_path / "train.jsonl")
    assert [line.prompt for line in lines] == list(CLAIMS)
    assert [line.tag for line in lines] == ["counting", "colors", "position"]
    asked = [{*claims_of(line)} for line in lines]
    assert all({*claims} <= each for claims, each in zip(CLAIMS.values(), asked, strict=True))
    first = json.loads((tmp_path / "train.jsonl").read_text().split("\n")[0])
    assert first == {
        "tag": "counting",
        "include": [{"class": "star", "count": 3}],
        "exclude": [{"class": "star", "count": 4}],
        "prompt": "three stars",
    }


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, "the view gives no claims"),
        ({"claims": [{"kind": "text", "subject": "", "name": "", "value": "OPEN"}]}, "GenEval cannot ask for"),
    ],
)
def test_what_geneval_cannot_ask_names_its_example(facts: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"example sign: {reason}"):
        write("geneval", [make_example("sign", ask("a sign"), **facts)], tmp_path)


def test_verl_reads_prompts_with_what_judges_them(tmp_path: Path) -> None:
    write("verl", make_prompts(), tmp_path)
    rows = load("parquet", data_files=str(tmp_path / "*.parquet"))
    assert [row["prompt"] for row in rows] == [[{"role": "user", "content": text}] for text in CLAIMS]
    assert [row["extra_info"]["index"] for row in rows] == [0, 1, 2]
    assert {row["data_source"] for row in rows} == {"datagen/prompt"}
    assert {row["ability"] for row in rows} == {"counting"}
    for row, claims in zip(rows, CLAIMS.values(), strict=True):
        assert row["reward_model"]["style"] == "rule"
        truth = json.loads(row["reward_model"]["ground_truth"])
        assert [claim["value"] for claim in truth["claims"]] == [str(claim.value) for claim in claims]
        assert truth["rewards"] == [0.25, 1.0]
    (path,) = tmp_path.glob("*.parquet")
    assert set(pq.read_schema(path).names) == {"data_source", "prompt", "ability", "reward_model", "extra_info"}


def test_verl_fills_the_images_of_a_prompt(tmp_path: Path) -> None:
    example = make_example("see", show(GREEN, sees="vit"), ask("what is it?"), say("a star", 1.0))
    write("verl", [example], tmp_path)
    (row,) = load("parquet", data_files=str(tmp_path / "*.parquet"))
    assert row["prompt"] == [{"role": "user", "content": "<image>what is it?"}]
    assert [image["bytes"] for image in row["images"]] == [GREEN]


def test_verl_takes_tags_for_images_only_where_there_are_some(tmp_path: Path) -> None:
    texts = [*AWKWARD, "draw <image> twice"]
    write("verl", [make_example(f"p{k}", ask(text)) for k, text in enumerate(texts)], tmp_path / "texts")
    rows = load("parquet", data_files=str(tmp_path / "texts" / "*.parquet"))
    assert [row["prompt"][0]["content"] for row in rows] == texts
    tagged = make_example("tag", show(GREEN, sees="vit"), ask("an <image>?"), say("no", 1.0))
    with pytest.raises(RunError, match="example tag: its text contains '<image>'"):
        write("verl", [tagged], tmp_path / "tagged")
    with pytest.raises(RunError, match="prompts with images beside prompts without"):
        write("verl", [make_example("a", ask("a")), make_example("b", show(GREEN), ask("b"))], tmp_path / "mixed")


def test_awkward_prompts_are_lines_of_their_own(tmp_path: Path) -> None:
    claims = [{"kind": "count", "subject": "star", "name": "", "value": "3"}]
    write("geneval", [make_example(f"p{k}", ask(t), claims=claims) for k, t in enumerate(AWKWARD)], tmp_path)
    assert [line["prompt"] for line in read_lines(tmp_path / "train.jsonl")] == AWKWARD
