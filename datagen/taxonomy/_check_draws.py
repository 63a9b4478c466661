"""Checks what only drawing shows: wordings that fail when they are rendered, and skills with too few prompts.

Each skill is built and drawn from with every lexicon that can fill it; a lexicon that lacks a list is passed over, as
it is when prompts are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from datagen.documents.problems import Problem, problem_of
from datagen.documents.reading import Document
from datagen.errors import ConfigError
from datagen.taxonomy.lexicon import Lexicon
from datagen.taxonomy.load import SkillBuilder, missing_list
from datagen.taxonomy.models import SkillFile
from datagen.taxonomy.space import Skill, choose_point, count_distinct

DRAWS = 12
"""Points a level at which every wording is tried."""
_COUNT_STEPS = (300, 50_000)


def check_draws(
    document: Document, place: int, weakness: str, lexicons: Sequence[Lexicon], min_distinct: int
) -> list[Problem]:
    """Draw from one skill that is right by itself, and return what goes wrong."""
    try:
        written = SkillFile.model_validate(document.data["skills"][place])
    except ValidationError:
        return []
    fitting = [lexicon for lexicon in lexicons if not missing_list(written, lexicon)]
    skills: list[tuple[Skill, Lexicon]] = []
    refused: list[Problem] = []
    for lexicon in fitting:
        builder = SkillBuilder(document, place, weakness, lexicon)
        try:
            skills.append((builder.build(written), lexicon))
        except ConfigError as error:
            refused.append(problem_of(error, document.file))
    if not skills:
        return refused[:1]
    problems = [problem for skill, _ in skills for problem in _render_all(skill, document.file)]
    return problems or _check_distinct(document, place, skills, min_distinct)


def _render_all(skill: Skill, file: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for level in skill.levels:
        for turn in range(DRAWS):
            try:
                point, _ = choose_point(skill, level, f"check/{turn}".encode())
            except ConfigError as error:
                yield problem_of(error, file)
                break
            for wording in skill.wordings:
                try:
                    wording.render(point)
                except ConfigError as error:
                    if wording.where not in seen:
                        yield problem_of(error, file)
                    seen.add(wording.where)


def _check_distinct(
    document: Document, place: int, skills: Sequence[tuple[Skill, Lexicon]], wanted: int
) -> list[Problem]:
    """Report a skill that makes fewer distinct prompts than `wanted` with every lexicon, by its best one."""
    best, best_lexicon = -1, ""
    for skill, lexicon in skills:
        try:
            total = _count_prompts(skill, wanted)
        except ConfigError as error:
            return [problem_of(error, document.file)]
        if total >= wanted:
            return []
        if total > best:
            best, best_lexicon = total, lexicon.name
    what = f"the skill {skills[0][0].name!r} has {best} distinct prompts with the lexicon {best_lexicon!r}"
    hint = f"{wanted} are asked for: add words, values or wordings, or loosen the constraints"
    return [document.problem(("skills", place, "name"), what, hint)]


def _count_prompts(skill: Skill, wanted: int) -> int:
    """Return how many distinct prompts a skill has, at least `wanted` if that many are found: few steps first."""
    total = 0
    for steps in _COUNT_STEPS:
        points = count_distinct(skill, max(steps, wanted))
        total = points.count * len(skill.wordings)
        if points.exact or total >= wanted:
            break
    return total
