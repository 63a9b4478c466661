from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projects import LEXICON, TAXONOMY, TEMPLATE, write_project

from datagen.errors import ConfigError
from datagen.plugins import shipped_path
from datagen.taxonomy import (
    count_distinct,
    explain_skipped,
    find_template,
    load_taxonomy,
    resolve_lexicon,
    resolve_taxonomy,
)
from datagen.taxonomy.space import choose_point, shuffle

SHIPPED = ["counting", "spatial", "attributes", "text_rendering"]


def test_shipped_taxonomies_load_with_both_lexicons() -> None:
    everyday, pictograms = (load_taxonomy(SHIPPED, lexicon) for lexicon in ("everyday", "pictograms"))
    assert [weakness.name for weakness in everyday.weaknesses] == SHIPPED
    assert everyday.skipped == ()
    assert "materials" in dict(pictograms.skipped)["attributes/one_material"]
    sentences = explain_skipped(pictograms.skipped)
    assert sentences[0] == "left out, since the lexicon 'pictograms' has no materials: attributes/one_material"
    assert len(sentences) < len(pictograms.skipped)
    drawn = {skill.path for skill in pictograms.skills}
    assert [skill.path for skill in everyday.skills if skill.path not in drawn] == [p for p, _ in pictograms.skipped]


def test_levels_narrow_the_slots(tmp_path: Path) -> None:
    skill = load_taxonomy(*_one(write_project(tmp_path))).skills[0]
    assert [(level.name, level.choices["n"]) for level in skill.levels] == [("easy", (1, 2)), ("hard", (3, 4))]
    assert all(len(level.choices["object"]) == 4 for level in skill.levels)


def test_a_skill_without_levels_has_one_called_medium() -> None:
    skill = next(s for s in load_taxonomy(["spatial"], "pictograms").skills if s.name == "two_objects")
    assert [level.name for level in skill.levels] == ["medium"]


def test_a_level_may_list_words_or_one_number(tmp_path: Path) -> None:
    text = TAXONOMY.replace("easy: {n: [1, 2]}", "easy: {n: [2], object: [sheep, apple]}")
    level = load_taxonomy(*_one(write_project(tmp_path, text))).skills[0].levels[0]
    assert level.choices == {"n": (2,), "object": ("apple", "sheep")}


def test_templates_of_the_users_own_come_before_the_shipped_ones(tmp_path: Path) -> None:
    taxonomy, _ = write_project(tmp_path)
    (tmp_path / "templates" / "counting").mkdir()
    own = tmp_path / "templates" / "counting" / "one_kind.j2"
    assert find_template(taxonomy, "counting/one_kind.j2") == shipped_path("templates", "counting", "one_kind.j2")
    own.write_text(TEMPLATE)
    assert find_template(taxonomy, "counting/one_kind.j2") == own
    beside = tmp_path / "taxonomies" / "templates" / "few.j2"
    beside.parent.mkdir()
    beside.write_text(TEMPLATE)
    assert find_template(taxonomy, "few.j2") == beside


def test_names_are_shipped_files_and_paths_are_paths(tmp_path: Path) -> None:
    assert resolve_taxonomy("counting") == shipped_path("taxonomies", "counting.yaml")
    assert resolve_lexicon("everyday") == shipped_path("taxonomies", "lexicons", "everyday.yaml")
    assert resolve_taxonomy("mine.yaml") == Path("mine.yaml")
    assert resolve_taxonomy("here/mine") == Path("here/mine")
    with pytest.raises(ConfigError, match="'countin'") as caught:
        resolve_taxonomy("countin")
    assert "did you mean 'counting'?" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("count(object, n)", "count(objct, n)", 15, "did you mean 'object'?"),
        ("count(object, n)", "count(object)", 15, "2 arguments"),
        ("count(object, n)", "count(object, n, n)", 15, "2 arguments"),
        ("count(object, n)", "count(object, n,)", 15, "2 arguments"),
        ("count(object, n)", "coun(object, n)", 15, "did you mean 'count'?"),
        ("count(object, n)", "count object n", 15, "is not a claim"),
        ("count(object, n)", "count(object, object)", 15, "is not a number"),
        ("count(object, n)", "text(n)", 15, "is a number"),
        ("hard: {n: [3, 4]}", "hard: {n: [3, 9]}", 13, "'9' is no value"),
        ("hard: {n: [3, 4]}", "hard: {n: [4, 3]}", 13, "is empty"),
        ("hard: {n: [3, 4]}", "hard: {n: [1, 2, 3]}", 13, "no part of a range"),
        ("hard: {n: [3, 4]}", "hard: {m: [3, 4]}", 13, "unknown slot 'm'"),
        ("hard: {n: [3, 4]}", "hard: {object: [aple]}", 13, "did you mean 'apple'?"),
        ("    claims", "    constraints: [m > 1]\n    claims", 14, "unknown slot 'm'"),
        ("    claims", "    constraints: [n >]\n    claims", 14, "broken constraint"),
        ("few.j2", "fewer.j2", 16, "no template 'fewer.j2'"),
        ("share", "share", 0, ""),
        ("title: A few", "shar: 0.5\n    title: A few", 7, "did you mean 'share'?"),
        ("range: [1, 4]", "range: [1, 1000000000]", 9, "1000000000"),
        ("range: [1, 4]", "values: [1, big]", 9, "mixes words and numbers"),
        ("object: {from: objects}", "many: {from: objects}", 10, "has the name of a function"),
    ],
)
def test_a_fault_is_shown_at_its_line(tmp_path: Path, old: str, new: str, line: int, says: str) -> None:
    paths = write_project(tmp_path, TAXONOMY.replace(old, new))
    if not line:
        assert load_taxonomy(*_one(paths)).skills
        return
    with pytest.raises(ConfigError) as caught:
        load_taxonomy(*_one(paths))
    assert caught.value.where.startswith(f"{paths[0]}:{line}:")
    assert says in str(caught.value)


