"""From judged prompts to the rows of a diagnosis: rates with intervals, and one word for what they mean.

The rules ask the intervals, not the values, so that a few prompts say `unclear` rather than something. Their limits are
round numbers that were set before anything was measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from datagen.diagnose._estimates import Group, bootstrap_mean, pass_at, wilson
from datagen.diagnose._model import Rate, Row, Verdict

SOLVED = 0.8
"""A skill is solved when pass@1 is surely at least this."""
HOPELESS = 0.2
"""A skill is hopeless when pass@n is surely at most this: most groups of n hold nothing to learn from."""
GAIN = 0.1
"""A skill is learnable when pass@n surely exceeds pass@1 by at least this."""
LEAST_PROMPTS = 10
"""Fewer prompts than this decide nothing: score intervals are too narrow there where the truth is near 0 or 1."""
DIGITS = 4


def list_rows(
    groups: Mapping[str, Sequence[Group]], n: int, covers: Mapping[str, list[str]] | None = None
) -> list[Row]:
    """Return a row for each path, and one for each skill that has two or more levels, pooled over their prompts.

    `groups` holds judged prompts by `weakness/skill/level` or a shorter path, `n` is that of pass@n, `covers` the paths
    of a taxonomy that a path speaks for. A path on which nothing was judged has no row.
    """
    rows: list[Row] = []
    skills: dict[str, list[str]] = {}
    for path in groups:
        skills.setdefault("/".join(path.split("/")[:2]), []).append(path)
    for skill, paths in skills.items():
        if len(paths) > 1 and skill not in paths:
            rows += _row(skill, [group for path in paths for group in groups[path]], n, [])
        for path in paths:
            rows += _row(path, groups[path], n, (covers or {}).get(path, []))
    return rows


def _row(path: str, groups: Sequence[Group], n: int, covers: list[str]) -> list[Row]:
    strict = [group for group in groups if group.tries]
    # Where some candidates were lost, those that are left count: leaving the prompt out would favour what is easy.
    whole = [group for group in strict if group.tries > 1] if n > 1 else []
    rated = [math.fsum(group.rewards) / len(group.rewards) for group in groups if group.rewards]
    first = [pass_at(group.tries, group.passes, 1) for group in strict]
    best = [pass_at(group.tries, group.passes, min(n, group.tries)) for group in whole]
    gain = [b - pass_at(group.tries, group.passes, 1) for b, group in zip(best, whole, strict=True)]
    judged = [max(group.tries, len(group.rewards)) for group in groups]
    if not any(judged):
        return []
    rates = {"pass_1": _rate(first, wilson), "pass_n": _rate(best, wilson), "gain": _rate(gain, wilson)}
    verdict, why = judge_rates(**rates, n=n)
    return [
        Row(
            path=path,
            verdict=verdict,
            why=why,
            prompts=sum(count > 0 for count in judged),
            samples=sum(judged),
            unjudged=sum(group.unjudged for group in groups),
            **rates,
            reward=_rate(rated, lambda _mean, _count: bootstrap_mean(rated)),
            covers=covers,
        )
    ]


def _rate(values: Sequence[float], interval: Callable[[float, int], tuple[float, float]]) -> Rate | None:
    if not values:
        return None
    mean = min(1.0, max(0.0, math.fsum(values) / len(values)))
    low, high = interval(mean, len(values))
    # The bootstrap of values that all agree can miss their mean in the last bit.
    low, high = min(low, mean), max(high, mean)
    return Rate(value=round(mean, DIGITS), low=round(low, DIGITS), high=round(high, DIGITS), prompts=len(values))


def judge_rates(pass_1: Rate | None, pass_n: Rate | None, gain: Rate | None, n: int) -> tuple[Verdict, str]:
    """Return the verdict on a skill and the reason in words; the first rule that holds decides.

    | verdict | rule |
    |---|---|
    | `graded` | nothing was judged as passed or failed |
    | `unclear` | fewer than 10 prompts |
    | `solved` | the interval of pass@1 lies at or above 0.8 |
    | `hopeless` | the interval of pass@n lies at or below 0.2 |
    | `learnable` | the interval of pass@n - pass@1 lies at or above 0.1 |
    | `weak` | the interval of pass@1 lies below 0.8 |
    | `unclear` | none of these: more prompts would tell |
    """
    if pass_1 is None:
        return "graded", "only a mean reward is known"
    if pass_1.prompts < LEAST_PROMPTS:
        return "unclear", f"{pass_1.prompts} prompts are fewer than {LEAST_PROMPTS}"
    if pass_1.low >= SOLVED:
        return "solved", f"pass@1 is at least {pass_1.low:.2f}"
    if pass_n is not None and pass_n.prompts >= LEAST_PROMPTS and pass_n.high <= HOPELESS:
        return "hopeless", f"pass@{n} is at most {pass_n.high:.2f}"
    if gain is not None and gain.prompts >= LEAST_PROMPTS and gain.low >= GAIN:
        return "learnable", f"pass@{n} is above pass@1 by at least {gain.low:.2f}"
    if pass_1.high < SOLVED:
        more = f"that {n} tries help is not shown" if gain is not None else "what more tries bring is not known"
        return "weak", f"pass@1 is at most {pass_1.high:.2f}; {more}"
    return "unclear", f"pass@1 is {pass_1.low:.2f} to {pass_1.high:.2f} on {pass_1.prompts} prompts: ask more"
