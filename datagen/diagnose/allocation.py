"""Allocation of prompts to the levels of skills, the key `allocate:` of a recipe.

    allocate: {policy: by_learnability, diagnosis: outputs/quickstart-diagnosis/diagnosis.yaml, floor: 0.01, cap: 0.2}

The unit is a level of a skill, `counting/one_kind/hard`, the smallest group from which prompts are sampled. `datagen
plan RECIPE --no-probe` shows the table before a run. Shares are proportional to weights, exactly within a floor and a
cap (water filling).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datagen.config import Allocation, SharePolicy
from datagen.diagnose.model import Diagnosis, Row
from datagen.errors import ConfigError, did_you_mean

SHOWN = 5
"""How many paths a note names."""


@dataclass(frozen=True, slots=True)
class Share:
    """The share of one level: its weight before the bounds, its share of all prompts, and the row it is based on."""

    path: str
    weight: float
    share: float
    row: Row | None


@dataclass(frozen=True, slots=True)
class Allotment:
    """The shares of all levels, which sum to 1, and notes about how they were computed."""

    policy: SharePolicy
    shares: tuple[Share, ...]
    notes: tuple[str, ...]


def allocate(options: Allocation, levels: Mapping[str, float], diagnosis: Diagnosis | None) -> Allotment:
    """Return the share of each level; `levels` maps paths to the taxonomy's own shares.

    Raises ConfigError when floor and cap are impossible, when `shares` names unknown paths, and when the diagnosis
    covers no level or lacks the rates that the policy needs.
    """
    rows = {path: diagnosis.find(path) if diagnosis else None for path in levels}
    notes: list[str] = []
    if options.policy == "uniform":
        weights = dict.fromkeys(levels, 1.0)
    elif options.policy == "manual":
        weights = _part(options.shares, levels)
    else:
        assert diagnosis is not None, "the model requires it"
        notes += _compare(options, rows, diagnosis)
        weights = _smooth(options, rows)
        if not any(weights.values()):
            notes.append(f"{options.policy}: every weight is 0, so the shares are equal")
    shares = fill(list(weights.values()), options.floor, options.cap)
    total = math.fsum(weights.values()) or 1.0
    parts = zip(levels, weights.values(), shares, strict=True)
    return Allotment(
        options.policy,
        tuple(Share(path, weight / total, share, rows[path]) for path, weight, share in parts),
        tuple(notes),
    )


def tells(diagnosis: Diagnosis, options: Allocation) -> bool:
    """Tell whether a diagnosis has the rates that a policy needs, of any skill."""
    return any(_value(options, row) is not None for row in diagnosis.rows)


def _part(parts: Mapping[str, float], levels: Mapping[str, float]) -> dict[str, float]:
    """Return the weight of each level: the longest matching path counts, divided in the taxonomy's proportions."""
    owners: dict[str, list[str]] = {name: [] for name in parts}
    for path in levels:
        steps = path.split("/")
        names = ("/".join(steps[:k]) for k in range(len(steps), 0, -1))
        owner = next((name for name in names if name in parts), None)
        if owner is not None:
            owners[owner].append(path)
    weights = dict.fromkeys(levels, 0.0)
    for name, owned in owners.items():
        if not owned:
            known = {"/".join(path.split("/")[:k]) for path in levels for k in (1, 2, 3)}
            what = f"no levels are left for {name!r}" if name in known else f"the taxonomy has no {name!r}"
            hint = "all its levels have shares of their own" if name in known else did_you_mean(name, known)
            raise ConfigError(what, where="allocate.shares", hint=hint)
        own = math.fsum(levels[path] for path in owned)
        weights |= {path: parts[name] * levels[path] / own for path in owned}
    return weights


