from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.errors import ConfigError
from datagen.taxonomy.constraints import compile_constraint
from datagen.taxonomy.lexicon import Word
from datagen.taxonomy.render import Value, compile_wording, read_wordings
from datagen.taxonomy.sandbox import MOST, Remembered

VALUES: dict[str, Value] = {
    "n": 3,
    "one": 1,
    "object": Word("knife"),
    "bench": Word("bench"),
    "color": Word("orange"),
    "relation": Word("left of", phrase="to the left of"),
}


def say(source: str) -> str:
    return compile_wording(source, "mine.j2", 7).render(VALUES)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ many(n, object) }}", "three knives"),
        ("{{ many(one, object) }}", "one knife"),
        ("{{ many(n, color, object) }}", "three orange knives"),
        ("{{ many(n, 'big', 'box') }}", "three big boxes"),
        ("{{ a(bench) }}", "a bench"),
        ("{{ a(color, bench) }}", "an orange bench"),
        ("{{ a('honest', object) }}", "an honest knife"),
        ("{{ plural(object) }} and {{ number(n) }}", "knives and three"),
        ("{{ a(object) }} {{ relation }} {{ a(bench) }}", "a knife to the left of a bench"),
        ("{{ object ~ ' ' ~ relation }}", "knife to the left of"),
        ("{{ object | upper }}, {{ object | first }}", "KNIFE, k"),
        ("{% if n > 2 %}many{% else %}few{% endif %}  {{ 'things' if n else '' }}", "many things"),
        ("{{ n * 2 + n % 2 }}", "7"),
    ],
)
def test_wordings_say_what_they_should(source: str, said: str) -> None:
    assert say(source) == said


@pytest.mark.parametrize(
    "source",
    [
        "{{ object.__class__ }}",
        "{{ object['__class__'] }}",
        "{{ object.plural }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ '{0.__class__}'.format(object) }}",
        "{{ object | attr('__class__') }}",
        "{{ [object] | map(attribute='__class__') | list }}",
        "{{ many.__globals__ }}",
        "{{ self.__init__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum() }}",
        "{{ range(10) }}",
        "{% for i in [1, 2, 3] %}x{% endfor %}",
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{% set x = 'aaaa' %}{{ x }}",
        "{% include 'other.j2' %}",
        "{% import 'os' as os %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'x' * 1000000000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'x' | center(1000000000) }}",
        "{{ many(*[n, object]) }}",
        "{{ many(n=3) }}",
        "{{ " + "(" * 900 + "n" + ")" * 900 + " }}",
    ],
)
def test_what_reaches_python_or_runs_away_is_refused_at_its_line(source: str) -> None:
    with pytest.raises(ConfigError) as caught:
        say(source)
    assert caught.value.where == "mine.j2:7"


@pytest.mark.parametrize(
    "source",
    [
        "{{ unknown }}",
        "{{ object(1) }}",
        "{{ many }}",
        "{{ none }}",
        "{{ true }}",
        "{{ many(object, n) }}",
        "{{ many(n) }}",
        "{{ number(object) }}",
        "{{ a() }}",
        "{{ n / 0 }}",
        "{{ n + object }}",
        "{{ '' }}",
        "{{ object",
        "{% if n %}",
        "x" * 3000,
    ],
)
def test_what_cannot_be_said_is_an_error_at_its_line(source: str) -> None:
    with pytest.raises(ConfigError) as caught:
        say(source)
    assert caught.value.where == "mine.j2:7"


def test_each_line_is_a_wording_but_blanks_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "mine.j2"
    path.write_text("{# one\ncomment -#}\n{{ a(object) }}\r\n\n  {# two #} just {{ object }}\n", encoding="utf-8")
    wordings = read_wordings(path, "mine.j2")
    assert [(each.line, each.label, each.render(VALUES)) for each in wordings] == [
        (3, "mine.j2:3", "a knife"),
        (5, "mine.j2:5", "just knife"),
    ]


@pytest.mark.parametrize("content", [b"", b"{# nothing #}\n\n", b"\xff\xfe\x00"])
def test_a_file_without_wordings_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.j2"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"mine\.j2"):
        read_wordings(path)


@given(st.text(max_size=60))
def test_any_text_as_a_template_gives_text_or_a_config_error(source: str) -> None:
    try:
        said = say(source)
    except ConfigError:
        return
    assert said == " ".join(said.split()) != ""


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("object != bench", True),
        ("object == 'knife'", True),
        ("object != object", False),
        ("object == bench", False),
        ("object == object", True),
        ("many != object", True),
        ("object in ['fork', 'spoon']", False),
        ("relation == 'left of' and n + one <= 4", True),
        ("n is even", False),
        ("1 == 1", True),
    ],
)
def test_constraints_compare_by_name(source: str, holds: bool) -> None:
    assert compile_constraint(source).holds(VALUES) is holds


@pytest.mark.parametrize(
    "source",
    [
        "object !=",
        "object.__class__",
        "1 }}{{ 1",
        "1 %} {% if 1",
        "{% raw %}",
        "9**9**9 > 1",
        "range(9)",
        "a = 1",
        "1 2",
    ],
)
def test_a_constraint_that_is_none_is_refused(source: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_constraint(source, "mine.yaml:3:1")
    assert caught.value.where == "mine.yaml:3:1"


def test_a_constraint_that_fails_says_where() -> None:
    with pytest.raises(ConfigError, match="object < n") as caught:
        compile_constraint("object < n", "mine.yaml:3:1").holds(VALUES)
    assert caught.value.where == "mine.yaml:3:1"


def test_answers_are_remembered_up_to_a_bound() -> None:
    asked: list[int] = []
    square = Remembered(["n"], lambda values: asked.append(values["n"]) or values["n"] ** 2)
    assert [square({"n": n, "other": 0}) for n in (2, 3, 2)] == [4, 9, 4]
    assert asked == [2, 3]
    assert [square({"n": n}) for n in range(MOST + 5)] == [n**2 for n in range(MOST + 5)]
    asked.clear()
    square({"n": 2})
    square({"n": MOST + 4})
    assert asked == [MOST + 4]
