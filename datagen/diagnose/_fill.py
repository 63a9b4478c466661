"""Shares in proportion to weights, within a floor and a cap, both exactly: water is poured until the sum is 1."""

from __future__ import annotations

import math
from collections.abc import Sequence

from datagen.errors import ConfigError

EQUAL = 1e-9
"""A floor or a cap that misses 1 / count by no more than this is that."""
NOTHING = 1e-12
"""A weight below this part of the largest counts as 0."""


def fill(weights: Sequence[float], floor: float, cap: float) -> list[float]:
    """Return shares that sum to 1, each in [floor, cap], in proportion to `weights` (>= 0) wherever no bound holds it.

    It solves sum(clip(c * w, floor, cap)) = 1 for c: the sum rises with c in straight lines between the points where a
    share meets a bound, so the right line is found by bisection over these points and solved exactly. A weight of 0
    gets the floor, and more only when all others are at the cap. Without any weight the shares are equal. Raises
    ConfigError when count * floor > 1 or count * cap < 1.
    """
    count = len(weights)
    _check_bounds(count, floor, cap)
    top = max(weights)
    if not top:
        return [1 / count] * count
    scaled = [weight / top if weight / top >= NOTHING else 0.0 for weight in weights]
    positive = [weight for weight in scaled if weight]
    zeros = count - len(positive)
    rest = 1 - floor * zeros
    if len(positive) * cap <= rest:
        low = (1 - len(positive) * cap) / zeros if zeros else cap
        return [cap if weight else min(max(low, floor), cap) for weight in scaled]
    factor = _solve(positive, floor, cap, rest)
    return [min(max(factor * weight, floor), cap) for weight in scaled]


def _check_bounds(count: int, floor: float, cap: float) -> None:
    if floor > cap:
        raise ConfigError(f"floor {floor:g} is above cap {cap:g}", where="allocate", hint="swap them")
    if count * floor > 1 + EQUAL:
        hint = f"the floor can be at most 1/{count} = {1 / count:.4f}"
        raise ConfigError(f"{count} levels with at least {floor:g} each are more than all", where="allocate", hint=hint)
    if count * cap < 1 - EQUAL:
        hint = f"the cap must be at least 1/{count} = {1 / count:.4f}"
        raise ConfigError(f"{count} levels with at most {cap:g} each are less than all", where="allocate", hint=hint)


def _solve(weights: Sequence[float], floor: float, cap: float, rest: float) -> float:
    """Return c with sum(clip(c * w, floor, cap)) = rest; all weights > 0, and such a c exists."""
    points = sorted({bound / weight for weight in weights for bound in (floor, cap)})

    def total(factor: float) -> float:
        return math.fsum(min(max(factor * weight, floor), cap) for weight in weights)

    low, high = 0, len(points) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if total(points[middle]) >= rest else (middle + 1, high)
    above = points[low]
    below = points[low - 1] if low else 0.0
    inside = (below + above) / 2
    free = [weight for weight in weights if floor < inside * weight < cap]
    if not free:
        return above
    held = math.fsum(min(max(inside * w, floor), cap) for w in weights if not floor < inside * w < cap)
    return (rest - held) / math.fsum(free)
