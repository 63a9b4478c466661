"""Metadata lines: claims in, line out and back; what GenEval cannot ask; broken files."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from datagen.documents.geneval_lines import TASKS, Line, claims_of, line_of, read_lines
from datagen.errors import ConfigError
from datagen.records import Claim


def count(subject: str, n: int) -> Claim:
    return Claim("count", subject, "", n)


def color(subject: str, value: str) -> Claim:
    return Claim("attribute", subject, "color", value)


def relation(subject: str, name: str, other: str) -> Claim:
    return Claim("relation", subject, name, other)


def item(label: str, n: int = 1, **more: Any) -> dict[str, Any]:
    return {"class": label, "count": n, **more}


CAT, BOX = count("cat", 1), count("box", 1)
FORMS: list[tuple[tuple[Claim, ...], dict[str, Any]]] = [
    ((CAT,), {"tag": "single_object", "include": [item("cat")]}),
    ((CAT, BOX), {"tag": "two_object", "include": [item("cat"), item("box")]}),
    ((count("cat", 3),), {"tag": "counting", "include": [item("cat", 3)], "exclude": [item("cat", 4)]}),
    ((CAT, color("cat", "red")), {"tag": "colors", "include": [item("cat", color="red")]}),
    (
        (CAT, BOX, relation("cat", "above", "box")),
        {"tag": "position", "include": [item("box"), item("cat", position=["above", 0])]},
    ),
    (
        (CAT, color("cat", "red"), BOX, color("box", "blue")),
        {"tag": "color_attr", "include": [item("cat", color="red"), item("box", color="blue")]},
    ),
]


@pytest.mark.parametrize(("claims", "line"), FORMS)
def test_the_six_forms_in_both_directions(claims: tuple[Claim, ...], line: dict[str, Any]) -> None:
    made = line_of(claims)
    assert made.to_dict() == line
    assert list(made.to_dict()) == list(line)
    assert set(claims_of(made)) == set(claims)
    assert line_of(claims, prompt="a photo").to_dict() == {**line, "prompt": "a photo"}


@pytest.mark.parametrize(
    ("claims", "line"),
    [
        (
            (count("cat", 2), color("cat", "red"), relation("cat", "above", "box")),
            {
                "tag": "counting",
                "include": [item("box"), item("cat", 2, color="red", position=["above", 0])],
                "exclude": [item("cat", 3)],
            },
        ),
        ((CAT, count("box", 0)), {"tag": "counting", "include": [item("cat")], "exclude": [item("box", 1)]}),
        ((count("cat", 0),), {"tag": "counting", "include": [], "exclude": [item("cat", 1)]}),
        (
            (relation("cat", "above", "box"), relation("box", "left of", "cup")),
            {
                "tag": "position",
                "include": [
                    item("cup"),
                    item("box"),
                    item("cat", position=["above", 1]),
                    item("box", position=["left of", 0]),
                ],
            },
        ),
        (
            (relation("cat", "above", "box"), relation("box", "below", "cat")),
            {
                "tag": "position",
                "include": [item("box"), item("cat", position=["above", 0]), item("box", position=["below", 1])],
            },
        ),
    ],
)
def test_richer_claims_have_a_line_too(claims: tuple[Claim, ...], line: dict[str, Any]) -> None:
    made = line_of(claims)
    assert made.to_dict() == line
    assert Line.model_validate(line) == made


def test_claims_survive_the_way_there_and_back() -> None:
    rng = random.Random(553)
    for _ in range(300):
        labels = rng.sample(["cat", "box", "cup", "hot dog"], rng.randint(1, 4))
        claims = [count(label, rng.choice((1, 1, 2, 4))) for label in labels]
        claims += [color(label, rng.choice(("red", "white"))) for label in labels if rng.random() < 0.5]
        for one, other in itertools.pairwise(labels):
            if rng.random() < 0.5:
                pair = (one, other) if rng.random() < 0.5 else (other, one)
                claims.append(relation(pair[0], rng.choice(("left of", "below")), pair[1]))
        rng.shuffle(claims)
        line = line_of(claims)
        assert set(claims_of(line)) == set(claims), line
        assert claims_of(Line.model_validate(json.loads(json.dumps(line.to_dict())))) == claims_of(line)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ((Claim("text", "", "", "OPEN"),), "no clause for that"),
        ((Claim("attribute", "chair", "material", "wood"),), "no attribute but colour"),
        ((color("cat", "silver"),), "its colours are red, orange"),
        ((relation("cat", "in front of", "box"),), "its relations are left of"),
        ((relation("cat", "left of", "cat"),), "compare a thing with itself"),
        ((count("cat", -1),), "not negative"),
        ((count("cat", 1), count("cat", 2)), "want 1 and 2 of 'cat'"),
        ((count("cat", 2), color("cat", "red"), color("cat", "blue")), "'cat' in two colours"),
        ((count("cat", 0), color("cat", "red")), "want no 'cat' and say more of it"),
        ((count("cat", 0), relation("box", "above", "cat")), "want no 'cat' and say more of it"),
    ],
)
def test_what_geneval_cannot_ask_is_said(claims: tuple[Claim, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        line_of(claims)


def test_an_exclude_that_leaves_the_number_open_is_no_claim() -> None:
    line = Line.model_validate({"tag": "counting", "include": [item("cat", 2)], "exclude": [item("cat", 5)]})
    with pytest.raises(ValueError, match="fewer than 5 of 'cat'"):
        claims_of(line)


def write(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "metadata.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = write(tmp_path, *(line for _, line in FORMS), "")
    lines = read_lines(path)
    assert [line.tag for line in lines] == list(TASKS)
    assert lines[4].labels == {"cat", "box"}
    assert [line.to_dict() for line in lines] == [line for _, line in FORMS]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ({"tag": "colour", "include": []}, "'colour'"),
        ({"tag": "colors"}, "'include' is missing"),
        ({"tag": "colors", "include": [item("cat", color="gray")]}, "'gray'"),
        ({"tag": "colors", "include": [item("cat", 0)]}, "greater than or equal to 1"),
        ({"tag": "colors", "include": [item("cat", True)]}, "a whole number"),
        ({"tag": "colors", "include": [item("cat", shape="round")]}, "shape"),
        ({"tag": "position", "include": [item("cat", position=["above", 0])]}, "which must come first"),
        ({"tag": "position", "include": [item("box"), item("cat", position=["on", 0])]}, "'on'"),
        ({"tag": "position", "include": [item("box"), item("cat", position=["above", -1])]}, "greater than or equal"),
        ({"prompt_id": 1, "score": 0.5}, "'tag' is missing"),
    ],
)
def test_a_broken_line_is_named_with_its_number(tmp_path: Path, line: object, message: str) -> None:
    path = write(tmp_path, FORMS[0][1], line)
    with pytest.raises(ConfigError) as caught:
        read_lines(path)
    assert f"{path}:2" in str(caught.value)
    assert message in str(caught.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_lines(tmp_path / "none.jsonl")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_lines(tmp_path / "image.png")
