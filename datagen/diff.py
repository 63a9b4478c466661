"""Two runs beside each other: `datagen diff RUN_A RUN_B`.

What their recipes say differently, and, over the prompts that both have, pass rates by weakness, rewards, weights and
the values of each scorer, prompt by prompt. A difference is the second run's mean minus the first's, with the paired
95 % bootstrap interval over prompts that a loop decides by (`loop.compare`). Nothing is written to the runs.

A prompt is the same if its words, its claims and its skill are: two runs of one recipe share all, two seeds few. The
weights are those of each run's own policy. Not covered: prompts that only one run has, and a correction for many rows:
of forty in which nothing differs, two will seem to.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from datagen.loop import compare
from datagen.pipeline import Run, read_groups, read_weights

ALL = "all"
"""The row over the prompts of every weakness."""
Means = Mapping[str, float]
"""By prompt: the mean over its candidates that have a value."""


@dataclass(frozen=True, slots=True)
class Change:
    """A dotted key of the recipe, or what else a run was made of, and its value in both runs; None where it is not."""

    key: str
    first: Any
    second: Any


@dataclass(frozen=True, slots=True)
class Paired:
    """The means of two runs over the same `prompts`, and the second minus the first with its 95 % interval."""

    name: str
    prompts: int
    first: float
    second: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RunDiff:
    """Two runs compared: recipe, number of prompts of each and in common, pass@1 by weakness, means of what is given.

    `passes` has the weaknesses and `ALL`, in [0, 1]; `means` has `text reward`, `image reward`, `text weight`,
    `image weight` and each scorer by its name. What is judged in no prompt of both has no row.
    """

    first: str
    second: str
    changes: tuple[Change, ...]
    prompts: tuple[int, int, int]
    passes: tuple[Paired, ...]
    means: tuple[Paired, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        first, second, common = self.prompts
        return {
            "first": self.first,
            "second": self.second,
            "changes": [{name: getattr(each, name) for name in Change.__slots__} for each in self.changes],
            "prompts": {"first": first, "second": second, "common": common},
            "passes": [{name: getattr(each, name) for name in Paired.__slots__} for each in self.passes],
            "means": [{name: getattr(each, name) for name in Paired.__slots__} for each in self.means],
        }


def diff_runs(first: Run, second: Run) -> RunDiff:
    """Compare two scored runs. Raises RunError when a shard of either has no scores or is damaged."""
    both = first, second
    passes = [_rate_passes(run) for run in both]
    means = [_average(run) for run in both]
    prompts = [{prompt.id for shard in run.folder.list_shards("prompts") for prompt in run.folder.read_prompts(shard)}
               for run in both]  # fmt: skip
    return RunDiff(
        str(first.folder),
        str(second.folder),
        tuple(_list_changes(first, second)),
        (len(prompts[0]), len(prompts[1]), len(prompts[0] & prompts[1])),
        tuple(_pair(*passes)),
        tuple(_pair(*means)),
    )


def _list_changes(first: Run, second: Run) -> Iterator[Change]:
    """Yield what differs in the recipes, in the versions, and in the content of files that both name."""
    yield from _compare("", first.recipe.to_dict(), second.recipe.to_dict())
    notes, others = (run.folder.read_notes() for run in (first, second))
    yield from _compare("versions.", notes.get("versions") or {}, others.get("versions") or {})
    files, theirs = (each.get("files") or {} for each in (notes, others))
    yield from _compare("files.", {name: files[name] for name in files if name in theirs}, theirs, both=True)


def _compare(prefix: str, old: Mapping[str, Any], new: Mapping[str, Any], *, both: bool = False) -> Iterator[Change]:
    """Yield the keys that differ; with `both`, those that both have."""
    for key in old if both else dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _compare(f"{prefix}{key}.", before, after)
        elif before != after:
            yield Change(f"{prefix}{key}", before, after)


def _rate_passes(run: Run) -> dict[str, dict[str, float]]:
    """Return pass@1 of each prompt with a judged candidate: under `ALL`, and under its weakness."""
    rates: dict[str, dict[str, float]] = {ALL: {}}
    for path, groups in read_groups(run).items():
        found = {group.prompt: group.passes / group.tries for group in groups if group.tries}
        rates.setdefault(path.partition("/")[0], {}).update(found)
        rates[ALL].update(found)
    return rates


def _average(run: Run) -> dict[str, dict[str, float]]:
    """Return for each quantity the mean of each prompt over its candidates that have a value."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    weighed = read_weights(run)
    for row, weight in zip(weighed.rows, weighed.weights, strict=True):
        given = {"text reward": row.text, "image reward": row.image}
        for name, value in {**given, "text weight": weight.text_weight, "image weight": weight.image_weight}.items():
            if value is not None:
                values[name][row.group].append(value)
    for shard in run.folder.list_shards("scores"):
        for score in run.folder.read_scores(shard):
            if score.value is not None:
                values[score.name][score.sample_id.rpartition("-")[0]].append(score.value)
    return {
        name: {prompt: math.fsum(each) / len(each) for prompt, each in by_prompt.items()}
        for name, by_prompt in values.items()
    }


def _pair(first: Mapping[str, Means], second: Mapping[str, Means]) -> Iterator[Paired]:
    for name in first:
        found = compare(first[name], second.get(name, {}))
        if found is not None:
            both = [prompt for prompt in first[name] if prompt in second[name]]
            one, other = (math.fsum(each[name][prompt] for prompt in both) / len(both) for each in (first, second))
            yield Paired(name, found.prompts, one, other, found.value, found.low, found.high)
