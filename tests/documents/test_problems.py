from __future__ import annotations

from datagen.documents.reading import Problem, format_github, problem_of, problems_error, show
from datagen.errors import ConfigError, did_you_mean, first_line


def test_a_problem_is_one_line_with_place_what_and_hint() -> None:
    problem = Problem("a.yaml", 3, 5, "unknown key 'shar'", "did you mean 'share'?")
    assert str(problem) == "a.yaml:3:5  unknown key 'shar'; did you mean 'share'?"
    assert str(Problem("a.yaml", 1, 1, "two\nlines", severity="warning")) == "a.yaml:1:1  warning: two lines"


def test_a_problem_that_stands_in_no_file_has_no_line() -> None:
    assert str(Problem("--set", 0, 0, "unknown key 'x'")) == "--set  unknown key 'x'"


def test_problems_become_one_error_and_an_error_a_problem_again() -> None:
    first, second = Problem("a.yaml", 3, 5, "one", "do this"), Problem("a.yaml", 4, 1, "two")
    error = problems_error([first, second])
    assert (error.what, error.where, error.hint) == ("one", "a.yaml:3:5", "do this\na.yaml:4:1  two")
    assert problem_of(problems_error([first]), "b.yaml") == first
    assert problem_of(ConfigError("x", where="a.yaml:7"), "b.yaml") == Problem("a.yaml", 7, 1, "x")
    assert problem_of(ConfigError("x"), "b.yaml") == Problem("b.yaml", 1, 1, "x")


def test_github_form_escapes_what_would_end_the_command() -> None:
    problem = Problem("a,b:c.yaml", 3, 5, "100 % wrong:\r\nline", "do, this: that", "warning")
    assert format_github(problem) == (
        "::warning file=a%2Cb%3Ac.yaml,line=3,col=5::100 %25 wrong:%0D%0Aline; do, this: that"
    )


def test_did_you_mean_gives_the_near_word_else_the_known_ones() -> None:
    assert did_you_mean("colr", ["color", "object"]) == "did you mean 'color'?"
    assert did_you_mean("zzz", ["color", "object"]) == "known: color, object"
    assert did_you_mean("zzz", []) == ""


def test_of_an_error_the_first_line_is_said_or_what_kind_it_is() -> None:
    assert first_line(ValueError("no such file\nin a long trace")) == "no such file"
    assert first_line(OSError("\n  disk full  \n")) == "disk full"
    assert first_line(MemoryError()) == "MemoryError"
    assert first_line(RuntimeError(" \n")) == "RuntimeError"


def test_long_values_are_cut() -> None:
    assert show("x" * 500).endswith("…")
    assert len(show("x" * 500)) == 60
    assert show(7) == "7"


def test_problems_sort_by_place() -> None:
    late, early = Problem("a.yaml", 10, 1, "x"), Problem("a.yaml", 9, 7, "x")
    assert sorted([late, early]) == [early, late]
