"""A scorer as a run uses it: the module that a word names, with the options that a recipe gives it.

    rewards: [counting, {name: text, metric: mario}, {name: geneval, strict: true, as: exact}]

A scorer's module has `TARGET`, `JUDGES` and `score(prompt, sample, tools)`. One that takes options also has a class
`Options` (pydantic), and its functions take the options last: `score(prompt, sample, tools, options)`, and likewise
`score_group` and `look_ahead`. What else depends on them it says in `describe(options)`, a mapping of the names of
its attributes to their values: `{"JUDGES": frozenset({"count"})}`.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from datagen.config import ScorerChoice
from datagen.errors import ConfigError, PluginError
from datagen.plugins import load_plugin

FORMER = {
    "compbench_3in1": "{name: compbench, metric: 3in1}",
    "compbench_attribute": "{name: compbench, metric: attribute}",
    "compbench_numeracy": "{name: compbench, metric: numeracy}",
    "compbench_spatial": "{name: compbench, metric: spatial}",
    "format_brief": "{name: format, brief: true}",
    "geneval_strict": "{name: geneval, strict: true}",
    "got_layout_judge": "{name: got_layout, judge: true}",
    "preference_wins": "{name: preference, wins: true}",
    "question_graph_cascade": "{name: question_graph, cascade: true}",
    "soft_tifa_am": "{name: soft_tifa, mean: am}",
    "soft_tifa_gm": "{name: soft_tifa, mean: gm}",
    "text_cvtg": "{name: text, metric: cvtg}",
    "text_flow_grpo": "{name: text, metric: flow_grpo}",
    "text_longtext": "{name: text, metric: longtext}",
    "text_mario": "{name: text, metric: mario}",
    "text_oneig": "{name: text, metric: oneig}",
    "text_tiif": "{name: text, metric: tiif}",
    "vqascore": "{name: vqa, form: vqascore}",
}
"""What were words of their own before scorers took options, and how each is written now."""
_BOUND = ("score", "score_group", "look_ahead")


class ScorerOptions(BaseModel):
    """Base of the options of a scorer: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Scorer:
    """A scorer's module with its options settled: an attribute is that of the module, unless the options change it."""

    def __init__(self, module: ModuleType, options: BaseModel | None) -> None:
        self._module = module
        self._own: dict[str, Any] = {}
        if options is not None:
            bound = {name: getattr(module, name) for name in _BOUND if hasattr(module, name)}
            self._own |= {name: partial(function, options=options) for name, function in bound.items()}
            self._own |= module.describe(options) if hasattr(module, "describe") else {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and name != "__name__":
            raise AttributeError(name)
        return self._own[name] if name in self._own else getattr(self._module, name)


def load_scorer(choice: ScorerChoice) -> Scorer:
    """Return the scorer that a recipe names.

    Raises PluginError for an unknown word, ConfigError for options that the scorer does not take.
    """
    if choice.name in FORMER:
        raise PluginError(f"no rewards named {choice.name!r}", hint=f"write {FORMER[choice.name]}")
    module = load_plugin("rewards", choice.name, "score")
    options = getattr(module, "Options", None)
    if options is None:
        if choice.options:
            what = f"the scorer {choice.name!r} takes no options, and has {', '.join(map(repr, choice.options))}"
            raise ConfigError(what, where="rewards")
        return Scorer(module, None)
    try:
        return Scorer(module, options.model_validate(choice.options))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        hint = f"options of {choice.name}: {', '.join(options.model_fields)}"
        raise ConfigError(f"{key}: {first['msg']}", where=f"rewards.{choice.label}", hint=hint) from None
