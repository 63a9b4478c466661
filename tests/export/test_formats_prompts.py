from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from format_cases import AWKWARD, GREEN, RED, ask, load, make_example, pixels, read_lines, say, show, write

from datagen.documents.geneval_lines import claims_of
from datagen.documents.geneval_lines import read_lines as read_metadata
from datagen.errors import RunError
from datagen.export import ViewResult
from datagen.export.checks import Checks
from datagen.export.examples import Example
from datagen.plugins import load_plugin
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


def read_prompt_dataset(folder: Path, split: str) -> list[dict[str, Any]]:
    """The lines that flow_grpo's `GenevalPromptDataset` reads, one `json.loads` a line of the file."""
    with (folder / f"{split}_metadata.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_geneval_has_the_names_of_flow_grpo(tmp_path: Path) -> None:
    format_ = load_plugin("export.formats", "geneval", "write")
    for split in ("train", "validation"):
        assert format_.write(make_prompts(), tmp_path, split, format_.Options(layout="flow_grpo")) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"train_metadata.jsonl", "test_metadata.jsonl"}
    assert [line["prompt"] for line in read_prompt_dataset(tmp_path, "test")] == list(CLAIMS)


def test_geneval_folders_have_the_images_that_its_evaluator_judges(tmp_path: Path) -> None:
    examples = [
        replace(example, parts=(*example.parts[:1], show(image, 1.0)), group=example.group)
        for example, image in zip(make_prompts(), [RED, GREEN] * 3, strict=True)
    ]
    write("geneval", examples, tmp_path, layout="folders")
    folders = sorted((tmp_path / "train").iterdir())
    assert [folder.name for folder in folders] == ["00000", "00001", "00002"]
    for folder, prompt in zip(folders, CLAIMS, strict=True):
        (line,) = read_metadata(folder / "metadata.jsonl")
        assert line.prompt == prompt
        samples = sorted((folder / "samples").iterdir())
        assert [path.name for path in samples] == ["00000.png", "00001.png"]
        assert samples[0].read_bytes() == RED
        assert pixels(samples[1].read_bytes()) == pixels(GREEN)
        assert samples[1].read_bytes().startswith(b"\x89PNG")
    with pytest.raises(RunError, match="an example without an image in folders"):
        write("geneval", make_prompts(), tmp_path / "none", layout="folders")


def test_prompts_that_geneval_cannot_ask_for_are_left_out_on_request(tmp_path: Path) -> None:
    sign = make_example("sign", ask("a sign"), claims=[{"kind": "text", "subject": "", "name": "", "value": "OPEN"}])
    format_ = load_plugin("export.formats", "geneval", "write")
    checks = Checks(tmp_path, skip=True, find_fault=lambda example: format_.find_fault(example, format_.Options()))
    given = checks.check_examples([sign, *make_prompts()])
    assert format_.write(given, tmp_path, "train", format_.Options()) == 3
    result = ViewResult(tmp_path, {}, checks.skipped, checks.unheld)
    assert result.describe_skipped().startswith("1 examples left out, which the format cannot hold: GenEval cannot ask")
    assert result.describe_skipped().endswith(": sign")


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


T2I_ROW = {
    "prompt": "a cup on a star",
    "nouns": ["cup", "star"],
    "task_type": "spatial",
    "spatial_info": {"obj1": "cup", "obj2": "star", "locality": "on the top of"},
}


def test_t2i_r1_reads_every_column_of_every_row(tmp_path: Path) -> None:
    """Its reward `git` asks every row for `attr_nouns`, whatever the first rows have."""
    plain = {"prompt": "a cup", "nouns": ["cup"], "task_type": "object"}
    counted = {**plain, "task_type": "numeracy", "numeracy_info": [{"obj_name": "cup", "num": 2}]}
    colored = {**plain, "task_type": "color", "attr_nouns": ["red cup"]}
    facts = [plain] * 1200 + [T2I_ROW, counted, colored]
    write(
        "t2i_r1",
        [make_example(f"p{k}", ask(f["prompt"]), **f, advantages=[0.5]) for k, f in enumerate(facts)],
        tmp_path,
    )
    rows = load("parquet", data_files=str(tmp_path / "train.parquet"))
    keys = ["prompt", "nouns", "task_type", "attr_nouns", "spatial_info", "numeracy_info"]
    assert [{key: row[key] for key in keys} for row in rows] == [{**dict.fromkeys(keys), **fact} for fact in facts]
    assert {*rows[0]} == {*keys, "id"}


def test_t2i_r1_needs_its_view(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="choose the view `t2i_r1`"):
        write("t2i_r1", [make_example("p", ask("a cup"))], tmp_path)


def test_awkward_prompts_are_lines_of_their_own(tmp_path: Path) -> None:
    claims = [{"kind": "count", "subject": "star", "name": "", "value": "3"}]
    write("geneval", [make_example(f"p{k}", ask(t), claims=claims) for k, t in enumerate(AWKWARD)], tmp_path)
    assert [line["prompt"] for line in read_lines(tmp_path / "train.jsonl")] == AWKWARD
