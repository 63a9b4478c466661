from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from format_cases import (
    GREEN,
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
from datagen.export.formats import webdataset as tars
from datagen.plugins import load_plugin

ALL = [*make_trajectories(), *make_reflections(), make_preference(), *make_questions()]


def rebuild(line: dict[str, Any], read: Any) -> Example:
    """An example out of its plain form; `read` gives an image's bytes by its name."""

    def part(packed: dict[str, Any]) -> Part:
        drawn = packed["kind"] == "image"
        return Part(**{**packed, "text": packed["text"] or "", "image": read(packed["image"]) if drawn else b""})

    parts, rejected = (tuple(part(each) for each in line.get(name) or []) for name in ("parts", "rejected"))
    return Example(line["id"], line["task"], line["group"], parts, rejected, json.loads(line["facts"]))


def test_json_lines_keep_everything(tmp_path: Path) -> None:
    write("jsonl", ALL, tmp_path)
    lines = read_lines(tmp_path / "train.jsonl")
    assert [rebuild(line, lambda name: (tmp_path / name).read_bytes()) for line in lines] == ALL
    files = sorted(path.suffix for path in (tmp_path / "images").rglob("*.*"))
    assert files == [".jpg", ".png", ".webp"], "each image once, named after its kind"


def test_a_dataset_of_examples_keeps_everything(tmp_path: Path) -> None:
    write("datasets", ALL, tmp_path)
    rows = load(str(tmp_path))
    assert len(rows) == len(ALL)
    for row, example in zip(rows, ALL, strict=True):
        stored = [image["bytes"] for image in row["images"]]

        line = {**row, "parts": [*row["segments"], *row["chosen"]]}
        assert rebuild(line, stored.__getitem__) == example
        assert stored == list(dict.fromkeys(images((*example.parts, *example.rejected))))


def test_a_preference_stands_apart_in_a_dataset_of_examples(tmp_path: Path) -> None:
    write("datasets", [make_preference()], tmp_path)
    (row,) = load(str(tmp_path))
    assert [part["role"] for part in row["segments"]] == ["prompt"]
    assert [part["text"] for part in row["chosen"]] == ["gut ✓", None]
    assert [part["image"] for part in row["rejected"]] == [None, 1]


def test_datasets_reads_more_json_lines_than_it_takes_the_types_from(tmp_path: Path) -> None:
    long = "x" * 4096
    examples = [make_example(f"text {k}", ask(long), say("so", 1.0), reward=None, more={}) for k in range(2600)]
    examples += [make_example("image", ask("so"), show(RED, 0.5), reward=0.5, more={"a": [1]}, other="a")]
    write("jsonl", examples, tmp_path)
    assert (tmp_path / "train.jsonl").stat().st_size > 10 * 2**20, "a block, of which datasets takes the types"
    rows = load("json", data_files=str(tmp_path / "train.jsonl"))
    assert [rebuild(row, lambda name: (tmp_path / name).read_bytes()) for row in rows] == examples


@pytest.mark.parametrize(("texts", "letters"), [(2600, 4096), (100, 1)], ids=["megabytes", "lines"])
@pytest.mark.parametrize("word", ["ms_swift", "llamafactory"])
def test_json_lines_whose_images_come_late_begin_with_one(word: str, texts: int, letters: int, tmp_path: Path) -> None:
    """Readers take the types of what comes first: `datasets` of 10 MB, Daft 0.7 of 1 MB, Polars 2.1 of 100 lines."""
    examples = [make_example(f"text {k}", ask("x" * letters), say("so", 1.0)) for k in range(texts)]
    write(word, [*examples, *make_questions(), *make_questions()], tmp_path)
    rows = load("json", data_files=str(tmp_path / "train.jsonl"))
    assert [row["id"] for row in rows] == ["question", *[example.id for example in examples], "question"]
    assert len(rows[0]["images"]) == len(rows[-1]["images"]) == 1


def read_tars(folder: Path) -> list[dict[str, Any]]:
    webdataset = pytest.importorskip("webdataset")
    return list(
        webdataset.WebDataset(sorted(map(str, folder.glob("train-*.tar"))), shardshuffle=False, empty_check=False)
    )


def test_tars_keep_everything_for_webdataset(tmp_path: Path) -> None:
    write("webdataset", ALL, tmp_path)
    found = sorted(read_tars(tmp_path), key=lambda sample: sample["__key__"])
    assert [sample["__key__"] for sample in found] == [f"train-{k:08d}" for k in range(len(ALL))]
    assert [rebuild(json.loads(sample["json"]), sample.__getitem__) for sample in found] == ALL


@pytest.mark.parametrize("reader", ["datasets", "webdataset"])
def test_tars_of_different_numbers_of_images_load_whole(reader: str, tmp_path: Path) -> None:
    twice = make_example("equal images", ask("a"), show(RED), say("b", 0.5), show(RED, 1.0))
    one, none = (
        make_example("one", ask("a"), show(RED, 1.0), reward=None),
        make_example("none", ask("a"), say("b", 1.0)),
    )
    examples = [*[replace(one, id=f"one {k}") for k in range(9)], none, twice, replace(one, id="later", facts={"r": 1})]
    write("webdataset", examples, tmp_path)
    if reader == "datasets":
        rows = load("webdataset", data_files={"train": str(tmp_path / "*.tar")})
        found = [rebuild(row["json"], lambda name, row=row: row[name]["bytes"]) for row in rows]
    else:
        found = [rebuild(json.loads(row["json"]), row.__getitem__) for row in read_tars(tmp_path)]
    assert sorted(found, key=lambda each: each.id) == sorted(examples, key=lambda each: each.id)


def test_pairs_are_a_text_beside_a_picture(tmp_path: Path) -> None:
    examples = make_trajectories()[::3]
    write("webdataset", examples, tmp_path, layout="pair")
    for row, example in zip(read_tars(tmp_path), examples, strict=True):
        assert row["txt"].decode() == f"{example.parts[0].text}\n\n{example.parts[1].text}"
        assert row["png"] == example.parts[2].image
        about = json.loads(row["json"])
        assert (about["weight"], json.loads(about["facts"])) == (example.parts[2].loss, dict(example.facts))
    rows = load("webdataset", data_files={"train": str(tmp_path / "*.tar")})
    assert [row["png"]["bytes"] for row in rows] == [example.parts[2].image for example in examples]


@pytest.mark.parametrize("example", [make_preference(), make_reflections()[0], make_questions()[0]])
def test_a_pair_holds_one_image_behind_texts_alone(example: Example, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"example {example.id}: the format 'webdataset' cannot hold"):
        write("webdataset", [example], tmp_path, layout="pair")


@pytest.mark.parametrize(
    ("word", "options"), [("imagefolder", {}), ("webdataset", {"layout": "pair"}), ("sensenova", {"buckets": (1,)})]
)
def test_an_image_that_was_refused_is_no_target_of_what_reads_no_weight(
    word: str, options: dict[str, Any], tmp_path: Path
) -> None:
    """Of a right plan that was drawn wrong, the text has a weight and the image none."""
    kept = make_example("right", ask("ein Stern"), say("so", 1.0), show(RED, 1.0))
    refused = make_example("wrong", ask("zwei Sterne"), say("so", 1.0), show(GREEN, 0.0))
    module = load_plugin("export.formats", word, "write")
    assert module.write([refused, kept], tmp_path, "train", module.Options(**options)) == 1
    written = b"".join(file.read_bytes() for file in sorted(tmp_path.rglob("*")) if file.is_file())
    assert RED in written
    assert GREEN not in written


def test_tars_are_closed_in_time_and_the_same_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tars, "TAR_BYTES", 8192)
    for name in ("one", "two"):
        write("webdataset", ALL, tmp_path / name)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert first == second
    assert len(first) > 2
    assert all(len(content) <= 8192 + 1024 for content in first.values())
    keys = []
    for path in sorted((tmp_path / "one").iterdir()):
        with tarfile.open(path) as tar:
            suffixes = [{name.split(".", 1)[1] for name in names} for names in group_members(tar)]
            assert all(each == suffixes[0] for each in suffixes), "the members of a tar have the same suffixes"
            keys += [names[0].split(".")[0] for names in group_members(tar)]
    assert sorted(keys) == [f"train-{k:08d}" for k in range(len(ALL))]


