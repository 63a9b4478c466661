"""The space of a skill: its slots, levels and constraints, the order in which points are sampled, and their number.

The points of a level, each in every wording, are numbered. A keyed shuffle of the numbers gives their order, so that no
point repeats before all have come, and number i does not need the ones before it. If a constraint forbids a point,
another one is sampled by hash, uniformly from the allowed points.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

from datagen.errors import ConfigError
from datagen.taxonomy.claims import ClaimForm
from datagen.taxonomy.constraints import Constraint
from datagen.taxonomy.render import Value, Wording

_TRIES, _MOST_TRIES = 64, 8_192
_LISTED = 1_000_000
_ROUNDS = 4
_64_BITS = 2**64 - 1
_MIXED_BITS = 33
"""Bits that one step of the fast shuffle mixes."""

Point = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Level:
    """A level of difficulty: the possible values of each slot, in the order of the skill's slots."""

    name: str
    choices: dict[str, tuple[Value, ...]]
    size: int = field(init=False)
    allowed: list[tuple[Value, ...]] = field(default_factory=list, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", math.prod(map(len, self.choices.values())))


@dataclass(frozen=True, slots=True)
class Skill:
    """One skill from which prompts are sampled; `share` is relative to the other skills of its weakness."""

    weakness: str
    name: str
    title: str
    share: float
    levels: tuple[Level, ...]
    constraints: tuple[Constraint, ...]
    claims: tuple[ClaimForm, ...]
    wordings: tuple[Wording, ...]
    where: str

    @property
    def path(self) -> str:
        """The taxonomy path, such as `counting/one_kind`."""
        return f"{self.weakness}/{self.name}"

    @property
    def size(self) -> int:
        """The number of items after which every prompt has come; further items repeat."""
        return len(self.levels) * len(self.wordings) * max(level.size for level in self.levels)

    @property
    def bound(self) -> tuple[str, ...]:
        """The slots that occur in constraints, in the order of the slots."""
        named = {name for constraint in self.constraints for name in constraint.names}
        return tuple(name for name in self.levels[0].choices if name in named)


@dataclass(frozen=True, slots=True)
class Distinct:
    """The number of distinct points of a skill; a lower bound if not `exact`."""

    count: int
    exact: bool


def deal_point(skill: Skill, index: int, seed: int) -> tuple[Level, Point, Wording]:
    """Return level, point and wording of item `index` of a skill; they depend only on seed, path and index.

    Levels take turns. Within `skill.size` items, a point repeats in the same wording only as a replacement for a
    forbidden point, or if its level is smaller than another. Raises ConfigError as `choose_point`.
    """
    turn, place = divmod(index, len(skill.levels))
    level = skill.levels[place]
    # `deal` counts complete passes over the level: each pass has another shuffle.
    deal, number = divmod(turn, level.size * len(skill.wordings))
    keys = _round_keys(f"{seed}/{skill.path}/{level.name}/{deal}")
    number, said = divmod(shuffle(number, level.size * len(skill.wordings), keys), len(skill.wordings))
    point, _ = _divide(level, number)
    if not all(constraint.holds(point) for constraint in skill.constraints):
        point, _ = choose_point(skill, level, f"{seed}/{skill.path}/{index}".encode())
    return level, point, skill.wordings[said]


@lru_cache(maxsize=256)
def _round_keys(key: str) -> tuple[int, ...]:
    digest = blake2b(key.encode(), digest_size=8 * _ROUNDS).digest()
    return tuple(int.from_bytes(digest[k : k + 8], "little") for k in range(0, len(digest), 8))


def shuffle(number: int, size: int, keys: Sequence[int]) -> int:
    """Return the position of `number` in a keyed shuffle of 0..size-1: a bijection without a list of the numbers.

    A Feistel network over pairs of numbers up to the square root of `size`, repeated until the result is below `size`
    (cycle walking; Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). The round function mixes like
    SplitMix64, or is BLAKE2b if half a number has more bits than that mixes. Uniform, but not cryptographic.
    """
    root = math.isqrt(size - 1) + 1
    if root.bit_length() > _MIXED_BITS:
        return _shuffle_wide(number, size, root, keys)
    while True:
        left, right = divmod(number, root)
        for key in keys:
            mixed = (right * 0x9E3779B97F4A7C15 + key) & _64_BITS
            mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
            left, right = right, (left + (mixed >> 31)) % root
        number = left * root + right
        if number < size:
            return number


def _shuffle_wide(number: int, size: int, root: int, keys: Sequence[int]) -> int:
    """Shuffle a space too large for 64-bit steps: many slots with many values can have 2^100 points."""
    length = root.bit_length() // 8 + 1
    while True:
        left, right = divmod(number, root)
        for key in keys:
            digest = blake2b(right.to_bytes(length, "little"), digest_size=64, key=key.to_bytes(8, "little")).digest()
            left, right = right, (left + int.from_bytes(digest, "little")) % root
        number = left * root + right
        if number < size:
            return number


def choose_point(skill: Skill, level: Level, key: bytes) -> tuple[Point, int]:
    """Sample an allowed point of a level uniformly; returns also bits for further choices. Depends only on `key`.

    Raises ConfigError when the constraints allow no point, or so few in a huge space that none is found.
    """
    listed = math.prod(len(level.choices[name]) for name in skill.bound) <= _LISTED
    for attempt in range(_TRIES if listed else _MOST_TRIES):
        bits = int.from_bytes(blake2b(b"%s#%d" % (key, attempt), digest_size=64).digest(), "little")
        point, bits = _divide(level, bits)
        if all(constraint.holds(point) for constraint in skill.constraints):
            return point, bits
    # Rejection failed: sample the bound slots from the list of what is allowed, and keep the free ones.
    bits, place = divmod(bits, len(_allowed(skill, level)))
    point.update(zip(skill.bound, _allowed(skill, level)[place], strict=True))
    return point, bits


def _divide(level: Level, bits: int) -> tuple[Point, int]:
    point: Point = {}
    for name, values in level.choices.items():
        bits, place = divmod(bits, len(values))
        point[name] = values[place]
    return point, bits


def _allowed(skill: Skill, level: Level) -> list[tuple[Value, ...]]:
    """Return the allowed values of the bound slots; listed once, for levels where few are allowed."""
    if not level.allowed:
        size = math.prod(len(level.choices[name]) for name in skill.bound)
        what = f"the constraints of {skill.path!r} allow next to nothing at level {level.name!r}"
        if size > _LISTED:
            raise ConfigError(what, where=skill.where, hint="loosen the constraints or narrow their slots")
        level.allowed.extend(_points(skill, level, skill.bound))
        if not level.allowed:
            hint = f"none of {size} combinations meets {' and '.join(each.source for each in skill.constraints)}"
            raise ConfigError(what.replace("next to nothing", "nothing"), where=skill.where, hint=hint)
    return level.allowed


def _points(skill: Skill, level: Level, names: Sequence[str]) -> Iterator[tuple[Value, ...]]:
    for values in itertools.product(*(level.choices[name] for name in names)):
        point = dict(zip(names, values, strict=True))
        if all(constraint.holds(point) for constraint in skill.constraints):
            yield values


def count_distinct(skill: Skill, limit: int = 100_000) -> Distinct:
    """Count the distinct points of a skill over all its levels.

    Exact if the slots in constraints and levels have at most `limit` combinations; else a lower bound, the number of
    distinct points among `limit` samples. Each point has `len(skill.wordings)` wordings. Raises ConfigError when a
    constraint cannot be evaluated, or allows nothing of a space too large to list.
    """
    first = skill.levels[0].choices
    bound = [name for name in first if name in skill.bound or _is_narrowed(skill, name)]
    size = sum(math.prod(len(level.choices[name]) for name in bound) for level in skill.levels)
    if size <= limit:
        free = math.prod(len(values) for name, values in first.items() if name not in bound)
        return Distinct(free * len({values for level in skill.levels for values in _points(skill, level, bound)}), True)
    turns = zip(range(limit), itertools.cycle(skill.levels), strict=False)
    drawn = {tuple(choose_point(skill, level, b"count/%d" % turn)[0].values()) for turn, level in turns}
    return Distinct(len(drawn), False)


def _is_narrowed(skill: Skill, name: str) -> bool:
    return any(level.choices[name] != skill.levels[0].choices[name] for level in skill.levels)
