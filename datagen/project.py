"""Scaffolding of a new project: a small taxonomy, its template, and a recipe that builds unchanged.

    datagen init mine
    datagen check mine
    datagen build mine/recipes/first.yaml

The words come from the shipped lexicon `pictograms`, which the embedded model knows. Nothing is overwritten.
"""

from __future__ import annotations

from pathlib import Path

from datagen.errors import ConfigError

_TAXONOMY = """\
# A weakness of your own. `datagen check` shows every mistake, `datagen preview` a few prompts.
version: 1
weakness: mixed_groups
title: Mixed groups
why: >-
  A group and one odd thing out ask for a count and a colour at once, and each makes the other harder.
skills:
  - name: odd_one_out
    title: Several of one kind, and one coloured thing
    slots:
      n: {range: [2, 4]}
      object: {from: objects}
      color: {from: colors}
      other: {from: objects}
    constraints:
      - object != other
    levels:
      easy: {n: [2]}
      hard: {n: [3, 4]}
    claims:
      - count(object, n)
      - count(other, 1)
      - attribute(other, color, color)
    templates: mixed_groups/odd_one_out.j2
"""

_TEMPLATE = """\
{# One wording a line. Slots by their name; a(color, other) writes the article, many(n, object) number and plural. -#}
{{ many(n, object) }} and {{ a(color, other) }}
a photo of {{ many(n, object) }} and {{ a(color, other) }}
a picture with {{ many(n, object) }} beside {{ a(color, other) }}
"""

_RECIPE = """\
# What a run makes: `datagen plan` says what it comes to, `datagen build` makes it under outputs/first.
version: 1
name: first
taxonomy: [../taxonomies/mixed_groups.yaml]
lexicon: pictograms
prompts: 24
candidates: 4
mode: think
seed: 1
shard_prompts: 8
backend: embedded
rewards: [counting, attribute]
detector: pictograms
"""

FILES = {
    "taxonomies/mixed_groups.yaml": _TAXONOMY,
    "templates/mixed_groups/odd_one_out.j2": _TEMPLATE,
    "recipes/first.yaml": _RECIPE,
}
"""The files of a new project by path."""


def init_project(folder: str | Path) -> list[Path]:
    """Write a new project and return its files.

    Raises ConfigError before anything is written if one of the files exists, and if the folder cannot be written.
    """
    home = Path(folder)
    taken = [name for name in FILES if (home / name).exists() or (home / name).is_symlink()]
    if taken:
        what = f"there is a project already: {', '.join(taken)}"
        raise ConfigError(what, where=str(home), hint="choose another folder; nothing was written")
    for name, text in FILES.items():
        try:
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            with (home / name).open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except OSError as error:
            what = f"cannot write the project: {error.strerror}"
            raise ConfigError(what, where=str(home / name), hint="choose a folder that can be written") from error
    return [home / name for name in FILES]
