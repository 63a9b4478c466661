"""What two recipes would make alike: which of a run's samples, scores and rewrites another run would make just so.

A mark says that whole stages are equal. Here the keys are compared that make one sample of a given prompt, or one score
of a given sample, so that a run of other prompts or more candidates can take them along (`reusing`).

Not covered: models behind an address or by a hub name that change by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from datagen.config import SCORE_KEYS, Choice, Makers, Recipe
from datagen.errors import PluginError
from datagen.pipeline.makers import find_changes
from datagen.plugins import load_plugin

ASKED = ("backend", "judge", "drawer")
"""The recipe's keys of models that may stand behind a server."""
SAMPLING = ("seed", "mode", "backend", "images", "contamination_images")
"""Keys that determine a sample of a given prompt."""


def without_reach(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values without the options by which its plugins reach a server."""
    values = recipe.to_dict()
    for key in ASKED:
        if (choice := getattr(recipe, key)) is not None:
            values[key] = _drop_reach("backends", "build", choice)
    if recipe.source is not None and recipe.source.find is not None and recipe.source.find.backend is not None:
        values["source"]["find"]["backend"] = _drop_reach("backends", "build", recipe.source.find.backend)
    if recipe.expand is not None and recipe.expand.backend is not None:
        values["expand"]["backend"] = _drop_reach("backends", "build", recipe.expand.backend)
    for key in ("rewards", "evaluate"):
        values[key] = [(each.label, _drop_reach("rewards", "score", each)) for each in getattr(recipe, key) or ()]
    return values


def _drop_reach(family: str, needs: str, choice: Choice) -> dict[str, Any]:
    try:
        reached_by: Set[str] = getattr(load_plugin(family, choice.name, needs), "REACHED_BY", frozenset())
    except PluginError:  # of an earlier recipe, whose module is gone
        reached_by = frozenset()
    return {"name": choice.name, **{key: value for key, value in choice.options.items() if key not in reached_by}}


def find_other_sampling(old: Recipe, new: Recipe, old_makers: Makers, new_makers: Makers) -> list[str]:
    """Return the keys, modules and model files by which a sample of the same prompt would be another one."""
    return _differ(old, new, SAMPLING) + find_changes(old_makers, new_makers, ["samples"])


def find_other_scoring(old: Recipe, new: Recipe, old_makers: Makers, new_makers: Makers) -> list[str]:
    """Return the keys, modules and model files by which a score of the same sample would be another one."""
    return _differ(old, new, SCORE_KEYS) + find_changes(old_makers, new_makers, ["scores"])


def find_other_rewriting(old: Recipe, new: Recipe, old_makers: Makers, new_makers: Makers) -> list[str]:
    """Return what would let the models that rewrite prompts or find their claims answer the same request otherwise."""
    before, after = _name_rewriters(old), _name_rewriters(new)
    return [key for key in after if before[key] != after[key]] + find_changes(old_makers, new_makers, ["prompts"])


def _name_rewriters(recipe: Recipe) -> dict[str, object]:
    values = without_reach(recipe)
    find = (values.get("source") or {}).get("find") or {}
    return {
        "expand.backend": (values["expand"] or {}).get("backend") or values["backend"],
        "source.find.backend": find.get("backend") or values["backend"],
    }


def _differ(old: Recipe, new: Recipe, keys: tuple[str, ...]) -> list[str]:
    before, after = _merge_scorers(without_reach(old)), _merge_scorers(without_reach(new))
    return [key for key in keys if before.get(key) != after.get(key)]


def _merge_scorers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with all scorers under `rewards`: which of them only evaluate is no part of a score."""
    chosen = dict(values["rewards"])
    chosen.update((label, choice) for label, choice in values["evaluate"] if label not in chosen)
    return {**values, "rewards": list(chosen.items()), "evaluate": None}
