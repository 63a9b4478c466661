"""What a person should know before a run that is no error: samples without weight, and the diagnosis of another model.

Shown by `datagen plan`, by `datagen check` at the line of the recipe, and at the start of `datagen build`.
Not covered: what can only be seen in samples, such as a detector that does not know a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from datagen.config import load_recipe
from datagen.diagnose import load_diagnosis
from datagen.documents.problems import Severity
from datagen.errors import ConfigError, DatagenError, PluginError
from datagen.pipeline._checks import check_plugins, list_view_errors
from datagen.pipeline._run import Run
from datagen.records import Modality
from datagen.taxonomy.claims import ClaimForm
from datagen.taxonomy.space import Skill

SEEN_ATTRIBUTE = "color"
"""The only attribute that shipped scorers see without a judge that answers questions."""


def list_warnings(run: Run) -> list[tuple[str, str]]:
    """Return a key of the recipe and a sentence for each thing that may not be meant. Raises ConfigError."""
    return [*_warn_of_unjudged(run), *_warn_of_judge(run), *_warn_of_diagnosis(run)]


def check_recipe(file: Path) -> list[tuple[str, str, str, Severity]]:
    """Return why a recipe file cannot be built, else its warnings: key or file, a sentence, what to do, and which.

    A model or a package that is not here is no fault of the recipe.
    """
    try:
        run = Run(load_recipe(file), "check")  # a name alone: nothing is written
        wrong = list(_find_faults(run))
        warnings = [] if wrong else list_warnings(run)
    except (ConfigError, PluginError) as error:
        wrong, warnings = [(error.where, error)], []
    except DatagenError:
        return []
    faults: list[tuple[str, str, str, Severity]] = [(where, e.what, e.hint, "error") for where, e in wrong]
    return faults or [(key, what, "", "warning") for key, what in warnings]


def _find_faults(run: Run) -> Iterator[tuple[str, DatagenError]]:
    """Yield each view that no such run gives, then the first other thing that stops a build."""
    views = list(list_view_errors(run))
    for name, error in views:
        yield f"exports.{name}", error
    try:
        check_plugins(run)
    except (ConfigError, PluginError) as error:
        if error.what not in [known.what for _, known in views]:
            yield error.where, error


def _warn_of_unjudged(run: Run) -> Iterator[tuple[str, str]]:
    """Warn of skills that claim nothing that the scorers of their reward can judge."""
    target: Modality = "image" if any(run.scorers[name].TARGET == "image" for name in run.recipe.rewards) else "text"
    blind = []
    for skill in run.taxonomy.skills:
        joins = run.rewarder.joins
        place = next(place for place in (skill.path, skill.weakness, "") if (place, target) in joins)
        names = joins[place, target].names
        if not any(_judges(run, name, skill) for name in names):
            blind.append(skill.path)
    if blind:
        what = f"no scorer of the {target} judges what these claim, so their samples get no {target} weight"
        yield "rewards", f"{what}: {', '.join(blind)}"


def _judges(run: Run, name: str, skill: Skill) -> bool:
    module, kinds = run.scorers[name], run.judges[name]
    if not kinds:
        return True  # judges the sample as such
    own = not module.__name__.startswith("datagen.")
    any_attribute = own or module.TARGET == "text" or getattr(module, "NEEDS_JUDGE", False)
    return any(claim.kind in kinds and (any_attribute or _is_seen(claim)) for claim in skill.claims)


def _is_seen(claim: ClaimForm) -> bool:
    return claim.kind != "attribute" or claim.arguments["name"].literal == SEEN_ATTRIBUTE


def _warn_of_judge(run: Run) -> Iterator[tuple[str, str]]:
    """Warn of one model that answers for what selects and for what evaluates, under the names of two scorers."""
    asking = [name for name, module in run.scorers.items() if getattr(module, "NEEDS_JUDGE", False)]
    select = [name for name in asking if name in run.recipe.rewards]
    evaluate = [name for name in asking if name in (run.recipe.evaluate or [])]
    if select and evaluate:
        what = f"the judge behind {', '.join(select)} also answers for {', '.join(evaluate)}"
        yield "evaluate", f"{what}: what selects the samples would evaluate them"


def _warn_of_diagnosis(run: Run) -> Iterator[tuple[str, str]]:
    """Warn of a diagnosis that was made of another model, or of this one in another way."""
    recipe = run.recipe
    file = (recipe.allocate or {}).get("diagnosis")
    made = load_diagnosis(file).made if file else None
    if made is None or made.source not in ("probe", "run"):
        return  # what benchmarks call a model is no backend
    ours = {**recipe.backend.model_dump(mode="json"), "mode": recipe.mode}
    theirs = {**made.model, "mode": made.mode}
    changed = [
        f"{key} {theirs.get(key)} -> {ours.get(key)}" for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)
    ]
    if changed:
        yield "allocate", f"the diagnosis was made of another model than is trained on: {'; '.join(changed)}"
