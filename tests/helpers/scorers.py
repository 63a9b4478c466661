"""Scorers by their names: `text_mario` is `{name: text, metric: mario}`."""

from __future__ import annotations

import yaml

from datagen.config import ScorerChoice
from datagen.plugins import FORMER, known_words
from datagen.scoring.scorers import Scorer, load_scorer

NAMES = sorted({*known_words("rewards"), *FORMER} - {"compbench", "http"})
"""Every scorer in every variant; `compbench` is none without its `metric`, `http` none without its service."""


def choose(name: str) -> ScorerChoice:
    """Return the choice that has this name in expressions and columns."""
    choice = ScorerChoice.model_validate(yaml.safe_load(FORMER.get(name, name)))
    assert choice.label == name
    return choice


def find_scorer(name: str) -> Scorer:
    return load_scorer(choose(name))
