from __future__ import annotations

import json
from pathlib import Path

import pytest

from datagen.errors import ConfigError
from datagen.prompts.contamination import NGRAM, Contamination, normalize


def guard(*prompts: str, ngram: int = NGRAM) -> Contamination:
    return Contamination.from_prompts([(f"list.txt:{line}", prompt) for line, prompt in enumerate(prompts, 1)], ngram)


@pytest.mark.parametrize(
    "variant",
    [
        "A photo of a dog.",
        "a  photo\tof a DOG",
        "“a photo of a dog!”",
        "a photo-of-a_dog",
        "ａ ｐｈｏｔｏ ｏｆ ａ ｄｏｇ",
    ],
)
def test_the_same_words_in_another_dress_are_refused(variant: str) -> None:
    assert guard("a bus", "a photo of a dog").match(variant) == "the same words as list.txt:2"


def test_accents_and_case_are_of_one_form() -> None:
    assert normalize("CAFE\u0301 Straße") == normalize("café STRASSE")


def test_articles_count() -> None:
    assert guard("a photo of the dog").match("a photo of a dog") is None


def test_eight_words_in_a_row_are_refused_and_seven_are_not() -> None:
    benchmark = "one two three four five six seven eight nine"
    found = guard(benchmark).match("zero two three four five six seven eight nine ten")
    assert found == "8 words in a row as in list.txt:1: 'two three four five six seven eight nine'"
    assert guard(benchmark).match("zero two three four five six seven eight ten eleven") is None


def test_prompts_shorter_than_the_run_are_judged_as_a_whole_only() -> None:
    short = guard("a photo of a dog")
    assert short.match("a photo of a dog and two of the seven cats") is None
    long = guard("a photo of a dog and two of the seven cats")
    assert long.match("a photo of a dog and two") is None
    assert guard("a photo of a dog", ngram=3).match("a photo of cats") is not None


def test_empty_lines_and_punctuation_alone_refuse_nothing() -> None:
    assert guard("", "!!!").match("...") is None


def test_all_three_forms_of_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one dog\n\ntwo dogs\n")
    metadata = [{"tag": "counting", "prompt": "three dogs", "include": []}, {"prompt": "four dogs"}]
    (tmp_path / "b.jsonl").write_text("\n".join(json.dumps(line) for line in metadata))
    (tmp_path / "c.csv").write_bytes(b'\xef\xbb\xbfid,Prompt\r\n1,"five, dogs"\r\n')
    found = Contamination.from_files([tmp_path / name for name in ("a.txt", "b.jsonl", "c.csv")])
    assert found.match("two dogs") == "the same words as a.txt:3"
    assert found.match("Four dogs") == "the same words as b.jsonl:2"
    assert found.match("five dogs") == "the same words as c.csv:2"
    assert found.match("six dogs") is None


def test_every_bad_line_is_named_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text('{"prompt": "ok"}\n{"prompt": "half\n{"text": "no"}\n[1]\n{"prompt": 3}\n')
    (tmp_path / "c.csv").write_text("prompt,x\nfine,1\n")
    (tmp_path / "d.csv").write_text("id,text\n1,hello\n")
    with pytest.raises(ConfigError) as caught:
        Contamination.from_files([tmp_path / name for name in ("b.jsonl", "c.csv", "d.csv")])
    said = str(caught.value)
    assert [f"b.jsonl:{line}" in said for line in (1, 2, 3, 4, 5)] == [False, True, True, True, True]
    assert "d.csv:1" in said
    assert "c.csv" not in said


def test_an_unclosed_quote_in_csv_is_a_bad_line(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text('prompt\n"abc\n')
    with pytest.raises(ConfigError, match="not CSV"):
        Contamination.from_files([tmp_path / "c.csv"])


def test_files_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("x")
    (tmp_path / "latin.txt").write_bytes(b"ok\ncaf\xe9\n")
    with pytest.raises(ConfigError, match="file type of a benchmark list"):
        Contamination.from_files([tmp_path / "x.parquet"])
    with pytest.raises(ConfigError, match="cannot read"):
        Contamination.from_files([tmp_path / "none.txt"])
    with pytest.raises(ConfigError, match="UTF-8") as caught:
        Contamination.from_files([tmp_path / "latin.txt"])
    assert caught.value.where.endswith("latin.txt:2")
    with pytest.raises(ConfigError, match="n-grams of 1"):
        guard("a b", ngram=1)
