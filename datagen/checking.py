"""The check of all files that people write, as `datagen check` prints it and the studio shows it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pydantic import BaseModel

from datagen.config import Recipe
from datagen.documents.reading import Problem
from datagen.experiment import Experiment, check_experiment
from datagen.pipeline import check_recipe, list_scorable
from datagen.taxonomy.check import check_paths

MODELS: dict[str, type[BaseModel]] = {"recipe": Recipe, "experiment": Experiment}
"""The kinds of file beside taxonomies and lexicons, with the models that read them."""


def check_files(paths: Sequence[str | Path]) -> list[Problem]:
    """Return every problem of files and folders, sorted by place; those of all that ships if there are no paths."""
    return check_paths(
        paths,
        scorable=_list_scorable(),
        models=MODELS,
        examine=check_recipe,
        examine_arms=check_experiment,
    )


@cache
def _list_scorable() -> frozenset[str]:
    return list_scorable()
