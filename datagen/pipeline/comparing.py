"""What two recipes would make alike: which of a run's samples, scores and rewrites another run would make just so.

A mark says that whole stages are equal. Here the keys are compared that make one sample of a given prompt, or one score
of a given sample, so that a run of other prompts or more candidates can take them along (`reusing`).

A run that was begun notes the recipe and the hashes of its files, modules and models (`run.yaml`). Where one of these
lies may change, as when a project, a run or a loop with its checkpoints is moved: `follow_moved`.

Not covered: models behind an address or by a hub name that change by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from typing import Any

from datagen.config import (
    FILE_KEYS,
    PATH_KEYS,
    SCORE_KEYS,
    TAUGHT_KEYS,
    VIEW_KEYS,
    Choice,
    Makers,
    Recipe,
    changed_keys,
    fingerprint_of,
    make_recipe,
)
from datagen.errors import ConfigError, PluginError
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


def list_changes(
    old: Mapping[str, Any], new: Mapping[str, Any], skip: Set[str] = VIEW_KEYS
) -> tuple[list[str], list[str]]:
    """Return the keys by which two notes of a recipe differ, and what is different in words.

    Both have `recipe`, `files` and `makers`, as run.yaml does. How a server is reached and where a file or a model lies
    is no difference; keys that are newer than the old note have their defaults in it.
    """
    old = follow_moved(old, new)
    former, now = (dict(note["recipe"]) for note in (old, new))
    compared = former, now
    with suppress(ConfigError):  # one that this version does not read is compared as it stands
        compared = without_reach(make_recipe(former)), without_reach(make_recipe(now))
    before, files = ({**(note.get("files") or {})} for note in (old, new))
    # Another word for a path whose files are the same is no difference.
    keys = [key for key in changed_keys(*compared, skip=skip) if key not in PATH_KEYS or before != files]
    told = [f"{key}: {_look_up(former, key)} -> {_look_up(now, key)}" for key in keys]
    told += [f"the file {name}" for name in sorted({*before, *files}) if before.get(name) != files.get(name)]
    return keys, told


def list_taught_changes(old: Mapping[str, Any], new: Mapping[str, Any], *, keep: bool = False) -> list[str]:
    """Return in words how a model would be taught or measured otherwise by a new note of a recipe than by an old one.

    As `list_changes`; what an old note lacks is as in the new one. `keep` takes changed modules and models as they are.
    """
    old = {"files": new["files"], "makers": new["makers"], **old}
    _, told = list_changes(old, new, VIEW_KEYS - TAUGHT_KEYS)
    return told if keep else told + find_changes(follow_moved(old, new)["makers"], new["makers"], [*new["makers"]])


def _look_up(recipe: Mapping[str, Any], key: str) -> Any:
    value: Any = recipe
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def follow_moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the note of a run with the paths under which a new note has the same files and models, of equal content.

    Both have `recipe`, `files` and `makers`, as run.yaml does.
    """
    files = _find_moved(_list_files(old), _list_files(new))
    models = _find_moved(_list_models(old), _list_models(new))
    if not files and not models:
        return dict(old)
    recipe = {key: _rename(value, models) for key, value in old["recipe"].items()}
    recipe |= {key: _rename(recipe[key], files) for key, *_ in FILE_KEYS if key in recipe}
    moved = {
        **old,
        "recipe": recipe,
        "files": {files.get(path, path): digest for path, digest in (old.get("files") or {}).items()},
        "makers": {
            stage: {_rename_model(name, models): digest for name, digest in hashes.items()}
            for stage, hashes in (old.get("makers") or {}).items()
        },
    }
    with suppress(ConfigError):  # a recipe that this version does not read is that of another run
        made = make_recipe(recipe)
        moved["fingerprint"] = fingerprint_of(made, moved["files"], moved["makers"])
    return moved


def _list_files(note: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    return (("", path, digest) for path, digest in (note.get("files") or {}).items())


def _list_models(note: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield key, path and hash of each file and folder that an option of a recipe names."""
    for hashes in (note.get("makers") or {}).values():
        for name, digest in hashes.items():
            key, is_path, path = name.partition(": ")
            if is_path:
                yield key, path, digest


def _rename_model(name: str, moved: Mapping[str, str]) -> str:
    key, is_path, path = name.partition(": ")
    return f"{key}: {moved.get(path, path)}" if is_path else name


def _find_moved(old: Iterator[tuple[str, str, str]], new: Iterator[tuple[str, str, str]]) -> dict[str, str]:
    """Return old paths that are not named any more, with the new path of the same key and content."""
    now = [*new]
    places = {(key, digest): path for key, path, digest in now}
    named = {path for _, path, _ in now}
    return {path: places[key, digest] for key, path, digest in old if path not in named and (key, digest) in places}


def _rename(value: Any, moved: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _rename(each, moved) for key, each in value.items()}
    if isinstance(value, list):
        return [_rename(each, moved) for each in value]
    return moved.get(value, value) if isinstance(value, str) else value


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
