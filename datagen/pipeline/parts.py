"""Answers of shards that are still being generated, on their way to disk: what a kill loses is what waits here.

Writing follows what it costs: `Pace` lets it take about a twentieth of the time. On a local disk, where a part takes a
millisecond, an answer is on disk within some 30 ms; on an object store, where each part is a slow put, parts are
written about once a second.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

from datagen.errors import DatagenError
from datagen.pipeline.run import Run
from datagen.records import Failure, Sample

PART_BYTES = 32 << 20
"""Answers are written at once when the pictures of those that wait have this many bytes."""
REST = 20.0
"""The pause after a part, as a multiple of the time that writing takes."""
SHORTEST_REST, LONGEST_REST = 0.03, 1.0
"""Bounds of that pause in seconds."""
REMEMBERED = 5
"""The last times of writing that count; their median, since a disk that stalls once has not become slow."""


class Pace:
    """When to write again: after a pause of about `REST` times what writing took lately, `longest` seconds at most.

    `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, longest: float = LONGEST_REST) -> None:
        self._clock, self._longest = clock, longest
        self._took = deque([0.0] * REMEMBERED, maxlen=REMEMBERED)
        self._end = float("-inf")

    def wait_seconds(self) -> float:
        """Return the seconds until it is time to write again, 0 if it is time now."""
        rest = min(max(REST * median(self._took), SHORTEST_REST), self._longest)
        return max(0.0, self._end + rest - self._clock())

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Take the time that writing takes."""
        begun = self._clock()
        try:
            yield
        finally:
            self._end = self._clock()
            self._took.append(self._end - begun)


class Parts:
    """The answers of a flow that are not on disk yet, those of all its open shards, at most `PART_BYTES` of pictures.

    A timer writes them, also when no further answer comes, but never into a folder that has become another run's.
    """

    def __init__(self, run: Run, pace: Pace | None = None) -> None:
        import pyarrow.ipc  # noqa: F401  # now, so that the first answers need not wait for it

        self._run, self._pace = run, pace or Pace()
        self._name, self._number = uuid.uuid4().hex[:8], 0
        """Of this writer, and of its next part: others may write parts of the same shards."""
        self._shards: dict[int, _Waiting] = {}
        self._bytes = 0
        self._lock = threading.Lock()
        self._round = threading.Lock()
        """Held while all shards are written in turn."""
        self._timer: threading.Timer | None = None
        self._error: Exception | None = None

    def add(self, shard: int, answer: Sample | Failure) -> None:
        """Take an answer in. Raises RunError when answers before it could not be written."""
        if self._error is not None:
            raise self._error
        with self._lock:
            self._shards.setdefault(shard, _Waiting()).answers.append(answer)
            self._bytes += _size(answer)
            if self._timer is None:
                self._set_timer()
        if self._bytes >= PART_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write all that has come since the last time."""
        with self._round:
            if waiting := [shard for shard, those in list(self._shards.items()) if those.answers]:
                with self._pace.measure():
                    for shard in waiting:
                        self._write(shard)
            with self._lock:
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
                if any(those.answers for those in self._shards.values()):
                    self._set_timer()

    def end(self, shard: int) -> None:
        """Write what is left of a shard of which something is done."""
        self._write(shard)
        with self._lock:
            if (those := self._shards.get(shard)) is not None and not those.answers:
                del self._shards[shard]

    def _write(self, shard: int) -> None:
        if (those := self._shards.get(shard)) is None:
            return
        with those.lock:
            if not (answers := those.answers[:]):
                return
            samples = [answer for answer in answers if isinstance(answer, Sample)]
            failures = [answer for answer in answers if isinstance(answer, Failure)]
            self._run.require_same()
            with self._lock:
                number, self._number = self._number, self._number + 1
            self._run.folder.write_part(shard, number, samples, failures, self._name)
            with self._lock:
                del those.answers[: len(answers)]
                self._bytes -= sum(map(_size, answers))

    def _set_timer(self) -> None:
        self._timer = threading.Timer(self._pace.wait_seconds(), self._flush_late)
        self._timer.daemon = True
        self._timer.start()

    def _flush_late(self) -> None:
        try:
            self.flush()
        except (DatagenError, OSError, ValueError) as error:  # raised by `add`, in the thread that asks the model
            self._error = error


@dataclass(slots=True)
class _Waiting:
    """The answers of a shard that are not on disk yet; `lock` is held to write them."""

    answers: list[Sample | Failure] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def _size(answer: Sample | Failure) -> int:
    return answer.image_bytes if isinstance(answer, Sample) else 0
