"""Joins the scores of a sample into its text reward and its image reward, as a recipe's `aggregate:` says.

    aggregate:
      text: mean                                      # over all scorers of the text
      image: 0.5*genmean(counting, attribute) + 0.5*vqa
      by_weakness: {text_rendering: {image: text}}    # or weakness/skill

A scorer that no expression names is scored and reported, and weighs nothing. A sample has no reward where one of those
that it rests on should have judged it and could not (`_unseen.Duties`): what is left would be the reward of another
question. With `weights: {unjudged: keep}` what is left counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType

from datagen.config import Aggregate
from datagen.errors import ConfigError, did_you_mean
from datagen.records import Modality, Prompt, Score
from datagen.rewards._aggregate import WAYS
from datagen.rewards._expression import Expression, join_all, parse_expression
from datagen.rewards._unseen import Duties, find_duties

_TARGETS: tuple[Modality, ...] = ("text", "image")


@dataclass(frozen=True, slots=True)
class Rewarder:
    """The expressions of a recipe by place (`""`, a weakness or `weakness/skill`) and modality.

    `modules` are the scorers whose duties are heeded; without them what was judged counts, whatever was not.
    """

    joins: Mapping[tuple[str, Modality], Expression]
    modules: Mapping[str, ModuleType] = field(default_factory=dict)

    def find_join(self, prompt: Prompt, target: Modality) -> Expression:
        """Return the expression that holds for a prompt: that of its skill, of its weakness, or the common one."""
        for place in (prompt.path, prompt.weakness):
            if (place, target) in self.joins:
                return self.joins[place, target]
        return self.joins["", target]

    def reward(self, prompt: Prompt, scores: Sequence[Score], target: Modality) -> float | None:
        """Return a sample's reward in [0, 1]; None where nothing that counts could be scored, or there is a gap."""
        if self.find_gap(prompt, scores, target):
            return None
        return self.find_join(prompt, target)({score.name: score.value for score in scores})

    def find_gap(self, prompt: Prompt, scores: Sequence[Score], target: Modality) -> str:
        """Say what should have been judged of a sample for this reward and was not, or `""`."""
        return self.find_duties(prompt, target).find_gap({score.name: score for score in scores})

    def find_duties(self, prompt: Prompt, target: Modality) -> Duties:
        """Return who must judge the samples of a prompt before they have this reward."""
        names = self.find_join(prompt, target).names
        return find_duties(tuple(each for each in self.modules.items() if each[0] in names), prompt.claims)


def make_rewarder(
    aggregate: Aggregate,
    targets: Mapping[str, Modality],
    places: frozenset[str],
    modules: Mapping[str, ModuleType] = MappingProxyType({}),
) -> Rewarder:
    """Return the rewarder of a recipe; `targets` says what each of its scorers judges, `places` what a prompt may be.

    Raises ConfigError naming the key for an expression that does not hold, or a place that the recipe does not draw.
    """
    joins: dict[tuple[str, Modality], Expression] = {}
    for place, each in {"": aggregate, **aggregate.by_weakness}.items():
        where = f"aggregate.by_weakness.{place}" if place else "aggregate"
        if place and place not in places:
            raise ConfigError(f"no weakness or skill {place!r}", where=where, hint=did_you_mean(place, places))
        for target in _TARGETS:
            if (text := getattr(each, target)) is not None:
                joins[place, target] = _read(text, target, targets, f"{where}.{target}")
    return Rewarder(joins, modules)


def _read(text: str, target: Modality, targets: Mapping[str, Modality], where: str) -> Expression:
    if text in WAYS:
        return join_all(text, [name for name, judged in targets.items() if judged == target])
    try:
        return parse_expression(text, targets)
    except ValueError as error:
        raise ConfigError(str(error), where=where) from error
