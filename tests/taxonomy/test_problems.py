from __future__ import annotations

from datagen.taxonomy.problems import Problem, did_you_mean, format_github, show


def test_a_problem_is_one_line_with_place_what_and_hint() -> None:
    problem = Problem("a.yaml", 3, 5, "unknown key 'shar'", "did you mean 'share'?")
    assert str(problem) == "a.yaml:3:5  unknown key 'shar'; did you mean 'share'?"
    assert str(Problem("a.yaml", 1, 1, "two\nlines", severity="warning")) == "a.yaml:1:1  warning: two lines"


def test_github_form_escapes_what_would_end_the_command() -> None:
    problem = Problem("a,b:c.yaml", 3, 5, "100 % wrong:\r\nline", "do, this: that", "warning")
    assert format_github(problem) == (
        "::warning file=a%2Cb%3Ac.yaml,line=3,col=5::100 %25 wrong:%0D%0Aline; do, this: that"
    )


def test_did_you_mean_gives_the_near_word_else_the_known_ones() -> None:
    assert did_you_mean("colr", ["color", "object"]) == "did you mean 'color'?"
    assert did_you_mean("zzz", ["color", "object"]) == "known: color, object"
    assert did_you_mean("zzz", []) == ""


def test_long_values_are_cut() -> None:
    assert show("x" * 500).endswith("…")
    assert len(show("x" * 500)) == 60
    assert show(7) == "7"


def test_problems_sort_by_place() -> None:
    late, early = Problem("a.yaml", 10, 1, "x"), Problem("a.yaml", 9, 7, "x")
    assert sorted([late, early]) == [early, late]
