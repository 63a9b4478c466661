from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from datagen.config import Recipe
from datagen.documents.reading import Problem
from datagen.pipeline import check_recipe, list_scorable
from datagen.taxonomy.check import check_paths, kind_of

SCORABLE = frozenset({"count", "attribute", "relation", "text"})

GOOD = """\
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
      color: {from: colors}
    constraints:
      - object != color
    levels:
      easy: {n: [2, 3], color: [red, blue]}
      hard: {n: [4]}
    claims:
      - count(object, n)
      - attribute(object, color, color)
    templates: mine/one.j2
"""
TEMPLATE = "{{ many(n, color, object) }}\na photo of {{ many(n, color, object) }}\n"
LEXICON = """\
version: 1
lexicon: tiny
objects: [dog, cat, {singular: owl, plural: owls, article: an}]
colors: [red, blue, orange]
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "templates" / "mine").mkdir(parents=True)
    (tmp_path / "templates" / "mine" / "one.j2").write_text(TEMPLATE)
    (tmp_path / "mine.yaml").write_text(GOOD)
    (tmp_path / "tiny.yaml").write_text(LEXICON)
    return tmp_path


def check(home: Path, text: str = GOOD, template: str = TEMPLATE, **more: object) -> list[Problem]:
    (home / "mine.yaml").write_text(text)
    (home / "templates" / "mine" / "one.j2").write_text(template)
    settings: dict[str, object] = {"scorable": SCORABLE, "lexicons": ["./tiny.yaml"], **more}
    return check_paths(["mine.yaml"], **settings)  # type: ignore[arg-type]


def swap(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1
    return GOOD.replace(old, new, 1)


def test_a_right_taxonomy_has_no_problem(home: Path) -> None:
    assert check(home) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    share: 1", "    shar: 1", "mine.yaml:8:5  unknown key 'shar' in skills[0]; did you mean 'share'?"),
        ("title: Mine", "title: [a]", "mine.yaml:3:8  title: must be text, not ['a']"),
        ("share: 1", "share: 0", "mine.yaml:8:12  skills[0].share: must be greater than 0, not 0"),
        ("share: 1", "share: -0.5", "mine.yaml:8:12  skills[0].share: must be greater than 0, not -0.5"),
        (
            "[2, 6]",
            "[2, 1000000000]",
            "mine.yaml:10:22  skills[0].slots.n.range[1]: must be less than or equal to 1000, not 1000000000",
        ),
        ("[2, 6]", "[6, 2]", "mine.yaml:10:10  skills[0].slots.n: the range [6, 2] is empty: write [lowest, highest]"),
        (
            "{range: [2, 6]}",
            "{rnage: [2, 6]}",
            "mine.yaml:10:11  unknown key 'rnage' in skills[0].slots.n; did you mean 'range'?",
        ),
        (
            "{range: [2, 6]}",
            "{}",
            "mine.yaml:10:7  skills[0].slots.n: the key 'from' or 'join' or 'range' or 'values' is missing; add it",
        ),
        ("{range: [2, 6]}", "{values: []}", "mine.yaml:10:19  skills[0].slots.n.values: must have at least 1 item"),
        ("{range: [2, 6]}", "{values: [2, x]}", "mine.yaml:10:19  the slot 'n' mixes words and numbers"),
        ("{from: colors}", "{from: colrs}", "did you mean 'colors'?"),
        ("{from: colors}", "{from: materials}", "mine.yaml:12:21  no lexicon here has the list 'materials'"),
        (
            "{from: colors}",
            "{values: [red, NO]}",
            'mine.yaml:12:29  YAML reads the word NO as false; write it in quotes: "NO"',
        ),
        (
            "object != color",
            "objct != color",
            "mine.yaml:14:9  unknown slot 'objct' in 'objct != color'; did you mean 'object'?",
        ),
        ("object != color", "object !=", "mine.yaml:14:9  broken constraint 'object !='"),
        (
            "object != color",
            "object.__class__",
            "mine.yaml:14:9  broken constraint 'object.__class__': slots have no attributes",
        ),
        ("object != color", "object < n", "mine.yaml:14:9  the constraint 'object < n' fails"),
        ("object != color", "n > 100", "allow nothing at level 'easy'"),
        ("easy: {n:", "easy: {m:", "mine.yaml:16:14  unknown slot 'm' in the level 'easy'"),
        ("n: [2, 3]", "n: [2, 9]", "mine.yaml:16:21  9 is no value of the slot 'n'; the slot's range is 2 to 6"),
        ("n: [2, 3]", "n: [3, 2]", "mine.yaml:16:17  the range [3, 2] is empty"),
        ("n: [2, 3]", "n: [2, 3, 4]", "mine.yaml:16:17  [2, 3, 4] is no part of a range"),
        ("[red, blue]", "[red, bleu]", "mine.yaml:16:38  'bleu' is no value of the slot 'color'; did you mean 'blue'?"),
        ("count(object, n)", "cuont(object, n)", "mine.yaml:19:9  unknown claim 'cuont'; did you mean 'count'?"),
        ("count(object, n)", "count(objet, n)", "did you mean 'object'?"),
        ("count(object, n)", "count(object)", "mine.yaml:19:9  'count(object)' must have 2 arguments"),
        (
            "count(object, n)",
            "count(object, color)",
            "mine.yaml:19:9  'color' in 'count(object, color)' is not a number",
        ),
        (
            "count(object, n)",
            'relation(object, "behind", color)',
            "mine.yaml:19:9  no scorer can judge the relation 'behind'",
        ),
        ("mine/one.j2", "mine/none.j2", "mine.yaml:21:16  there is no template 'mine/none.j2'"),
        ("mine/one.j2", "../one.j2", "mine.yaml:21:16  skills[0].templates: must be a path inside a folder"),
        ("version: 1", "version: 2", "mine.yaml:1:10  the file is of version 2, a newer one"),
        ("weakness: mine", "weakness: Mine!", "mine.yaml:2:11  weakness: must be written with small letters"),
        ("title: One", "title: One\n    title: Two", "mine.yaml:8:5  the key 'title' is defined twice"),
    ],
)
def test_each_mistake_is_told_at_its_place(home: Path, old: str, new: str, expected: str) -> None:
    lines = [str(problem) for problem in check(home, swap(old, new))]
    assert any(expected in line for line in lines), lines


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (
            "{{ many(n, object) }}\n",
            "one.j2:1:1  the wording '{{ many(n, object) }}' of the skill 'one' leaves out the slot 'color'",
        ),
        (
            "{# a\nb -#}\n{{ many(n, colr, object) }}\n",
            "templates/mine/one.j2:3:12  unknown slot 'colr'; did you mean 'color'?",
        ),
        ("{{ mny(n, color, object) }}\n", "templates/mine/one.j2:1:4  unknown function 'mny'; did you mean 'many'?"),
        (
            "{{ object.__class__ }} {{ n }} {{ color }}\n",
            "templates/mine/one.j2:1:11  the template tries to access Python with '__class__'",
        ),
        ("{{ object['__class__'] }}\n", "tries to access Python with '__class__'"),
        ('{{ object|attr("__class__") }}\n', "tries to access Python with 'attr'"),
        ("{{ self.__init__.__globals__ }}\n", "tries to access Python with '__globals__'"),
        ("{{ many(n, color, object }}\n", "templates/mine/one.j2:1:1  broken template"),
        ("{% for x in [1] %}\n{{ n }}{% endfor %}\n", "templates/mine/one.j2:1:1  broken template"),
        ("{% include 'x' %}\n", "templates/mine/one.j2:1:1  broken template"),
        (
            "ok {{ many(n, color, object) }}\n{{ n // 0 }} {{ object }} {{ color }}\n",
            "templates/mine/one.j2:2:1  the template fails",
        ),
        ("{{ 'x' * 9999999999 }} {{ n }} {{ object }} {{ color }}\n", "templates/mine/one.j2:1:1  the template fails"),
        ("{{ many(object, n) }} {{ color }}\n", "templates/mine/one.j2:1:1  the template fails"),
        ("{# nothing #}\n\n", "templates/mine/one.j2:1:1  the template has no wording"),
        (
            TEMPLATE + TEMPLATE,
            "templates/mine/one.j2:3:1  warning: the wording '{{ many(n, color, object) }}' is listed twice",
        ),
    ],
)
def test_each_mistake_of_a_template_is_told_at_its_line(home: Path, template: str, expected: str) -> None:
    lines = [str(problem) for problem in check(home, template=template)]
    assert any(expected in line for line in lines), lines


def test_a_template_that_is_not_text_is_a_problem(home: Path) -> None:
    (home / "templates" / "mine" / "one.j2").write_bytes(b"caf\xe9")
    (problem,) = check_paths(["mine.yaml"], scorable=SCORABLE, lexicons=["./tiny.yaml"])
    assert "cannot read the template" in problem.what


def test_all_problems_of_all_files_come_in_one_pass_sorted(home: Path) -> None:
    (home / "mine.yaml").write_text(
        swap("    share: 1", "    shar: 1").replace("objects}", "objcts}").replace("[4]", "[9]")
    )
    (home / "templates" / "mine" / "one.j2").write_text("{{ colr }}\n{{ mny(n) }}\n")
    (home / "tiny.yaml").write_text("version: 1\nlexicon: tiny\nobjects: []\ncolours: [red]\n")
    (home / "broken.yaml").write_text("a: [1\nb: 2\n")
    problems = check_paths([".", "none.yaml"], scorable=SCORABLE)
    assert problems == sorted(problems)
    assert [(problem.file, problem.line) for problem in problems] == [
        ("broken.yaml", 2),
        ("mine.yaml", 8),
        ("mine.yaml", 11),
        ("mine.yaml", 17),
        ("none.yaml", 1),
        ("templates/mine/one.j2", 1),
        ("templates/mine/one.j2", 2),
        ("tiny.yaml", 3),
        ("tiny.yaml", 4),
    ]


def test_a_slot_that_nothing_uses_is_a_warning(home: Path) -> None:
    (problem,) = check(
        home, swap("      color: {from: colors}", "      color: {from: colors}\n      idle: {from: colors}")
    )
    assert (problem.line, problem.severity) == (13, "warning")
    assert "'idle' is never used" in problem.what


def test_claims_need_a_scorer(home: Path) -> None:
    (problem,) = check(home, scorable=frozenset({"count"}))
    assert str(problem) == (
        "mine.yaml:20:9  no scorer can judge the claim 'attribute(object, color, color)'; scorers judge count"
    )
    assert check(home, swap("color, color)", "size, color)")) == [], "a recipe tells who judges sizes, no taxonomy"


def test_a_skill_with_too_few_prompts_says_how_many_it_has(home: Path) -> None:
    # 3 numbers with 3 objects: 2 and 3 in two colours, 4 in three, each said in two ways.
    assert check(home, min_distinct=42) == []
    (problem,) = check(home, min_distinct=43)
    assert problem.what == "the skill 'one' has 42 distinct prompts with the lexicon 'tiny'"
    assert (problem.line, problem.column) == (6, 11)


def test_two_skills_of_one_name_are_told_at_the_second(home: Path) -> None:
    twice = GOOD + GOOD[GOOD.index("  - name: one") :]
    (problem,) = check(home, twice)
    assert str(problem) == "mine.yaml:22:11  two skills have the name 'one'; the other is at line 6: give each its own"


def test_one_weakness_in_two_files_is_a_warning(home: Path) -> None:
    (home / "again.yaml").write_text(GOOD)
    (problem,) = check_paths(["again.yaml", "mine.yaml"], scorable=SCORABLE)
    assert problem.severity == "warning"
    assert "'mine' is defined twice" in problem.what


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1\nlexicon: tiny\n", "tiny.yaml:1:1  a lexicon needs at least one list of words"),
        ("version: 1\nlexicon: tiny\nobjects: []\n", "tiny.yaml:3:10  objects: must have at least 1 item"),
        ("version: 1\nlexicon: tiny\nwords: [UP, NO]\n", 'write it in quotes: "NO"'),
        (
            "version: 1\nlexicon: tiny\nwords: [UP, 3]\n",
            "tiny.yaml:3:13  words[1]: must be text or a mapping of key: value, not 3",
        ),
        ("version: 1\nlexicon: tiny\nwords: [UP, UP]\n", "tiny.yaml:3:13  'UP' is listed twice in words"),
        ("version: 1\nlexicon: tiny\nobjcts: [dog]\n", "unknown key 'objcts'; did you mean 'objects'?"),
        ("version: 1\nlexicon: tiny\nobjects: [{singlar: dog}]\n", "did you mean 'singular'?"),
        (
            "version: 1\nlexicon: tiny\nobjects: [{singular: owl, article: a}]\n",
            "warning: a 'owl' sounds wrong; is it 'an'?",
        ),
        (
            "version: 1\nlexicon: tiny\nrelations: [{name: beside, phrase: by}]\n",
            "tiny.yaml:3:20  relations[0].name: must be 'left of'",
        ),
        ("version: 9\nlexicon: tiny\nobjects: 3\n", "tiny.yaml:1:10  the file is of version 9, a newer one"),
    ],
)
def test_lexicons_are_checked_too(home: Path, text: str, expected: str) -> None:
    (home / "tiny.yaml").write_text(text)
    lines = [str(problem) for problem in check_paths(["tiny.yaml"], scorable=SCORABLE)]
    assert any(expected in line for line in lines), lines


def test_recipes_are_checked_with_the_model_that_is_given(home: Path) -> None:
    (home / "recipe.yaml").write_text(
        "version: 1\ntaxonomy: [countin, mine.yaml, gone.yaml]\npromts: 3\nlexicon: tinny\n"
    )
    lines = [str(problem) for problem in check_paths(["recipe.yaml"], scorable=SCORABLE, models={"recipe": Recipe})]
    assert len(lines) == 4
    assert lines[0].startswith("recipe.yaml:2:12  no taxonomy named 'countin'; did you mean 'counting'?")
    assert lines[1].startswith("recipe.yaml:2:32  there is no file 'gone.yaml'")
    assert lines[2] == "recipe.yaml:3:1  unknown key 'promts'; did you mean 'prompts'?"
    assert lines[3].startswith("recipe.yaml:4:10  no lexicon named 'tinny'")


@pytest.mark.parametrize("text", ["", "just words\n", "- 1\n", "wekness: x\n"])
def test_a_file_that_is_none_of_them_says_what_it_is(home: Path, text: str) -> None:
    (home / "odd.yaml").write_text(text)
    (problem,) = check_paths(["odd.yaml"], scorable=SCORABLE)
    assert problem.what.startswith("the file is")


def test_what_is_not_there_is_a_problem_and_not_a_crash(home: Path) -> None:
    (home / "empty").mkdir()
    found = [str(problem) for problem in check_paths(["empty", "countin", "gone.yaml"], scorable=SCORABLE)]
    assert found[0].startswith("countin:1:1  no taxonomy named 'countin'; did you mean 'counting'?")
    assert found[1].startswith("empty:1:1  the folder has no YAML file")
    assert found[2].startswith("gone.yaml:1:1  cannot read the file")


def test_nothing_that_ships_has_a_problem() -> None:
    assert check_paths([], scorable=list_scorable(), models={"recipe": Recipe}, examine=check_recipe) == []


def test_kinds_show_by_their_keys() -> None:
    assert kind_of(yaml.safe_load(GOOD)) == "taxonomy"
    assert kind_of(yaml.safe_load(LEXICON)) == "lexicon"
    assert kind_of({"taxonomy": [], "lexicon": "x"}) == "recipe"
    assert kind_of(None) == kind_of([1]) == "unknown"


def test_a_name_of_another_kind_of_claim_says_which(home: Path) -> None:
    (problem,) = check(home, swap("count(object, n)", "relation(object, behind, color)"))
    assert "no scorer can judge the relation 'behind'" in problem.what
    assert problem.hint == "write depth(…)"
