"""Scaffolding of a new project: a small taxonomy, its templates, and a recipe that builds unchanged.

    datagen init shop
    cd shop
    datagen preview
    datagen build

Taxonomy, templates and recipe have the name of the folder. The words come from the shipped lexicon `pictograms`, which
the embedded model knows. `draft_part` has the same files, and a lexicon and an experiment, for a project that grows.
Nothing is overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from datagen.errors import ConfigError, did_you_mean
from datagen.filesystems import write_whole

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
taxonomy: [TAXONOMY]
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

_LEXICON = """\
# Words that fill the slots of taxonomies; a recipe takes them by `lexicon: ../taxonomies/lexicons/NAME.yaml`.
# Plurals and articles follow the rules of English where they are not given.
version: 1
lexicon: NAME
about: What this model can draw.
objects: [star, heart, moon, key, umbrella, {singular: fish, plural: fish}]
colors: [red, orange, yellow, green, blue, purple]
relations:
  - {name: left of, phrase: to the left of}
  - {name: above, phrase: above}
"""

_EXPERIMENT = """\
# Ways to make data, compared by what a model learns from them: `datagen experiment experiments/NAME.yaml`.
version: 1
question: Do weights help more than none?
recipe: RECIPE
set: {train.steps: 100, train.detector: learned}
seeds: [1, 2, 3]
arms:
  weighted: {}
  even: {set: {weights.policy: uniform}}
measure:
  held-out: {prompts: 8, candidates: 4}
compare: [[weighted, even], [weighted, before]]
"""

PARTS: Mapping[str, Mapping[str, str]] = {
    "taxonomy": {"taxonomies/NAME.yaml": _TAXONOMY, "templates/NAME/few.j2": _FEW, "templates/NAME/pair.j2": _PAIR},
    "template": {"templates/NAME.j2": _FEW},
    "lexicon": {"taxonomies/lexicons/NAME.yaml": _LEXICON},
    "recipe": {"recipes/NAME.yaml": _RECIPE},
    "experiment": {"experiments/NAME.yaml": _EXPERIMENT},
}
"""What a project consists of: the files of each part by path, first the one that names the others."""
_NAME = r"[a-z][a-z0-9_]{0,59}"


def name_project(folder: str | Path) -> str:
    """Return the name of a folder as that of a weakness: `My shop` is `my_shop`, `2` is `project_2`."""
    plain = re.sub(r"[^a-z0-9]+", "_", Path(folder).resolve().name.lower()).strip("_")[:40]
    return (plain if plain[:1].isalpha() else f"project_{plain}").rstrip("_")


def init_project(folder: str | Path) -> list[Path]:
    """Write a new project and return its files.

    Raises ConfigError before anything is written if one of the files exists, and if the folder cannot be written.
    """
    own = name_project(folder)
    taxonomy = draft_part("taxonomy", own)
    files = {**taxonomy, **draft_part("recipe", own, taxonomy)}
    return write_new({Path(folder) / name: text for name, text in files.items()})


def draft_part(kind: str, name: str, known: Collection[str] = ()) -> dict[str, str]:
    """Return the texts of the files of a new part of a project, one of `PARTS`, by path in it; nothing is written.

    A recipe takes a taxonomy, and an experiment a recipe, from the `known` files of the project: that of its own name,
    else the first, else one that ships. A template may be named with its folder: `shop/pair`. Raises ConfigError for an
    unknown kind, and for a name that is not made of small letters, digits and `_`.
    """
    if kind not in PARTS:
        raise ConfigError(f"{kind!r} is no part of a project", where="new", hint=did_you_mean(kind, PARTS))
    if not re.fullmatch(rf"({_NAME}/){{0,3}}{_NAME}" if kind == "template" else _NAME, name):
        hint = f"small letters, digits and _, such as {'kitchen/pair' if kind == 'template' else 'kitchen'}"
        raise ConfigError(f"{name!r} is no name of a {kind}", where="new", hint=hint)
    words = {
        "NAME": name,
        "TAXONOMY": _choose("taxonomies", name, known) or "counting",
        "RECIPE": _choose("recipes", name, known) or "quickstart",
    }
    return {
        path.replace("NAME", name): re.sub("|".join(words), lambda found: words[found.group()], text)
        for path, text in PARTS[kind].items()
    }


def _choose(folder: str, name: str, known: Collection[str]) -> str:
    """Return the path, from a folder beside it, of the known file of a name in a folder, else of the first there."""
    files = [path for path in sorted(known) if re.fullmatch(rf"{folder}/[^/]+\.ya?ml", path)]
    own = [path for path in files if Path(path).stem == name]
    return "".join(f"../{path}" for path in (own or files)[:1])


def write_new(files: Mapping[Path, str]) -> list[Path]:
    """Write new text files, each whole, and return them. If one cannot be written, none stays.

    Raises ConfigError before anything is written if one of the files exists, and if a folder cannot be written.
    """
    taken = [str(path) for path in files if path.exists() or path.is_symlink()]
    if taken:
        what = f"there already: {', '.join(taken)}"
        raise ConfigError(what, hint="choose another name; nothing was written")
    written: list[Path] = []
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("x").close()  # of two who want a name, one gets it
            written.append(path)
            with write_whole(path) as file:
                file.write(text.encode())
        except OSError as error:
            for each in written:
                each.unlink(missing_ok=True)
            what = f"cannot be written: {error.strerror}"
            raise ConfigError(what, where=str(path), hint="choose a folder that can be written") from error
    return written
