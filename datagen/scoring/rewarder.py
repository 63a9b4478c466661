"""Combine the scores of a sample into its text reward and its image reward, as a recipe's `aggregate:` says.

    aggregate:
      text: outcome                                   # the product of all scorers, of the text and of the image
      image: 0.5*genmean(counting, attribute) + 0.5*vqa
      by_weakness: {text_rendering: {image: text}}    # or weakness/skill

A scorer that no expression names is scored and reported, but does not count. A sample has no reward if a scorer of the
expression should have judged it and could not (`unseen.Duties`): the remaining scores would answer another question.
With `weights: {unjudged: keep}` the remaining scores count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from datagen.config import Aggregate
from datagen.errors import ConfigError, did_you_mean
from datagen.expressions import OUTCOME, WAYS, Expression, join_all, normalise, parse_expression
from datagen.records import Modality, Prompt, Score
from datagen.scoring.scorers import Scorer
from datagen.scoring.unseen import Duties, find_duties

_TARGETS: tuple[Modality, ...] = ("text", "image")


@dataclass(frozen=True, slots=True)
class Rewarder:
    """The expressions of a recipe by place (`""`, a weakness or `weakness/skill`) and modality.

    `modules` are the scorers whose duties are checked; without them gaps are ignored.
    """

    joins: Mapping[tuple[str, Modality], Expression]
    modules: Mapping[str, Scorer] = field(default_factory=dict)
    _last: dict[Modality, tuple[Prompt, Duties]] = field(default_factory=dict, compare=False, repr=False)

    def find_join(self, prompt: Prompt, target: Modality) -> Expression:
        """Return the expression for a prompt: that of its skill, of its weakness, or the common one."""
        for place in (prompt.path, prompt.weakness):
            if (place, target) in self.joins:
                return self.joins[place, target]
        return self.joins["", target]

    def reward(self, prompt: Prompt, scores: Sequence[Score], target: Modality) -> float | None:
        """Return a sample's reward in [0, 1]; None if no score that counts has a value, or there is a gap."""
        if self.find_gap(prompt, scores, target):
            return None
        return self.find_join(prompt, target)({score.name: score.value for score in scores})

    def require_sums(self) -> None:
        """Raise ConfigError unless every expression is a sum, since normalised rewards can be negative."""
        for (place, target), join in self.joins.items():
            if not join.is_sum:
                where = f"aggregate.by_weakness.{place}.{target}" if place else f"aggregate.{target}"
                what = f"`weights.join: before` adds normalised rewards, and {join.text!r} is no sum"
                hint = f"write `{target}: mean`, or a sum such as `0.7*counting + 0.3*attribute`"
                raise ConfigError(what, where=where, hint=hint)

    def normalise_group(
        self, prompt: Prompt, candidates: Sequence[Sequence[Score]], target: Modality
    ) -> list[float | None]:
        """Return the joined rewards of a prompt's candidates, each scorer normalised over them first (GDPO).

        Candidates without this reward have None and do not count. The expression must be a sum (`require_sums`).
        """
        join = self.find_join(prompt, target)
        rewarded = [k for k, scores in enumerate(candidates) if self.reward(prompt, scores, target) is not None]
        given = [{score.name: score.value for score in candidates[k]} for k in rewarded]
        columns = {name: normalise([values.get(name) for values in given]) for name in sorted(join.names)}
        joined: list[float | None] = [None] * len(candidates)
        for place, k in enumerate(rewarded):
            joined[k] = join.add({name: column[place] for name, column in columns.items()})
        return joined

    def find_gap(self, prompt: Prompt, scores: Sequence[Score], target: Modality) -> str:
        """Return what this reward needs and no scorer judged, or `""`."""
        return self.find_duties(prompt, target).find_gap({score.name: score for score in scores})

    def find_duties(self, prompt: Prompt, target: Modality) -> Duties:
        """Return the scorers that must judge the samples of a prompt before they have this reward."""
        # The samples of a prompt come one after the other.
        last = self._last.get(target)
        if last is None or last[0] is not prompt:
            names = self.find_join(prompt, target).names
            duties = find_duties(tuple(each for each in self.modules.items() if each[0] in names), prompt.claims)
            last = self._last[target] = prompt, duties
        return last[1]


def make_rewarder(
    aggregate: Aggregate,
    targets: Mapping[str, Modality],
    places: frozenset[str],
    modules: Mapping[str, Scorer] = MappingProxyType({}),
) -> Rewarder:
    """Return the rewarder of a recipe; `targets` maps scorers to modalities, `places` are the recipe's places.

    Raises ConfigError naming the key for an invalid expression, or for a place of which the recipe samples no prompts.
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
    if text == OUTCOME:
        return join_all("product", [*targets])
    if text in WAYS:
        return join_all(text, [name for name, judged in targets.items() if judged == target])
    try:
        return parse_expression(text, targets)
    except ValueError as error:
        raise ConfigError(str(error), where=where) from error
