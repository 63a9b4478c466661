"""A small project of one's own, written into a temporary folder, for the tests of this folder and of prompts."""

from __future__ import annotations

from pathlib import Path

LEXICON = """\
version: 1
lexicon: tiny
objects: [apple, {singular: hourglass, article: an}, {singular: sheep, plural: sheep}, unicycle]
colors: [red, orange]
relations: [{name: left of, phrase: to the left of}, {name: above, phrase: above}]
words: [OPEN, "NO"]
"""

TAXONOMY = """\
version: 1
weakness: mine
title: Mine
why: To test.
skills:
  - name: few
    title: A few things
    slots:
      n: {range: [1, 4]}
      object: {from: objects}
    levels:
      easy: {n: [1, 2]}
      hard: {n: [3, 4]}
    claims:
      - count(object, n)
    templates: few.j2
"""

TEMPLATE = "{{ many(n, object) }}\na photo of {{ many(n, object) }}\n"


def write_project(
    folder: Path, taxonomy: str = TAXONOMY, template: str = TEMPLATE, lexicon: str = LEXICON
) -> tuple[Path, Path]:
    """Write `taxonomies/mine.yaml`, `templates/few.j2` and `lexicon.yaml`; return the first and the last."""
    for name, text in (("taxonomies/mine.yaml", taxonomy), ("templates/few.j2", template), ("lexicon.yaml", lexicon)):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "taxonomies" / "mine.yaml", folder / "lexicon.yaml"
