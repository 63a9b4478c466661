"""Which round is best, and when another one is not worth it: decided on prompts that no round was trained on.

All rounds answer the same held-out prompts with the same seeds, so two of them are compared prompt by prompt; what a
model did not finish failed. A round helps when the 95 % interval of the mean difference to the best round before it
lies above zero, and `LEAST_CHANGED` prompts at least are answered otherwise. Fewer than `LEAST_PROMPTS` prompts tell
nothing: the interval of one or two is a point. A prompt that a round was trained on counts in no comparison from then
on, so when too few are left, no further round could be told from the best.

Not covered: the many looks at the same prompts. Of forty rounds that change nothing, one seems to help.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from datagen.diagnose import LEAST_PROMPTS, Diagnosis, Group, bootstrap_mean, pass_at

LEAST_CHANGED = 6
"""Fewest prompts whose rate must differ: were it chance, all of fewer would differ in one direction too often."""
Rates = Mapping[str, float]
"""By prompt: the share of its candidates that passed, or their mean reward; in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference over `prompts` prompts, of which `changed` differ, with its 95 % interval, all in [-1, 1]."""

    value: float
    low: float
    high: float
    prompts: int
    changed: int

    @property
    def is_known(self) -> bool:
        """Whether it rests on enough prompts to decide by."""
        return self.prompts >= LEAST_PROMPTS

    @property
    def helps(self) -> bool:
        """Whether it is known, the whole interval lies above zero, and it is no matter of a few prompts."""
        return self.is_known and self.low > 0 and self.changed >= LEAST_CHANGED


@dataclass(frozen=True, slots=True)
class Standing:
    """The best of the rounds so far, and how many rounds in a row did not help.

    `bases` has for each round the one from whose model it was trained and with which it is compared, None for the
    first; `gains` has the differences to these, None where too few held-out prompts are judged in both to know it.
    `left` has how many were left to compare on: those judged in the base that no round's data hold so far.
    """

    best: int
    idle: int
    bases: tuple[int | None, ...]
    gains: tuple[Difference | None, ...]
    left: tuple[int, ...]

    def helps(self, number: int) -> bool | None:
        """Tell whether a round helps; None for the first one, and where too few prompts were left to know."""
        gain = self.gains[number]
        if self.bases[number] is None or self.left[number] < LEAST_PROMPTS:
            return None
        return gain is not None and gain.helps


def rate_rounds(rounds: Sequence[Iterable[Group]]) -> list[dict[str, float]]:
    """Return for each round the pass rate of each prompt; if no scorer passes or fails samples, its mean reward."""
    made = [list(groups) for groups in rounds]
    if any(each.tries for groups in made for each in groups):
        return [{each.prompt: pass_at(each.tries, each.passes, 1) for each in groups if each.tries} for groups in made]
    return [
        {each.prompt: math.fsum(each.rewards) / len(each.rewards) for each in groups if each.rewards} for groups in made
    ]


def compare(before: Rates, after: Rates, seen: Collection[str] = ()) -> Difference | None:
    """Return the mean of `after` minus `before` over the prompts of both that are not `seen`; None without any.

    The interval is the percentile bootstrap over prompts.
    """
    both = [name for name in before if name in after and name not in seen]
    if not both:
        return None
    differences = [after[name] - before[name] for name in both]
    low, high = bootstrap_mean(differences)
    return Difference(math.fsum(differences) / len(both), low, high, len(both), sum(each != 0 for each in differences))


def stand(rates: Sequence[Rates], seen: Sequence[Collection[str]]) -> Standing:
    """Return where the loop stands after some rounds, the first of which is the model as it was.

    `seen` has for each round the held-out prompts that its training data holds; they count for no later round.
    """
    best = idle = 0
    bases: list[int | None] = [None]
    gains: list[Difference | None] = [None]
    left = [len(rates[0])]
    for number in range(1, len(rates)):
        trained_on = set[str]().union(*seen[: number + 1])
        gain = compare(rates[best], rates[number], trained_on)
        bases.append(best)
        gains.append(gain if gain is not None and gain.is_known else None)
        left.append(sum(name not in trained_on for name in rates[best]))
        best, idle = (number, 0) if gain is not None and gain.helps else (best, idle + 1)
    return Standing(best, idle, tuple(bases), tuple(gains), tuple(left))


def find_stop(standing: Standing, diagnosis: Diagnosis, rounds: int, patience: int) -> str:
    """Return why the loop stops, in words, or "" if another round follows; `diagnosis` is that of the best round."""
    done = len(standing.gains) - 1
    verdicts = [row.verdict for row in diagnosis.rows]
    if all(verdict in ("solved", "hopeless") for verdict in verdicts):
        return _tell_settled(verdicts.count("solved"), verdicts.count("hopeless"))
    if done and standing.helps(done) is None:
        told = f"{standing.left[done]} are in no round's data, and it takes {LEAST_PROMPTS}"
        return f"too few held-out prompts are left to tell whether the last round helps: {told}"
    if done and standing.idle >= patience:
        rows = "the last round does" if standing.idle == 1 else f"the last {standing.idle} rounds do"
        return f"{rows} not help"
    return f"all rounds are done: {done}" if done >= rounds else ""


def _tell_settled(solved: int, hopeless: int) -> str:
    """Return why no skill can be learned, from the numbers of skills and levels that are solved and hopeless."""
    if not hopeless:
        return "everything is solved"
    if solved:
        return f"everything that can be learned is solved; hopeless skills and levels: {hopeless}"
    return (
        "everything is hopeless for this model, or for this judge: hardly a prompt has a candidate that passes; look "
        "at samples of the probe, and try easier levels, or another judge"
    )
