"""Estimators over prompts: pass@k without bias, Wilson's interval for a mean of shares, the bootstrap for a reward.

A prompt is one observation, whatever its number of candidates: they share its words and fail together, so counting each
of them would make every interval too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95
"""Of every interval."""
ROUNDS = 1000
"""Resamplings of a bootstrap."""
CHUNK = 1_000_000
"""Values that a bootstrap holds at a time, so that memory stays flat."""


@dataclass(frozen=True, slots=True)
class Group:
    """What became of one prompt: `passes` of `tries` candidates passed strictly; `rewards` of those that were rated.

    Rewards are in [0, 1]. `unjudged` candidates could not be made or judged; they count neither as passed nor as
    failed. `passes` is a whole number, or the share that passed where a file tells no more: then `tries` is 1.
    """

    prompt: str
    tries: int
    passes: float
    rewards: tuple[float, ...] = ()
    unjudged: int = 0


def pass_at(tries: int, passes: float, k: int) -> float:
    """Return the chance, in [0, 1], that at least one of `k` candidates passes: 1 - C(n - c, k) / C(n, k).

    The estimator without bias of Chen et al. (arXiv 2107.03374, section 2.1) from n = `tries`, of which c = `passes`
    passed. Raises ValueError unless 1 <= k <= `tries` and 0 <= `passes` <= `tries`.
    """
    if not 1 <= k <= tries or not 0 <= passes <= tries:
        raise ValueError(f"pass@{k} is not defined for {passes:g} of {tries} tries")
    if k == 1:
        return passes / tries
    return 1 - math.comb(tries - int(passes), k) / math.comb(tries, k)


def wilson(mean: float, count: int) -> tuple[float, float]:
    """Return the 95 % score interval of a mean of `count` independent values in [0, 1] (Wilson 1927).

    Meant for values of 0 or 1. Values in between vary less, their variance is at most mean * (1 - mean), so for them
    the interval is on the safe side. Unlike a bootstrap it does not shrink to a point where all agree. Raises
    ValueError without values.
    """
    if count < 1:
        raise ValueError("no interval without values")
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    middle = (mean + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(mean * (1 - mean) / count + z * z / (4 * count * count))
    return max(0.0, min(mean, middle - half)), min(1.0, max(mean, middle + half))


def bootstrap_mean(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean of independent values, by resampling them (Efron 1979).

    The same values and seed give the same interval. One value, or values that all agree, give that value twice.
    Raises ValueError without values.
    """
    import numpy as np

    if not values:
        raise ValueError("no interval without values")
    each, rng = np.asarray(values, float), np.random.default_rng(seed)
    part = max(1, CHUNK // len(each))
    means = [
        each[rng.integers(0, len(each), (min(part, ROUNDS - done), len(each)))].mean(1)
        for done in range(0, ROUNDS, part)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
