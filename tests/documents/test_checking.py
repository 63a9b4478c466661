from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from datagen.documents.checking import (
    check_model,
    dotted,
    faults_error,
    faults_of,
    known_keys,
    load_model,
    make_fault,
)
from datagen.documents.reading import Document, parse_yaml, read_yaml
from datagen.errors import ConfigError


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Step(Strict):
    name: Annotated[str, Field(min_length=1)]
    share: Annotated[float, Field(gt=0)] = 1.0
    words: str | list[str] = "x"
    kind: Literal["a", "b"] = "a"


class Range(Strict):
    range: list[int]


class Values(Strict):
    values: list[str]


class Plan(Strict):
    version: int = 1
    title: Annotated[str, Field(description="what a reader sees first")]
    steps: list[Step]
    slots: dict[str, Range | Values] = {}

    @field_validator("title")
    @classmethod
    def loud(cls, title: str) -> str:
        if title == "quiet":
            raise ValueError("a title must be loud")
        return title


def lines_of(text: str) -> list[str]:
    return [str(problem) for problem in check_model(parse_yaml(text, "p.yaml"), Plan)[1]]


def test_a_right_file_gives_the_model_and_no_problem() -> None:
    plan, problems = check_model(parse_yaml("title: x\nsteps: [{name: one}]\nslots: {n: {range: [1, 2]}}\n", "p"), Plan)
    assert problems == []
    assert plan is not None
    assert plan.slots["n"] == Range(range=[1, 2])


def test_every_problem_is_found_in_one_pass_each_at_its_place() -> None:
    text = "titel: x\nsteps:\n  - name: ''\n    shar: 2\n  - name: two\n    share: -1\n    kind: c\n  - 7\n"
    assert lines_of(text) == [
        "p.yaml:1:1  the key 'title' is missing; add it: what a reader sees first",
        "p.yaml:1:1  unknown key 'titel'; did you mean 'title'?",
        "p.yaml:3:11  steps[0].name: must have at least 1 character, not ''",
        "p.yaml:4:5  unknown key 'shar' in steps[0]; did you mean 'share'?",
        "p.yaml:6:12  steps[1].share: must be greater than 0, not -1",
        "p.yaml:7:11  steps[1].kind: must be 'a' or 'b', not 'c'",
        "p.yaml:8:5  steps[2]: must be a mapping of key: value, not 7",
    ]


def test_a_wrong_type_in_a_union_is_one_problem_with_what_could_stand_there() -> None:
    assert lines_of("title: x\nsteps: [{name: a, words: 3}]\n") == [
        "p.yaml:2:26  steps[0].words: must be text or a list, not 3"
    ]


def test_a_typo_inside_one_member_of_a_union_is_told_for_that_member() -> None:
    found = lines_of("title: x\nsteps: []\nslots: {n: {range: [1, two]}}\n")
    assert found == ["p.yaml:3:24  slots.n.range[1]: must be a whole number, not 'two'"]


def test_a_validator_of_the_model_speaks_for_itself() -> None:
    assert lines_of("title: quiet\nsteps: []\n") == ["p.yaml:1:8  title: a title must be loud, not 'quiet'"]


def test_text_that_looks_like_a_number_gets_the_hint_to_quote_it() -> None:
    assert lines_of("title: 1984\nsteps: []\n") == [
        "p.yaml:1:8  title: must be text, not 1984; put the value in quotes"
    ]


@pytest.mark.parametrize("text", ["", "just words\n", "[1, 2]\n"])
def test_a_file_of_another_shape_is_a_problem_at_its_start(text: str) -> None:
    assert lines_of(text)
    assert all(line.startswith("p.yaml:1:1  ") for line in lines_of(text))


def test_a_newer_version_is_the_only_problem() -> None:
    (line,) = lines_of("version: 2\nwhatever: [1]\n")
    assert line.startswith("p.yaml:1:10  the file is of version 2, a newer one; this datagen reads version 1")


def test_a_model_without_a_version_takes_none() -> None:
    assert [problem.what for problem in check_model(Document("p", {"name": "x", "version": 9}), Step)[1]] == [
        "unknown key 'version'"
    ]


def test_values_that_stand_in_no_file_are_told_without_a_line() -> None:
    with pytest.raises(ConfigError) as caught:
        load_model(Document("here", {"title": "x", "steps": [{"name": ""}], "more": 1}), Plan)
    assert str(caught.value).splitlines() == [
        "here: steps[0].name: must have at least 1 character, not ''",
        "here  unknown key 'more'; known: slots, steps, title, version",
    ]


def test_a_key_that_stands_twice_keeps_a_file_from_loading() -> None:
    with pytest.raises(ConfigError, match="is defined twice"):
        load_model(parse_yaml("title: x\nsteps: []\ntitle: y\n", "p.yaml"), Plan)


def test_load_model_raises_one_error_that_holds_all_problems(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("titel: x\nsteps: 3\n")
    with pytest.raises(ConfigError) as caught:
        load_model(read_yaml(path), Plan)
    assert caught.value.where == f"{path}:1:1"
    assert "titel" in str(caught.value)
    assert "steps: must be a list, not 3" in str(caught.value)


def test_known_keys_follow_lists_mappings_and_unions() -> None:
    schema = Plan.model_json_schema()
    assert set(known_keys(schema, ())) == {"version", "title", "steps", "slots"}
    assert set(known_keys(schema, ("steps", 4))) == {"name", "share", "words", "kind"}
    assert set(known_keys(schema, ("slots", "any"))) == {"range", "values"}
    assert dotted(("steps", 2, "share")) == "steps[2].share"


class Pair(Strict):
    first: int = 0
    second: list[str] = []

    @model_validator(mode="wrap")
    @classmethod
    def _compare(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        own = [make_fault(("second", 1), "{braces} are kept", "see there"), make_fault(("first",), "not so", key=True)]
        try:
            made = handler(data)
        except ValidationError as error:
            raise faults_error(cls, [*faults_of(error), *own]) from error
        if (info.context or {}).get("look_up"):
            raise faults_error(cls, own)
        return made


class Pairs(Strict):
    pairs: list[Pair]


def test_what_a_model_finds_by_itself_has_its_own_places_beside_what_pydantic_finds() -> None:
    document = parse_yaml("pairs:\n- first: 1\n  second: [a, b]\n- first: x\n  third: 1\n", "x.yaml")
    found, problems = check_model(document, Pairs, look_up=True)
    assert found is None
    assert [str(problem) for problem in problems] == [
        "x.yaml:2:3  not so",
        "x.yaml:3:15  {braces} are kept; see there",
        "x.yaml:4:3  not so",
        "x.yaml:4:3  {braces} are kept; see there",
        "x.yaml:4:10  pairs[1].first: must be a whole number, not 'x'",
        "x.yaml:5:3  unknown key 'third' in pairs[1]; known: first, second",
    ]


def test_words_are_looked_up_where_that_is_asked_for() -> None:
    document = parse_yaml("pairs:\n- first: 1\n", "x.yaml")
    assert check_model(document, Pairs) == (Pairs(pairs=[Pair(first=1)]), [])
    assert len(check_model(document, Pairs, look_up=True)[1]) == 2
    with pytest.raises(ConfigError, match="not so"):
        load_model(document, Pairs, look_up=True)
