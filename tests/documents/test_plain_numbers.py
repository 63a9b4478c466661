"""Numbers that YAML reads as others than people write: told at their line by every reader of users' files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from datagen.config import load_recipe
from datagen.documents.reading import dump_yaml, parse_yaml
from datagen.errors import ConfigError
from datagen.taxonomy import load_lexicon
from tests.helpers.runs import run_cli

RECIPE = "taxonomy: counting\nprompts: 10\nseed: 0\n"
LEXICON = "version: 1\nlexicon: mine\nobjects:\n  - cat\nwords:\n  - OPEN\n"
ODD = [
    ("010", "YAML reads 8; write 10"),
    ("007", "write 7"),
    ("08", "write 8"),
    ("0b11", "YAML reads 3; write 3"),
    ("0x1F", "YAML reads 31; write 31"),
    ("0o17", "write 15"),
    ("1_000", "write 1000"),
    ("+5", "write 5"),
    (".5", "write 0.5"),
    ("5.", "write 5.0"),
    ("1e3", "write 1000"),
    ("1E-5", "write 0.00001"),
    ("2.5e4", "write 25000"),
    ("1:30", "YAML reads 90; write 90"),
    ("1:30:00", "YAML reads 5400; write 5400"),
]
PLAIN = [("0", 0), ("10", 10), ("-3", -3), ("0.25", 0.25), ("1.50", 1.5), ("1.0e-4", 0.0001), ("2.5e+3", 2500.0)]


@pytest.mark.parametrize(("written", "way_out"), ODD)
def test_a_number_that_is_not_written_plainly_is_refused_at_its_place(written: str, way_out: str) -> None:
    (problem,) = parse_yaml(f"a: 1\nb: [2, {written}]\n", "x.yaml").problems
    assert problem.where == "x.yaml:2:8"
    assert f"the number {written} is not written plainly" in problem.what
    assert way_out in problem.message
    assert f'"{written}" for text' in problem.hint


@pytest.mark.parametrize(("written", "value"), PLAIN)
def test_a_plain_number_is_read_as_it_stands(written: str, value: float) -> None:
    document = parse_yaml(f"a: {written}\n", "x.yaml")
    assert (document.data, document.problems) == ({"a": value}, [])


@pytest.mark.parametrize("written", [*(odd for odd, _ in ODD), "2024-01-01", "08:30", "1.2.3", "1,000", "0x", "e3"])
def test_quotes_make_text_of_a_number_and_what_is_none_stays_text(written: str) -> None:
    document = parse_yaml(f"a: \"{written}\"\nb: '{written}'\n", "x.yaml")
    assert (document.data, document.problems) == ({"a": written, "b": written}, [])
    if written not in dict(ODD):
        bare = parse_yaml(f"a: {written}\n", "x.yaml")
        assert (bare.data, bare.problems) == ({"a": written}, [])


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("prompts: 10", "prompts: 010", "mine.yaml:2:10"),
        ("prompts: 10", "prompts: 08", "mine.yaml:2:10"),
        ("seed: 0", "seed: 1:30", "mine.yaml:3:7"),
        ("seed: 0", "failure_limit: .5", "mine.yaml:3:16"),
        ("seed: 0", "weights: {beta: 1e-1}", "mine.yaml:3:17"),
        ("seed: 0", "backend: {name: openai, extra_body: {steps: 0b11}, model: m}", "mine.yaml:3:45"),
    ],
)
def test_a_recipe_says_so_once_at_its_line(tmp_path: Path, old: str, new: str, place: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    assert place in str(caught.value)
    assert str(caught.value).count("mine.yaml:") == 1


def test_a_lexicon_says_so_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(LEXICON + "  - 007\n")
    with pytest.raises(ConfigError, match=r'"007" for text'):
        load_lexicon(path)
    path.write_text(LEXICON + '  - "007"\n')
    assert load_lexicon(path).lists["words"][-1] == "007"


@pytest.mark.parametrize(
    ("change", "way_out"),
    [
        ("prompts=010", "write 10"),
        ("seed=1:30", "write 90"),
        ("weights.beta=1e-1", "write 0.1"),
        ("rewards=[counting, on]", 'write it in quotes: "on"'),
    ],
)
def test_what_the_command_line_sets_is_read_the_same_way(tmp_path: Path, change: str, way_out: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, [change])
    assert caught.value.where == f"--set {change.split('=')[0]}"
    assert way_out in str(caught.value)
    assert load_recipe(path, ["prompts=20", "weights.beta=0.1"]).prompts == 20


def test_check_names_all_of_them_at_their_lines(tmp_path: Path) -> None:
    taxonomy = (
        "version: 1\nweakness: mine\ntitle: Mine\nwhy: because\nskills:\n  - name: one\n    title: One\n"
        "    slots:\n      n: {values: [007, 010]}\n    claims: ['count(cat, n)']\n    templates: one.j2\n"
    )
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "one.j2").write_text("{{ many(n, 'cat') }}\n")
    (tmp_path / "mine.yaml").write_text(taxonomy)
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("10", "0b11"))
    done = run_cli("check", tmp_path, cwd=tmp_path)
    assert done.returncode == 1
    assert "mine.yaml:9:20" in done.stdout
    assert "mine.yaml:9:25" in done.stdout
    assert "recipe.yaml:2:10" in done.stdout


@given(st.text(alphabet="0123456789eE.+-_:xobn", max_size=8))
def test_text_that_looks_like_a_number_survives_being_written_and_read(text: str) -> None:
    document = parse_yaml(dump_yaml({"a": [text]}), "x.yaml")
    assert (document.data, document.problems) == ({"a": [text]}, [])
    assert yaml.safe_load(dump_yaml({"a": text})) == {"a": text}
