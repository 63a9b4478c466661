"""What the page shows beside a file: its faults, the prompts of the plan, their coverage, and what no scorer judges.

Every word of it comes from the functions that the commands call: `datagen check`, `plan` and `build`. A recipe is
looked at with the open taxonomy alone in it; a prompt has the text and the id that it has in a build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datagen.checking import MODELS, check_files
from datagen.config import Recipe, load_recipe, make_recipe
from datagen.documents.reading import Problem
from datagen.errors import DatagenError
from datagen.pipeline import Run, list_warnings, plan_sources
from datagen.plugins import Failed
from datagen.program import from_here
from datagen.project import PARTS
from datagen.prompts.coverage import cover
from datagen.prompts.templated import PromptStats
from datagen.records import Claim, Prompt
from datagen.scoring.scorers import Scorer
from datagen.scoring.unseen import own_claims
from datagen.studio.files import YAML
from datagen.taxonomy import explain_skipped
from datagen.taxonomy.check import SHIPPED, schema_of
from datagen.taxonomy.sandbox import FUNCTIONS

PLANNED = 240
"""Prompts of which the coverage is counted; fewer if the recipe asks for fewer."""
SHOWN = 60
"""Prompts that the page shows."""
NAME = "studio"
"""Of the run that a recipe is looked at with; nothing is written."""


def describe_words() -> dict[str, Any]:
    """Return what the page knows words of: the JSON Schema of each kind of file, the functions of templates, and the
    files of each part of a project, with NAME for its name."""
    models = {**SHIPPED, **MODELS}
    functions = {name: (function.__doc__ or "").split("\n")[0] for name, function in FUNCTIONS.items()}
    schemas = {name: schema_of(name, model) for name, model in models.items()}
    return {"schemas": schemas, "functions": functions, "parts": {kind: [*files] for kind, files in PARTS.items()}}


def find_faults(name: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the problems of a file, and of those of the project's taxonomies that depend on it.

    `names` are all files of the project, in which the process works. A lexicon and a template are checked together
    with the taxonomies that use them.
    """
    return [_tell(problem) for problem in check_files([*_users_of(name, names)])]


def _users_of(name: str, names: Sequence[str]) -> list[str]:
    """Return the file itself if it is YAML, and the taxonomies in which what it holds occurs."""
    folder, _, rest = name.partition("/")
    own = [name] if name.endswith(YAML) else []
    if folder not in ("taxonomies", "templates") or is_taxonomy(name):
        return own
    taxonomies = [each for each in names if is_taxonomy(each)]
    if name.endswith(YAML):
        return [*own, *taxonomies]
    inside = rest.partition("templates/")[2] or rest
    return [each for each in taxonomies if inside in Path(each).read_text(encoding="utf-8", errors="replace")]


def is_taxonomy(name: str) -> bool:
    """Return whether a name is that of a taxonomy, by its place."""
    folder, _, rest = name.partition("/")
    return folder == "taxonomies" and rest.endswith(YAML) and not rest.startswith("lexicons/")


def _tell(problem: Problem) -> dict[str, Any]:
    words = {"what": from_here(problem.what), "hint": from_here(problem.hint)}
    return {**asdict(problem), **words, "file": Path(problem.file).as_posix()}


def tell_error(error: DatagenError | Failed) -> dict[str, str]:
    """Return an error as the page shows it: with paths and commands as the terminal tells them."""
    words = (error.text, error.place, "") if isinstance(error, Failed) else (error.what, error.where, error.hint)
    return dict(zip(("what", "where", "hint"), map(from_here, words), strict=True))


@dataclass(frozen=True, slots=True)
class Plan:
    """The beginning of the plan of a recipe for an open file: the run, its first prompts, and their counts."""

    run: Run
    prompts: list[Prompt]
    stats: PromptStats


def plan_file(name: str, recipe: str) -> Plan:
    """Return the plan of a recipe, for the taxonomy `name` alone if that is one.

    Raises DatagenError as the build would, for a fault in one of the files.
    """
    run = Run(focus(load_recipe(recipe), name), NAME)
    stats = PromptStats()
    count = min(PLANNED, run.recipe.prompts)
    return Plan(run, list(plan_sources(run, count, stats)), stats)


def focus(recipe: Recipe, name: str) -> Recipe:
    """Return a recipe with the taxonomy `name` alone; unchanged if it has no other, or `name` is no taxonomy."""
    if not is_taxonomy(name) or [Path(word).resolve() for word in recipe.taxonomy] == [Path(name).resolve()]:
        return recipe
    values = recipe.to_dict()
    alone = {"taxonomy": [name], "allocate": None, "aggregate": {**values["aggregate"], "by_weakness": {}}}
    return make_recipe({**values, **alone}, where=f"{recipe.name} with {name}")


def look(name: str, recipe: str) -> dict[str, Any]:
    """Return prompts, coverage, duplicates and what no scorer judges, or under `error` why there are none."""
    try:
        plan = plan_file(name, recipe)
        return {"recipe": plan.run.recipe.name, **_show(name, plan)}
    except DatagenError as error:
        return {"error": tell_error(error)}


def _show(name: str, plan: Plan) -> dict[str, Any]:
    run, scorers = plan.run, plan.run.scorers
    weighing = {each: module for each, module in scorers.items() if each in run.selecting}
    files = {wording.label: Path(wording.file) for skill in run.taxonomy.skills for wording in skill.wordings}
    shown = plan.prompts
    if name.endswith(".j2"):
        own = [each for each in plan.prompts if files[each.template].resolve() == Path(name).resolve()]
        shown = own or shown
    return {
        "model": run.recipe.backend.name,
        "lexicon": run.lexicon,
        "prompts": [_show_prompt(prompt, weighing) for prompt in shown[:SHOWN]],
        "planned": len(plan.prompts),
        "skills": [
            {**asdict(each), "prompts": each.prompts, **_count(plan.stats, each.path)}
            for each in cover(run.taxonomy, plan.prompts)
        ],
        "unjudged": [from_here(what) for _, what in list_warnings(run)],
        "notes": [*map(from_here, (*plan.stats.notes(), *explain_skipped(run.taxonomy.skipped)))],
    }


def _count(stats: PromptStats, path: str) -> dict[str, int]:
    """Return how many prompts of a skill were sampled and how many of these were duplicates, over its levels."""
    own = [each for place, each in stats.skills.items() if place == path or place.startswith(f"{path}/")]
    return {"drawn": sum(each.drawn for each in own), "duplicates": sum(each.duplicates for each in own)}


def _show_prompt(prompt: Prompt, scorers: Mapping[str, Scorer]) -> dict[str, Any]:
    return {
        "id": prompt.id,
        "text": prompt.text,
        "path": prompt.path,
        "level": prompt.level,
        "template": prompt.template,
        "claims": [[str(claim), _name_judges(claim, prompt, scorers)] for claim in prompt.claims],
    }


def _name_judges(claim: Claim, prompt: Prompt, scorers: Mapping[str, Scorer]) -> list[str]:
    return [name for name, module in scorers.items() if claim in own_claims(module, prompt.claims)]
