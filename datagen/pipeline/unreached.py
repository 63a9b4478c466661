"""Requests that reached no model: they are reported, and the next run repeats them.

A judge that answers 503 for an hour says nothing about any sample. Such a failure is marked `unreached`: its shard
counts as unfinished, and the next `datagen build`, `generate` or `score` repeats only these samples. It counts towards
the recipe's `failure_limit` like any other failure, so that an outage stops a run. All other errors are results: a
model that refuses, an answer in a wrong form, a scorer that divides by zero.
"""

from __future__ import annotations

import math
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from datagen.amounts import count_of
from datagen.errors import RunError
from datagen.pipeline.run import Run, open_run
from datagen.records import Failure

SHOWN = 3
"""How many of the most frequent reasons are shown."""
_BUSY = frozenset({408, 409, 429})


@dataclass(slots=True)
class Unreached:
    """Samples for which a model was not reached: not generated, or not scored by some scorer, and why."""

    undrawn: int = 0
    unscored: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    """Why other samples failed, for which model and scorer were reached."""

    def add(self, failures: Iterable[Failure]) -> None:
        """Count the failures of a shard, each sample once per stage."""
        failures = list(failures)
        lost = [failure for failure in failures if failure.unreached]
        places = {(failure.stage == "score", failure.prompt_id, failure.candidate) for failure in lost}
        self.unscored += sum(is_score for is_score, *_ in places)
        self.undrawn += sum(not is_score for is_score, *_ in places)
        self.reasons.update(failure.error for failure in lost)
        self.faults.update(failure.error for failure in failures if not failure.unreached)

    def describe(self) -> str:
        """Return what is missing and why, or `""` if nothing is."""
        parts = [(self.undrawn, "not generated"), (self.unscored, "not scored")]
        counts = " and ".join(f"{count_of(count, 'sample')} {what}" for count, what in parts if count)
        if not counts:
            return ""
        return f"{counts}, since a model was not reached: {_tell_most(self.reasons)}"

    def describe_faults(self) -> str:
        """Return why other samples failed, most frequent reasons first, or `""` if none did."""
        return _tell_most(self.faults)


def _tell_most(reasons: Counter[str]) -> str:
    return "; ".join(f"{reason} ({count:,} times)" for reason, count in reasons.most_common(SHOWN))


def find_unreached(run: Run) -> Unreached:
    """Return what a run must ask again, and what failed, also in shards that are not whole.

    Damaged files count as missing.
    """
    found, folder = Unreached(), run.folder
    sizes = folder.list_sizes("failures")
    for shard in set(folder.list_open()) - set(sizes):
        found.add(folder.read_parts(shard, keep=False)[1])
    for failures in folder.look_at_failures(sizes, sizes):
        if isinstance(failures, list):
            found.add(failures)
    return found


def insist(run: Run, ask: Callable[[], object]) -> None:
    """Ask for what a run lacks, and again as long as that reaches a model more often.

    For what is trained on or measured next, which would be without it for good. Raises RunError if a model is still
    not reached; what has come is kept.
    """
    left = math.inf
    while True:
        ask()
        found = find_unreached(run)
        count = found.undrawn + found.unscored
        if count >= left:
            hint = "when the model answers again, the same command goes on"
            raise RunError(found.describe(), where=str(run.folder), hint=hint)
        if not count:
            return
        left = count


def is_built(place: Path) -> bool:
    """Return whether a folder holds a run that was built to its report, with a model reached for every sample."""
    return (place / "report.html").is_file() and not find_unreached(open_run(str(place))).describe()


def is_unreached(error: BaseException | None) -> bool:
    """Return whether an exception, or one in its chain of causes, means that a model was not reached.

    These are ConnectionError, TimeoutError, an unknown host name, and an HTTP client's exception with status 408, 409,
    429 or 5xx.
    """
    seen: set[int] = set()
    # A chain of exceptions can be a loop.
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, (ConnectionError, TimeoutError, socket.gaierror)):
            return True
        status = _status_of(error)
        if status is not None and (status in _BUSY or 500 <= status < 600):
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def _status_of(error: BaseException) -> int | None:
    """Return the HTTP status in an exception of requests, httpx, huggingface_hub, openai or urllib."""
    for holder, name in ((getattr(error, "response", None), "status_code"), (error, "status_code"), (error, "code")):
        if isinstance(status := getattr(holder, name, None), int):
            return status
    return None
