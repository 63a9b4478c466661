"""Every format is a plugin that says what it loses, and stands in the table of docs/formats.md."""

from __future__ import annotations

from pathlib import Path

import pytest
from format_cases import make_reflections, make_trajectories, write
from pydantic import BaseModel

from datagen.plugins import known_words, load_plugin

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
WORDS = {"parts", "message", "column", "copies", "repeat", "reward", "none"}
FORMATS = known_words("export.formats")


def read_table() -> dict[str, list[str]]:
    lines = [line for line in PAGE.split("\n") if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row for row in cells}


def test_the_table_has_all_formats_and_no_other() -> None:
    assert sorted(read_table()) == FORMATS


@pytest.mark.parametrize("word", FORMATS)
def test_a_format_conforms_and_the_table_says_so(word: str) -> None:
    format_ = load_plugin("export.formats", word, "write")
    assert issubclass(format_.Options, BaseModel)
    assert format_.Options.model_config["extra"] == "forbid"
    _, _, _, weight, loses, _ = read_table()[word]
    assert format_.WEIGHTS in WORDS
    assert weight == format_.WEIGHTS
    assert (loses == "nothing") == (format_.LOSES == "")
    assert not format_.LOSES.endswith(".")


@pytest.mark.parametrize("word", FORMATS)
def test_an_empty_split_is_no_error(word: str, tmp_path: Path) -> None:
    write(word, [], tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize("word", ["jsonl", "datasets", "webdataset", "chat", "ms_swift", "llamafactory", "sensenova"])
def test_two_splits_stand_in_one_folder(word: str, tmp_path: Path) -> None:
    format_ = load_plugin("export.formats", word, "write")
    for split, examples in (("train", make_reflections()), ("validation", make_trajectories())):
        assert format_.write(iter(examples), tmp_path, split, format_.Options()) > 0
    files = [path for path in tmp_path.rglob("*.*") if "images" not in path.relative_to(tmp_path).parts]
    assert {path.name.split("-")[0].split(".")[0] for path in files} <= {"train", "validation", "dataset_info"}
