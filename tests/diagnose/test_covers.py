"""Which skills a category of a benchmark speaks for: they ship, and no two categories claim the same one."""

from __future__ import annotations

from collections import Counter

import pytest

from datagen.diagnose.results import CATEGORIES, COVERS
from datagen.plugins import shipped_path
from datagen.taxonomy import load_taxonomy

WORDS = sorted(path.stem for path in shipped_path("taxonomies").glob("*.yaml"))


def test_every_path_names_something_that_ships() -> None:
    skills = load_taxonomy(WORDS, "everyday").skills
    known = {skill.path for skill in skills} | {skill.weakness for skill in skills}
    assert {path for paths in COVERS.values() for path in paths} <= known


@pytest.mark.parametrize("benchmark", ["geneval", "oneig", "genai_bench", "wise"])
def test_one_file_never_speaks_for_a_skill_twice(benchmark: str) -> None:
    paths = Counter(path for name, some in COVERS.items() if name.startswith(f"{benchmark}/") for path in some)
    assert set(paths.values()) == {1}


@pytest.mark.parametrize("weakness", ["composition", "logic", "knowledge", "depth", "materials"])
def test_the_weaknesses_beyond_the_first_four_are_spoken_for(weakness: str) -> None:
    covered = {path for paths in COVERS.values() for path in paths}
    skills = [skill.path for skill in load_taxonomy([weakness], "everyday").skills]
    assert all({weakness, path} & covered for path in skills)


def test_categories_are_spelt_as_the_reader_spells_them() -> None:
    named = {name.removeprefix("t2i_compbench/") for name in COVERS if name.startswith("t2i_compbench/")}
    assert named <= set(CATEGORIES)