def test_an_unknown_slot_in_a_template_is_shown_at_its_line(tmp_path: Path) -> None:
    paths = write_project(tmp_path, template="{{ many(n, object) }}\n{{ a(objekt) }}\n")
    with pytest.raises(ConfigError, match="'objekt'") as caught:
        load_taxonomy(*_one(paths))
    assert caught.value.where == f"{tmp_path / 'templates' / 'few.j2'}:2"
    assert "did you mean 'object'?" in caught.value.hint


def test_a_wording_that_does_not_say_what_is_claimed_is_refused(tmp_path: Path) -> None:
    paths = write_project(tmp_path, template="{{ many(n, object) }}\nseveral things like {{ a(object) }}\n")
    with pytest.raises(ConfigError, match="leaves out the slot 'n'") as caught:
        load_taxonomy(*_one(paths))
    assert caught.value.where == f"{tmp_path / 'templates' / 'few.j2'}:2"


def test_literals_in_claims(tmp_path: Path) -> None:
    claims = (
        '["count(apple, 2)", "attribute(object, color, red)", \'text("A, (B)")\', "relation(object, left of, apple)"]'
    )
    text = TAXONOMY.replace("claims:\n      - count(object, n)", f"claims: {claims}")
    skill = load_taxonomy(*_one(write_project(tmp_path, text))).skills[0]
    point, _ = choose_point(skill, skill.levels[0], b"")
    said = [str(claim.fill(point)) for claim in skill.claims]
    thing = point["object"]
    assert said == [
        "count(apple, 2)",
        f"attribute({thing}, color, red)",
        'text("A, (B)")',
        f"relation({thing}, left of, apple)",
    ]


def test_a_weakness_comes_once_and_something_must_be_filled(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'counting' is defined twice"):
        load_taxonomy(["counting", "counting"], "pictograms")
    with pytest.raises(ConfigError, match="no taxonomy"):
        load_taxonomy([], "pictograms")
    lexicon = LEXICON.replace("objects:", "materials:")
    paths = write_project(tmp_path, lexicon=lexicon)
    with pytest.raises(ConfigError, match="has no objects"):
        load_taxonomy(*_one(paths))


@pytest.mark.parametrize("text", ["", "[]", "version: 1\n", "weakness: [unclosed", "\x00", "version: 2\nnew: true\n"])
def test_a_broken_file_is_a_config_error(tmp_path: Path, text: str) -> None:
    paths = write_project(tmp_path, text)
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        load_taxonomy(*_one(paths))


def test_distinct_points_are_counted_exactly_where_they_are_few() -> None:
    skills = {skill.path: skill for skill in load_taxonomy(SHIPPED, "pictograms").skills}
    # 12 objects; 5 counts; 10 colours; pairs of objects that differ; counts of two kinds by level, (2, 2) in both.
    two_kinds = {(n, m) for lo, hi in ((1, 2), (2, 4)) for n in range(lo, hi + 1) for m in range(lo, hi + 1)}
    wanted = {
        "counting/one_kind": 5 * 12,
        "counting/one_kind_colored": 5 * 12 * 10,
        "counting/two_kinds": 12 * 11 * sum(3 <= n + m <= 6 for n, m in two_kinds),
        "spatial/two_objects": 12 * 11 * 4,
        "attributes/two_colors": 12 * 11 * 10 * 9,
    }
    assert {path: count_distinct(skills[path]).count for path in wanted} == wanted
    assert all(count_distinct(skills[path]).exact for path in wanted)


def test_counting_stops_at_its_limit_and_says_so() -> None:
    skill = next(s for s in load_taxonomy(["attributes"], "everyday").skills if s.name == "three_colors")
    found = count_distinct(skill, limit=1000)
    assert not found.exact
    assert 900 < found.count <= 1000


def test_a_tight_constraint_still_finds_what_it_allows(tmp_path: Path) -> None:
    text = TAXONOMY.replace("range: [1, 4]", "range: [1, 1000]").replace(
        "    levels:\n      easy: {n: [1, 2]}\n      hard: {n: [3, 4]}\n", "    constraints: [n == 777]\n"
    )
    skill = load_taxonomy(*_one(write_project(tmp_path, text))).skills[0]
    points = [choose_point(skill, skill.levels[0], b"%d" % k)[0] for k in range(50)]
    assert {point["n"] for point in points} == {777}
    assert len({point["object"] for point in points}) == 4


def test_constraints_that_leave_nothing_say_so(tmp_path: Path) -> None:
    skill = load_taxonomy(
        *_one(write_project(tmp_path, TAXONOMY.replace("    claims", "    constraints: [n > 9]\n    claims")))
    ).skills[0]
    with pytest.raises(ConfigError, match="n > 9") as caught:
        choose_point(skill, skill.levels[0], b"")
    assert caught.value.where.startswith(str(tmp_path))
    assert count_distinct(skill).count == 0


@given(st.integers(1, 400), st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=4))
def test_a_shuffle_loses_no_number(size: int, keys: list[int]) -> None:
    assert sorted(shuffle(number, size, keys) for number in range(size)) == list(range(size))


def _one(paths: tuple[Path, Path]) -> tuple[list[Path], Path]:
    return [paths[0]], paths[1]