def group_members(tar: tarfile.TarFile) -> list[list[str]]:
    """The names of the members of each example."""
    return [list(names) for _, names in groupby(tar.getnames(), key=lambda name: name.split(".")[0])]


def test_an_image_folder_loads_with_its_texts_and_weights(tmp_path: Path) -> None:
    examples = make_trajectories()
    write("imagefolder", examples, tmp_path)
    rows = load("imagefolder", data_dir=str(tmp_path))
    assert [row["text"] for row in rows] == [f"{e.parts[0].text}\n\n{e.parts[1].text}" for e in examples]
    assert [row["weight"] for row in rows] == [e.parts[2].loss for e in examples]
    assert [row["id"] for row in rows] == [e.id for e in examples]
    assert [Path(row["image"]["path"]).read_bytes() for row in rows] == [e.parts[2].image for e in examples]
    assert len(list((tmp_path / "train" / "images").rglob("*.*"))) == 3


def test_an_image_folder_of_one_split_has_no_other_below_it(tmp_path: Path) -> None:
    """diffusers' scripts load everything below a folder: `data_files={"train": "FOLDER/**"}`."""
    format_ = load_plugin("export.formats", "imagefolder", "write")
    options = format_.Options(split="train")
    examples = make_trajectories()
    assert format_.write(examples, tmp_path, "train", options) == len(examples)
    assert format_.write(examples[:1], tmp_path, "validation", options) == 0
    (tmp_path / "README.md").write_text("# an export\n")
    rows = load("imagefolder", data_files={"train": str(tmp_path / "**")})
    assert sorted(row["id"] for row in rows) == sorted(example.id for example in examples)


@pytest.mark.parametrize("example", [make_preference(), make_reflections()[0], make_questions()[0]])
def test_an_image_folder_holds_one_image_behind_texts_alone(example: Example, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"example {example.id}: the format 'imagefolder' cannot hold"):
        write("imagefolder", [example], tmp_path)