def _value(options: Allocation, row: Row | None) -> tuple[float, int] | None:
    """Return the value of a policy for a row and how many prompts are behind it; None if the row does not have it."""
    if row is None:
        return None
    if options.policy == "by_cause":
        causes = row.causes
        if causes is None:
            return None
        return math.fsum(n * causes.get(cause, 0.0) for cause, n in options.causes.items()), row.prompts
    if options.policy == "by_learnability":
        return (row.gain.value, row.gain.prompts) if row.gain else None
    known = row.pass_1 or row.reward
    return (1 - known.value, known.prompts) if known else None


def _smooth(options: Allocation, rows: Mapping[str, Row | None]) -> dict[str, float]:
    values = {path: _value(options, row) for path, row in rows.items()}
    known = [found[0] for found in values.values() if found is not None]
    mean = math.fsum(known) / len(known)
    weights = {}
    for path, found in values.items():
        value, size = found or (mean, 0)
        total = size + options.smoothing
        weights[path] = (size * value + options.smoothing * mean) / total if size else mean
    return weights


def _compare(options: Allocation, rows: Mapping[str, Row | None], diagnosis: Diagnosis) -> list[str]:
    """Return notes on mismatches of diagnosis and taxonomy; raises ConfigError if they have no path in common."""
    found = {row.path for row in rows.values() if row is not None}
    where = str(options.diagnosis)
    if not found:
        known = ", ".join(row.path for row in diagnosis.rows[:SHOWN])
        hint = f"it covers {known}; set `covers:` there, or diagnose with this recipe"
        raise ConfigError("the diagnosis covers no skill of this recipe", where=where, hint=hint)
    told = [path for path, row in rows.items() if _value(options, row) is not None]
    if not told:
        hint = "it needs two or more judged candidates per prompt; `by_failure` does not"
        if options.policy == "by_cause":
            hint = "it does not say why images fail: score its run again and diagnose that"
        raise ConfigError(f"the diagnosis lacks the rates that `{options.policy}` needs", where=where, hint=hint)
    notes = []
    missing = [path for path in rows if path not in told]
    if missing:
        notes.append(f"not measured, so given the mean of the others: {_list(missing)}")
    strange = [row.path for row in diagnosis.rows if not _concerns(row, rows)]
    if strange:
        notes.append(f"in the diagnosis but not in this recipe, so left out: {_list(strange)}")
    if options.policy == "by_failure":
        graded = [path for path in told if (row := rows[path]) is not None and row.pass_1 is None]
        if graded and len(graded) < len(told):
            notes.append(f"by mean reward, since pass@1 is unknown: {_list(graded)}; the others by pass@1")
    return notes


def _concerns(row: Row, levels: Mapping[str, object]) -> bool:
    return any(f"{level}/".startswith(f"{path}/") for path in row.covered for level in levels)


def _list(paths: list[str]) -> str:
    return ", ".join(paths[:SHOWN]) + (f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else "")


EQUAL = 1e-9
"""Tolerance for a floor or a cap of 1 / count."""
NOTHING = 1e-12
"""A weight below this part of the largest counts as 0."""


def fill(weights: Sequence[float], floor: float, cap: float) -> list[float]:
    """Return shares that sum to 1, each in [floor, cap], in proportion to `weights` (>= 0) between the bounds.

    Solves sum(clip(c * w, floor, cap)) = 1 for c. The sum is piecewise linear in c, with breaks where a share reaches a
    bound, so bisection over these points finds the segment, which is solved exactly. A weight of 0 gets the floor, and
    more only when all others are at the cap. If all weights are 0, shares are equal. Raises ConfigError when
    count * floor > 1 or count * cap < 1.
    """
    count = len(weights)
    _check_bounds(count, floor, cap)
    top = max(weights)
    if not top:
        return [1 / count] * count
    # Scaled to a maximum of 1, so that the solution does not depend on the unit of the weights.
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
        raise ConfigError(f"{count} levels with at least {floor:g} each exceed 1", where="allocate", hint=hint)
    if count * cap < 1 - EQUAL:
        hint = f"the cap must be at least 1/{count} = {1 / count:.4f}"
        raise ConfigError(f"{count} levels with at most {cap:g} each do not reach 1", where="allocate", hint=hint)


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
