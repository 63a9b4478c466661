"""The formulas of `Policy` on arrays. Imported late, since only this module of the package loads numpy.

`reward` is always float64 in [0, 1] of shape (n,) without NaN, `group` int64 of shape (n,) with codes 0..groups-1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from datagen.config import Policy
from datagen.expressions import EQUAL as EQUAL
from datagen.expressions import STD_FLOOR

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def number(codes: Ints) -> Ints:
    """Return codes as numbers from 0 without gaps, in the same order, shape (n,)."""
    return np.unique(codes, return_inverse=True)[1]


def count_in(group: Ints) -> Ints:
    """Return for every row the size of its group, shape (n,)."""
    return np.bincount(group)[group] if len(group) else group


def mean_in(values: Floats, group: Ints) -> Floats:
    """Return for every row the mean of `values` over its group, shape (n,)."""
    if not len(group):
        return values
    return (np.bincount(group, values) / np.maximum(np.bincount(group), 1))[group]


def top_in(values: Floats, group: Ints) -> Floats:
    """Return for every row the largest of `values` in its group, shape (n,)."""
    if not len(group):
        return values
    top = np.full(int(group.max()) + 1, -np.inf)
    np.maximum.at(top, group, values)
    return top[group]


def find_equal(reward: Floats, group: Ints) -> Bools:
    """Mark the rows whose group has at least two rewards, all of them equal, shape (n,)."""
    # Maximum minus minimum.
    spread = top_in(reward, group) + top_in(-reward, group)
    return (spread <= EQUAL) & (count_in(group) >= 2)


def find_failed(reward: Floats, group: Ints) -> Bools:
    """Mark the rows whose group has no reward above 0, shape (n,)."""
    return top_in(reward, group) <= EQUAL


def _rwr(reward: Floats, group: Ints, policy: Policy) -> Floats:
    return np.exp(reward / policy.beta)


def _softmax(reward: Floats, group: Ints, policy: Policy) -> Floats:
    # Subtracting the group's best does not change a softmax, and prevents overflow for any beta.
    powers = np.exp((reward - top_in(reward, group)) / policy.beta)
    return powers / mean_in(powers, group)


def _advantage(reward: Floats, group: Ints, policy: Policy) -> Floats:
    off = reward - mean_in(reward, group)
    size = count_in(group)
    variance = mean_in(off * off, group) * size / np.maximum(size - 1, 1)
    flat = find_equal(reward, group) | (size < 2)  # else rounding errors would become advantages
    return np.where(flat, 0.0, np.maximum(off, 0.0) / (np.sqrt(variance) + STD_FLOOR))


def _rank(reward: Floats, group: Ints, policy: Policy) -> Floats:
    order = np.lexsort((reward, group))
    sorted_group, sorted_reward = group[order], reward[order]
    new_group = np.diff(sorted_group, prepend=-1) != 0
    new_value = new_group | (np.diff(sorted_reward, prepend=-np.inf) > EQUAL)
    place = np.arange(len(order))
    start = np.maximum.accumulate(np.where(new_group, place, 0))
    tie = np.cumsum(new_value) - 1  # equal rewards of a group share a number here, and the mean of their ranks below
    rank = np.empty(len(order))
    rank[order] = mean_in((place - start + 1).astype(np.float64), tie)
    return 2 * rank / (count_in(group) + 1)


def _best(reward: Floats, group: Ints, policy: Policy) -> Floats:
    wins = (reward >= top_in(reward, group) - EQUAL).astype(np.float64)
    return np.where(wins > 0, wins / np.maximum(mean_in(wins, group) * count_in(group), 1), 0.0)


def _threshold(reward: Floats, group: Ints, policy: Policy) -> Floats:
    return (reward >= policy.threshold - EQUAL).astype(np.float64)


def _uniform(reward: Floats, group: Ints, policy: Policy) -> Floats:
    return np.ones_like(reward)


FORMULAS: dict[str, Callable[[Floats, Ints, Policy], Floats]] = {
    "rwr": _rwr,
    "softmax": _softmax,
    "advantage": _advantage,
    "rank": _rank,
    "best": _best,
    "threshold": _threshold,
    "uniform": _uniform,
}


def scale(raw: Floats, scope: Ints, policy: Policy) -> Floats:
    """Return positive raw weights scaled to mean 1 over each scope, within `clip`, shape (n,).

    Solves mean(clip(c * w, low, high)) = 1 for c > 0 in each scope. The mean grows with c; since low <= 1 <= high, it
    is at most 1 at c = 1 / max(w) and at least 1 at c = 1 / min(w). Bisection on log c finds the weights on a bound;
    the others are then scaled exactly.
    """
    low, high = policy.clip or (0.0, np.inf)
    if policy.normalize == "none" or not len(raw):
        return np.clip(raw, low, high)
    even = raw / mean_in(raw, scope)
    if even.min() >= low and even.max() <= high:
        return even
    log_low, log_high = -np.log(top_in(even, scope)), np.log(top_in(1 / even, scope))
    # 60 halvings exceed the precision of float64.
    for _ in range(60):
        middle = (log_low + log_high) / 2
        under = mean_in(np.clip(even * np.exp(middle), low, high), scope) < 1
        log_low, log_high = np.where(under, middle, log_low), np.where(under, log_high, middle)
    scaled = even * np.exp((log_low + log_high) / 2)
    free = (scaled > low) & (scaled < high)
    held = mean_in(np.where(free, 0.0, np.clip(scaled, low, high)), scope)
    loose = mean_in(np.where(free, scaled, 0.0), scope)
    factor = np.divide(1 - held, loose, out=np.ones_like(loose), where=loose > 0)
    return np.clip(np.where(free, scaled * factor, scaled), low, high)
