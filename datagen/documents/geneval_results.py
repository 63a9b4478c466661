"""GenEval's results: one line an image, turned into six task scores and the overall score.

Source: `evaluation/summary_scores.py` of github.com/djghosh13/geneval at af4902f (MIT; arXiv 2310.11513). The score of
a task is the share of its images that are correct; overall is the mean of the six tasks, each with the same weight,
however many prompts it has. The published script averages whatever tasks are in the file, which makes a part of a
benchmark look like the whole; here overall is None until all six are there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from datagen.documents.geneval_lines import TASKS, Task, read_jsonl
from datagen.errors import ConfigError, did_you_mean


@dataclass(frozen=True, slots=True)
class Result:
    """What the evaluator says of one image: its task, the prompt, whether it is correct, and why not."""

    tag: Task
    prompt: str
    correct: bool
    reason: str


@dataclass(frozen=True, slots=True)
class TaskScore:
    """How many images of a task are correct."""

    correct: int
    images: int

    @property
    def share(self) -> float:
        """The task's score, in [0, 1]."""
        return self.correct / self.images


@dataclass(frozen=True, slots=True)
class GenEvalScores:
    """The score of each task that has images, in GenEval's order."""

    tasks: dict[Task, TaskScore]

    @property
    def missing(self) -> tuple[Task, ...]:
        """The tasks without an image."""
        return tuple(task for task in TASKS if task not in self.tasks)

    @property
    def overall(self) -> float | None:
        """The unweighted mean of the six task scores, in [0, 1]; None while one is missing."""
        return None if self.missing else math.fsum(score.share for score in self.tasks.values()) / len(TASKS)


def score_tasks(results: Iterable[tuple[str, bool]]) -> GenEvalScores:
    """Return the task scores of (tag, correct), one for each image; raises ValueError for a tag that is no task."""
    counted: dict[str, list[int]] = {}
    for tag, correct in results:
        counted.setdefault(tag, [0, 0])
        counted[tag][0] += bool(correct)
        counted[tag][1] += 1
    if unknown := sorted(set(counted) - set(TASKS)):
        raise ValueError(f"GenEval has no task {unknown[0]!r}; {did_you_mean(unknown[0], TASKS)}")
    return GenEvalScores({task: TaskScore(*counted[task]) for task in TASKS if task in counted})


def read_results(path: str | Path) -> list[Result]:
    """Return the images of a `results.jsonl` as GenEval's evaluator writes it.

    Raises ConfigError, naming file and line, for a file of another benchmark, a broken line or an empty file.
    """
    results = [_read_result(where, data) for where, data in read_jsonl(path)]
    if not results:
        raise ConfigError("no result in it", where=str(path), hint="GenEval writes one line an image")
    return results


def _read_result(where: str, data: dict[str, object]) -> Result:
    hint = "GenEval's results.jsonl has tag, prompt, correct (true or false) and reason in each line"
    tag, correct = data.get("tag"), data.get("correct")
    task = next((task for task in TASKS if task == tag), None)
    if task is None:
        raise ConfigError(f"the tag {tag!r} is no task of GenEval", where=where, hint=hint)
    if not isinstance(correct, bool):
        raise ConfigError(f"correct is {correct!r}", where=where, hint=hint)
    return Result(task, str(data.get("prompt", "")), correct, str(data.get("reason") or ""))
