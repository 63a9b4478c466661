"""Which round is best, and when another one is not worth it: decided on prompts that no round was trained on.

All rounds answer the same held-out prompts with the same seeds, so two of them are compared prompt by prompt. A round
helps when the 95 % interval of the mean difference to the best round before it lies above zero.

Not covered: the many looks at the same prompts. Of forty rounds that change nothing, one seems to help.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from datagen.diagnose import Diagnosis, Group, bootstrap_mean, pass_at

Rates = Mapping[str, float]
"""By prompt: the share of its judged candidates that passed, or their mean reward; in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference over `prompts` prompts with its 95 % interval, all in [-1, 1]."""

    value: float
    low: float
    high: float
    prompts: int

    @property
    def helps(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low > 0


@dataclass(frozen=True, slots=True)
class Standing:
    """The best of the rounds so far, and how many rounds in a row did not help.

    `bases` has for each round the one from whose model it was trained and with which it is compared, None for the
    first; `gains` has the differences to these, None where no held-out prompt is judged in both.
    """

    best: int
    idle: int
    bases: tuple[int | None, ...]
    gains: tuple[Difference | None, ...]


def rate_prompts(groups: Iterable[Group]) -> dict[str, float]:
    """Return the pass rate of each prompt; if no scorer passes or fails samples, the mean reward."""
    groups = list(groups)
    strict = {group.prompt: pass_at(group.tries, group.passes, 1) for group in groups if group.tries}
    return strict or {group.prompt: math.fsum(group.rewards) / len(group.rewards) for group in groups if group.rewards}


def compare(before: Rates, after: Rates, seen: Collection[str] = ()) -> Difference | None:
    """Return the mean of `after` minus `before` over the prompts of both that are not `seen`; None without any.

    The interval is the percentile bootstrap over prompts.
    """
    both = [name for name in before if name in after and name not in seen]
    if not both:
        return None
    differences = [after[name] - before[name] for name in both]
    low, high = bootstrap_mean(differences)
    return Difference(math.fsum(differences) / len(both), low, high, len(both))


def stand(rates: Sequence[Rates], seen: Sequence[Collection[str]]) -> Standing:
    """Return where the loop stands after some rounds, the first of which is the model as it was.

    `seen` has for each round the held-out prompts that its training data holds; they count for no later round.
    """
    best = idle = 0
    bases: list[int | None] = [None]
    gains: list[Difference | None] = [None]
    for number in range(1, len(rates)):
        trained_on = set[str]().union(*seen[: number + 1])
        gain = compare(rates[best], rates[number], trained_on)
        bases.append(best)
        gains.append(gain)
        best, idle = (number, 0) if gain is not None and gain.helps else (best, idle + 1)
    return Standing(best, idle, tuple(bases), tuple(gains))


def find_stop(standing: Standing, diagnosis: Diagnosis, rounds: int, patience: int) -> str:
    """Return why the loop stops, in words, or "" if another round follows; `diagnosis` is that of the best round."""
    done = len(standing.gains) - 1
    if all(row.verdict in ("solved", "hopeless") for row in diagnosis.rows):
        return "everything that can be learned is solved"
    if done and standing.idle >= patience:
        rows = "the last round does" if standing.idle == 1 else f"the last {standing.idle} rounds do"
        return f"{rows} not help"
    return f"all rounds are done: {done}" if done >= rounds else ""
