"""Bad input that a person can write: each gets a clear message at its place, from the loader and the check alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datagen.config import Recipe, load_recipe
from datagen.errors import ConfigError
from datagen.prompts.templated import plan_prompts
from datagen.taxonomy import load_lexicon, load_taxonomy
from datagen.taxonomy.check import check_paths
from tests.helpers.runs import run_cli

SCORABLE = frozenset({"count", "attribute", "relation", "text"})
TAXONOMY = """\
version: 1
weakness: mine
title: Mine
why: because
skills:
  - name: one
    title: One
    share: 1
    slots:
      n: {range: [2, 6]}
      object: {from: objects}
      other: {from: objects}
    constraints:
      - object != other
      - n > 1
    levels:
      easy: {n: [2, 3]}
      hard: {n: [4]}
    claims:
      - count(object, n)
      - count(other, 1)
    templates: one.j2
"""
TEMPLATE = "{{ many(n, object) }} and {{ a(other) }}\n"


def write(home: Path, taxonomy: str | bytes = TAXONOMY, template: str | bytes = TEMPLATE) -> Path:
    (home / "templates").mkdir(exist_ok=True)
    for path, text in ((home / "mine.yaml", taxonomy), (home / "templates" / "one.j2", template)):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return home / "mine.yaml"


def use(path: Path) -> None:
    """Do what a build does first: load, and draw."""
    taxonomy = load_taxonomy([path], "pictograms")
    assert len(list(plan_prompts(taxonomy, 40, seed=1))) == 40


def errors_of(path: Path) -> list[str]:
    return [str(problem) for problem in check_paths([path], scorable=SCORABLE) if problem.severity == "error"]


def test_options_of_backends_stand_at_their_line_and_tell_no_secret(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "taxonomy: counting\n"
        "backend:\n"
        "  name: embedded\n"
        "  temprature: 1\n"
        "judge: {name: openai, model: m, base_url: 'http://me:hush@host/v1'}\n"
        "drawer: {name: transformers}\n"
    )
    said = run_cli("check", recipe)
    lines = [line.removeprefix(f"{recipe}:") for line in said.stdout.splitlines()]
    assert lines[0] == "4:3  the backend 'embedded' takes no option 'temprature'; did you mean 'temperature'?"
    assert lines[1].startswith("5:43  backend option 'base_url': an address must hold no user name, key or query")
    assert lines[2] == "6:1  drawer: the key 'model' is missing; add it"
    assert "hush" not in said.stdout + said.stderr


def test_the_file_that_the_cases_start_from_is_right(tmp_path: Path) -> None:
    use(write(tmp_path))
    assert errors_of(tmp_path / "mine.yaml") == []


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        pytest.param("[2, 6]}", "[2, 6}", "mine.yaml:10:", id="broken YAML"),
        pytest.param("title: Mine", "title:\n\tMine", "mine.yaml:4:", id="a tab"),
        pytest.param("share: 1", "share: many", "mine.yaml:8:12", id="wrong type"),
        pytest.param("share: 1", "share: .nan", "mine.yaml:8:12", id="a share that is no number"),
        pytest.param(
            "slots:\n      n: {range: [2, 6]}", "slots: [1]\n    x:", "mine.yaml:9:12", id="a list for a mapping"
        ),
        pytest.param("why:", "wy:", "mine.yaml:4:1", id="unknown key"),
        pytest.param("count(object, n)", "count(objet, n)", "mine.yaml:20:9", id="a slot that does not exist"),
        pytest.param("easy: {n:", "easy: {nn:", "mine.yaml:17:", id="a level of no slot"),
        pytest.param("[2, 6]", "[2, 1000000000]", "mine.yaml:10:22", id="a count of 10^9"),
        pytest.param("version: 1", "version: 99", "mine.yaml:1:10", id="a newer version"),
        pytest.param("one.j2", "two.j2", "mine.yaml:22:16", id="a template that is missing"),
        pytest.param("one.j2", "/etc/passwd", "mine.yaml:22:16", id="a template elsewhere"),
        pytest.param(
            "object != other", "().__class__.__base__", "mine.yaml:14:9", id="a constraint that reaches Python"
        ),
        pytest.param("object != other", "object < n", "mine.yaml:14:9", id="a constraint that fails"),
        pytest.param("n > 1", "n > 7", "mine.yaml:6:5", id="constraints that leave nothing"),
        pytest.param("n > 1", "n ** 9 ** 9 ** 9 > 1", "mine.yaml:15:9", id="a constraint that never ends"),
        pytest.param("title: Mine", "title: !!python/object/apply:os.getcwd []", "mine.yaml:3:8", id="a Python tag"),
        pytest.param("why: because", "why: because\nwhy: not", "mine.yaml:5:1", id="a key twice"),
        pytest.param("{from: objects}", "{values: [YES, dog]}", "mine.yaml:11:25", id="a truth value for a word"),
        pytest.param("title: Mine", "title: &t [*t]", "mine.yaml:3:", id="an alias of itself"),
    ],
)
def test_a_bad_taxonomy_is_told_at_its_place_by_load_and_by_check(
    tmp_path: Path, old: str, new: str, place: str
) -> None:
    assert old in TAXONOMY
    path = write(tmp_path, TAXONOMY.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        use(path)
    assert place in str(caught.value)
    assert any(place in line for line in errors_of(path)), errors_of(path)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00\x01\x02", id="binary"),
        pytest.param(b"a: caf\xe9", id="latin-1"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"version: 1\nweakness: x\nskills:\n", id="no skills"),
    ],
)
def test_a_file_that_is_no_taxonomy_says_so(tmp_path: Path, text: bytes) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        use(path)
    assert str(path) in str(caught.value)
    assert errors_of(path)


@pytest.mark.parametrize(
    ("template", "place"),
    [
        pytest.param("{{ n / 0 }} {{ object }} {{ other }}\n", "one.j2:1", id="raises"),
        pytest.param("ok {{ n }} {{ object }} {{ other }}\n{{ ''.__class__ }}\n", "one.j2:2", id="reaches Python"),
        pytest.param("{{ object|attr('__class__') }}\n", "one.j2:1", id="reaches Python by a filter"),
        pytest.param("{{ many.__globals__ }}\n", "one.j2:1", id="reaches Python by a function"),
        pytest.param("{{ namespace(x=1) }}\n", "one.j2:1", id="calls what is not given"),
        pytest.param("{{ many(n, objct) }}\n", "one.j2:1", id="unknown slot"),
        pytest.param("{{ many(n, object }}\n", "one.j2:1", id="broken"),
        pytest.param("{{ 'x' * 10000000000 }} {{ n }} {{ object }} {{ other }}\n", "one.j2:1", id="fills the memory"),
        pytest.param("{% for i in [1] %}{{ n }}{% endfor %}\n", "one.j2:1", id="loops"),
        pytest.param("\n\n", "one.j2", id="empty"),
        pytest.param(b"caf\xe9", "one.j2", id="latin-1"),
    ],
)
def test_a_bad_template_is_told_at_its_line_by_load_and_by_check(
    tmp_path: Path, template: str | bytes, place: str
) -> None:
    path = write(tmp_path, template=template)
    with pytest.raises(ConfigError) as caught:
        use(path)
    assert place in str(caught.value)
    assert any(place in line for line in errors_of(path)), errors_of(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version: 1\nlexicon: x\n", "at least one list"),
        ("version: 1\nlexicon: x\nobjects: []\n", "at least 1 item"),
        ("version: 1\nlexicon: x\nwords: [NO]\n", 'write it in quotes: "NO"'),
        ("version: 2\nlexicon: x\nobjects: [dog]\n", "a newer one"),
        ("version: 1\nlexicon: x\nobjects: dog\n", "must be a list"),
    ],
)
def test_a_bad_lexicon_is_told_by_load_and_by_check(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_lexicon(path)
    assert words in str(caught.value)
    assert f"{path}:" in str(caught.value)
    assert any(words in line for line in errors_of(path))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("version: 1\ntaxonomy: [counting\n", 3, id="broken YAML"),
        pytest.param("version: 1\ntaxonomy: [counting]\nprompts: some\n", 3, id="wrong type"),
        pytest.param("version: 1\ntaxonomy: [counting]\nprompts: 1000000000\n", 3, id="a count of 10^9"),
        pytest.param("version: 1\ntaxonomy: [counting]\npromts: 3\n", 3, id="unknown key"),
        pytest.param("taxonomy: [counting]\nversion: 7\n", 2, id="a newer version"),
        pytest.param("version: 1\ntaxonomy: [counting]\ntaxonomy: [spatial]\n", 3, id="a key twice"),
        pytest.param("taxonomy: [counting]\nweights:\n  policy: rwr\n  betta: 0.5\n", 4, id="unknown key in a block"),
        pytest.param("taxonomy: [counting]\nallocate: {policy: uniformm}\n", 2, id="a choice that is none"),
        pytest.param("taxonomy: [counting]\nrewards:\n- text\n- countin\n", 4, id="a word that names no scorer"),
        pytest.param("taxonomy: [counting]\nrewards:\n- name: text\n  metrik: mario\n", 4, id="no option of a scorer"),
        pytest.param("taxonomy: [counting]\naggregate:\n  image: 2*counting\n", 3, id="an expression above 1"),
    ],
)
def test_a_bad_recipe_is_told_by_load_and_by_check(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    assert caught.value.where.startswith(f"{path}:{line}:")
    found = check_paths([path], scorable=SCORABLE, models={"recipe": Recipe})
    assert [problem.line for problem in found] == [line]


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(TAXONOMY)), st.integers(0, 12), st.sampled_from([*"[]{}:,-#&*!|>'\"%@` \n\t9a", ""])
        ),
        min_size=1,
        max_size=3,
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_written_load_and_check_agree_and_nothing_else_is_raised(
    tmp_path: Path, edits: list[tuple[int, int, str]]
) -> None:
    text = TAXONOMY
    for start, length, put in edits:
        text = text[:start] + put + text[start + length :]
    path = write(tmp_path, text)
    said = ""
    try:
        list(plan_prompts(load_taxonomy([path], "pictograms"), 5, seed=1))
    except ConfigError as error:
        said = str(error)
    assert errors_of(path) or not said, f"load says {said}\n{text}"
