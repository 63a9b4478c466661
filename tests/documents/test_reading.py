from __future__ import annotations

from pathlib import Path

import pytest

from datagen.documents.reading import MAX_DEPTH, NOWHERE, Document, parse_yaml, read_yaml
from datagen.errors import ConfigError


def test_every_key_and_value_has_its_line_and_column() -> None:
    document = parse_yaml("a: 1\nskills:\n  - name: one\n    slots: {n: [2, 6]}\n", "x.yaml")
    assert document.data == {"a": 1, "skills": [{"name": "one", "slots": {"n": [2, 6]}}]}
    assert document.values[("skills", 0, "slots", "n", 1)] == (4, 20)
    assert document.keys[("skills", 0, "slots")] == (4, 5)
    assert document.values[("skills", 0, "name")] == (3, 11)


def test_a_path_that_is_not_there_gets_the_spot_of_its_nearest_parent() -> None:
    document = parse_yaml("a:\n  b: 1\n", "x.yaml")
    assert document.spot(("a", "nothing", 3)) == (2, 3)
    assert document.spot(("zzz",)) == (1, 1)


def test_a_document_that_was_not_read_has_no_spots() -> None:
    assert Document("x", {"a": 1}).spot(("a",)) == NOWHERE


def test_what_is_forgotten_loses_its_spots_with_all_in_it_and_around_it() -> None:
    document = parse_yaml("a:\n  b: {c: 1}\n  d: 2\n", "x.yaml")
    document.forget(("a", "b"))
    for path in ((), ("a",), ("a", "b"), ("a", "b", "c"), ("new",)):
        assert document.spot(path) == document.spot(path, key=True) == NOWHERE
    assert document.spot(("a", "d")) == (3, 6)
    assert document.spot(("a", "d"), key=True) == (3, 3)


def test_an_empty_file_is_none_and_not_an_error() -> None:
    document = parse_yaml("# only a comment\n", "x.yaml")
    assert (document.data, document.spot(("a",))) == (None, (1, 1))


def test_a_key_that_stands_twice_is_a_problem_at_the_second_one() -> None:
    document = parse_yaml("share: 1\nname: x\nshare: 2\n", "x.yaml")
    assert [str(problem) for problem in document.problems] == [
        "x.yaml:3:1  the key 'share' is defined twice; it is also at line 1: keep one"
    ]
    assert document.data["share"] == 1


@pytest.mark.parametrize("word", ["NO", "ON", "TRUE", "yes", "Off"])
def test_a_word_that_yaml_takes_for_a_truth_value_is_a_problem_that_says_to_quote_it(word: str) -> None:
    document = parse_yaml(f"words: [UP, {word}]\n", "x.yaml")
    assert document.data == {"words": ["UP", word]}
    (problem,) = document.problems
    assert (problem.line, problem.column) == (1, 13)
    assert word in problem.what
    assert f'write it in quotes: "{word}"' in problem.hint


def test_quoted_words_and_truth_values_of_keys_are_no_problem() -> None:
    document = parse_yaml("words: [\"NO\", 'ON']\nkept: true\non: 3\n2: x\n", "x.yaml")
    assert document.problems == []
    assert document.data == {"words": ["NO", "ON"], "kept": True, "on": 3, "2": "x"}


def test_dates_and_broken_numbers_stay_text() -> None:
    assert parse_yaml("a: 2026-01-02\nb: 0b_\n", "x.yaml").data == {"a": "2026-01-02", "b": "0b_"}


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system ['ls']", "!!python/name:os.system x", "!mine x", "!!set {a}"]
)
def test_tags_never_make_objects(tag: str) -> None:
    document = parse_yaml(f"a: {tag}\n", "x.yaml")
    assert isinstance(document.data["a"], str | list | dict)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: [1, 2\nb: 3\n", "x.yaml:2:2", "it began at line 1"),
        ("a: b: c\n", "x.yaml:1:5", "mapping values are not allowed"),
        ("a: 1\n\tb: 2\n", "x.yaml:2:1", "tab"),
        ('a: "abc\n', "x.yaml:2:1", "quote"),
        ("a: *nowhere\n", "x.yaml:1:4", "alias"),
        ("a: 1\n---\nb: 2\n", "x.yaml:2:1", "single document"),
        ("a: \x00\n", "x.yaml:1", "not allowed"),
        ("[" * 100_000, f"x.yaml:1:{MAX_DEPTH + 1}", "levels deep"),
        ("a: &a [*a]\n", "x.yaml:1:4", "contains itself"),
    ],
)
def test_broken_yaml_says_where_and_what(text: str, place: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "x.yaml")
    assert caught.value.where.startswith(place)
    assert words in str(caught.value)


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(ConfigError, match="more than"):
        parse_yaml("\n".join(lines), "x.yaml")


def test_an_alias_used_twice_is_fine() -> None:
    document = parse_yaml("a: &x [1, 2]\nb: *x\n", "x.yaml")
    assert document.data == {"a": [1, 2], "b": [1, 2]}


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot read the file"):
        read_yaml(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        read_yaml(latin)
    assert caught.value.where.endswith("latin.yaml:2")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(path).data == {"a": 1}
