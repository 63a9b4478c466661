from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from format_cases import (
    images,
    load,
    make_preference,
    make_questions,
    make_reflections,
    make_trajectories,
    read_lines,
    write,
)

from datagen.errors import RunError
from datagen.export.examples import Example, Part
from datagen.export.formats import webdataset as tars
from datagen.picture_files import name_ending
from datagen.plugins import load_plugin

ALL = [*make_trajectories(), *make_reflections(), make_preference(), *make_questions()]


def rebuild(line: dict[str, Any], read: Any) -> Example:
    """An example out of its plain form, without the nulls of Arrow; `read` gives an image's bytes by its name."""

    def part(packed: dict[str, Any]) -> Part:
        known = {name: value for name, value in packed.items() if value is not None}
        return Part(**{**known, "image": read(known["image"])} if "image" in known else known)

    parts, rejected = (tuple(part(each) for each in line.get(name, [])) for name in ("parts", "rejected"))
    facts = {name: value for name, value in line["facts"].items() if value is not None}
    return Example(line["id"], line["task"], line["group"], parts, rejected, facts)


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

        line = {**row, "parts": [*row["segments"], *row["chosen"]], "facts": json.loads(row["facts"])}
        assert rebuild(line, stored.__getitem__) == example
        assert stored == list(dict.fromkeys(images((*example.parts, *example.rejected))))


def test_a_preference_stands_apart_in_a_dataset_of_examples(tmp_path: Path) -> None:
    write("datasets", [make_preference()], tmp_path)
    (row,) = load(str(tmp_path))
    assert [part["role"] for part in row["segments"]] == ["prompt"]
    assert [part["text"] for part in row["chosen"]] == ["gut ✓", None]
    assert [part["image"] for part in row["rejected"]] == [None, 1]


def test_tars_keep_everything_for_webdataset(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    write("webdataset", ALL, tmp_path)
    found = list(webdataset.WebDataset(str(tmp_path / "train-000000.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in found] == [f"{k:08d}" for k in range(len(ALL))]
    assert [rebuild(json.loads(sample["json"]), sample.__getitem__) for sample in found] == ALL


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_tars_load_with_datasets(ending: str, tmp_path: Path) -> None:
    examples = [each for each in make_trajectories() if name_ending(each.parts[-1].image) == ending]
    write("webdataset", examples, tmp_path)
    rows = load("webdataset", data_files={"train": str(tmp_path / "*.tar")})
    assert [rebuild(row["json"], lambda _, row=row: row[f"0.{ending}"]["bytes"]) for row in rows] == examples


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
            keys += [name.split(".")[0] for name in tar.getnames()]
    assert keys == sorted(keys)
    assert len({*keys}) == len(ALL)


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
