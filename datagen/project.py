"""Scaffolding of a new project: a small taxonomy, its templates, and a recipe that builds unchanged.

    datagen init shop
    cd shop
    datagen preview
    datagen build

Taxonomy, templates and recipe have the name of the folder. The words come from the shipped lexicon `pictograms`, which
the embedded model knows. Nothing is overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from datagen.errors import ConfigError

_TAXONOMY = """\
# A weakness of your own. `datagen check` shows every mistake, `datagen preview` a few prompts.
version: 1
weakness: NAME
title: Small groups and pairs
why: >-
  Each thing has its own colour or its own number, and what belongs to one thing slips to the other.
skills:
  - name: few
    title: A few things of one kind and colour
    slots:
      n: {range: [2, 4]}
      object: {from: objects}
      color: {from: colors}
    levels:
      easy: {n: [2]}
      hard: {n: [3, 4]}
    claims:
      - count(object, n)
      - attribute(object, color, color)
    templates: NAME/few.j2

  - name: pair
    title: Two things, each in its own colour
    slots:
      color: {from: colors}
      object: {from: objects}
      shade: {from: colors}
      other: {from: objects}
    constraints:
      - object != other
      - color != shade
    claims:
      - count(object, 1)
      - attribute(object, color, color)
      - count(other, 1)
      - attribute(other, color, shade)
    templates: NAME/pair.j2
"""

_FEW = """\
{# One wording a line. Slots by their name; many(n, color, object) writes number and plural: "three red keys". -#}
{{ many(n, color, object) }}
a photo of {{ many(n, color, object) }}
a picture with exactly {{ many(n, color, object) }}
"""

_PAIR = """\
{# a(color, object) writes the article: "an orange key". -#}
{{ a(color, object) }} and {{ a(shade, other) }}
a photo of {{ a(color, object) }} and {{ a(shade, other) }}
a picture with {{ a(color, object) }} beside {{ a(shade, other) }}
"""

_RECIPE = """\
# What a run makes: `datagen plan` says what it comes to, `datagen build` makes it under outputs/NAME.
version: 1
name: NAME
taxonomy: [../taxonomies/NAME.yaml]
lexicon: pictograms
prompts: 24
candidates: 4
mode: think
seed: 1
shard_prompts: 8
backend: embedded
rewards: [counting, attribute, plan]
aggregate: {text: outcome}
detector: pictograms
"""

FILES = {
    "taxonomies/NAME.yaml": _TAXONOMY,
    "templates/NAME/few.j2": _FEW,
    "templates/NAME/pair.j2": _PAIR,
    "recipes/NAME.yaml": _RECIPE,
}
"""The files of a new project by path; NAME is that of its folder."""


def name_project(folder: str | Path) -> str:
    """Return the name of a folder as that of a weakness: `My shop` is `my_shop`, `2` is `project_2`."""
    plain = re.sub(r"[^a-z0-9]+", "_", Path(folder).resolve().name.lower()).strip("_")[:40]
    return (plain if plain[:1].isalpha() else f"project_{plain}").rstrip("_")


def init_project(folder: str | Path) -> list[Path]:
    """Write a new project and return its files.

    Raises ConfigError before anything is written if one of the files exists, and if the folder cannot be written.
    """
    home, own = Path(folder), name_project(folder)
    files = {home / name.replace("NAME", own): text.replace("NAME", own) for name, text in FILES.items()}
    return write_new(files)


def write_new(files: Mapping[Path, str]) -> list[Path]:
    """Write new text files and return them.

    Raises ConfigError before anything is written if one of the files exists, and if a folder cannot be written.
    """
    taken = [str(path) for path in files if path.exists() or path.is_symlink()]
    if taken:
        what = f"there already: {', '.join(taken)}"
        raise ConfigError(what, hint="choose another name; nothing was written")
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except OSError as error:
            what = f"cannot be written: {error.strerror}"
            raise ConfigError(what, where=str(path), hint="choose a folder that can be written") from error
    return list(files)
