"""A scorer in a run: the module that a recipe names, with the recipe's options.

    rewards: [counting, {name: text, metric: mario}, {name: geneval, strict: true, as: exact}]

A scorer's module has `TARGET`, `JUDGES` and `score(prompt, sample, tools)`. One that takes options also has a class
`Options` (pydantic), and its functions take the options last: `score(prompt, sample, tools, options)`, and likewise
`score_group` and `look_ahead`. `describe(options)` returns the attributes that depend on the options, by name:
`{"JUDGES": frozenset({"count"})}`.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict

from datagen.config import SCORERS, ScorerChoice
from datagen.documents.checking import load_model
from datagen.documents.reading import Document

_BOUND = ("score", "score_group", "look_ahead")
_ASKED = (*_BOUND, "TARGET", "JUDGES", "own_claims")


class ScorerOptions(BaseModel):
    """Base of the options of a scorer: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Scorer:
    """A scorer's module with bound options; it has the module's attributes, some of them changed by the options."""

    def __init__(self, module: ModuleType, options: BaseModel | None) -> None:
        self._module = module
        own: dict[str, Any] = {name: getattr(module, name) for name in _ASKED if hasattr(module, name)}
        if options is not None:
            own |= {name: partial(own[name], options=options) for name in _BOUND if name in own}
            own |= module.describe(options) if hasattr(module, "describe") else {}
        # Attributes used for every sample are stored here: `__getattr__` takes as long as a small scorer.
        self.__dict__.update(own)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and name != "__name__":
            raise AttributeError(name)
        return getattr(self._module, name)


def load_scorer(choice: ScorerChoice) -> Scorer:
    """Return the scorer that a recipe names.

    Raises PluginError for an unknown word, ConfigError for options that the scorer does not take.
    """
    module = SCORERS.load(choice.name)
    model = SCORERS.options_of(module)
    options = load_model(Document(f"rewards.{choice.label}", choice.options), model) if model else None
    return Scorer(module, options if hasattr(module, "Options") else None)
