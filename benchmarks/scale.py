"""A thousand workers on paper: where the design of a run bends, simulated with costs that are measured here.

    python benchmarks/scale.py --measure      measure the costs on this machine into benchmarks/scale.json
    python benchmarks/scale.py [--hours 8]    simulate fleets of 10 to 10,000 workers with them

The driver of the Ray runner goes its rounds: it takes what came, asks models how far they are, hands out stretches of
prompts, some ahead, and waits a tenth of a second. A worker reads the prompts of a stretch, makes one picture after the
other, writes parts at the pace of `datagen.pipeline.parts` and reports the stretch when its last part is on the store.
A finished shard is joined by a task; the driver counts and logs. Pictures take log-normal times, workers differ in
speed, and each fails about once an hour: what it had in flight is lost, its stretches are handed out again, and it is
back after a minute.

Latencies and limits are those that the stores document: "Best practices design patterns: optimizing Amazon S3
performance" (small objects in 100 to 200 ms, 3,500 writes and 5,500 reads a second per partitioned prefix), the page of
ListObjectsV2 (1,000 keys a call), "Request rate and access distribution guidelines" of Google Cloud Storage (about
1,000 writes and 5,000 reads a second per bucket at first) and its "Quotas & limits" (one write a second to one object).

Not covered: growth of a store's limits under load, answers of 503, bandwidth, the time that scorers take, and what Ray
itself does for so many actors, on the driver's machine or on its head. An engine of n slots counts as n workers of n
times the seconds, though its one thread waits for the files of all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from heapq import heappop, heappush, heapreplace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from datagen.console import print_table  # noqa: E402
from datagen.pipeline.parts import LONGEST_REST, REST, SHORTEST_REST  # noqa: E402
from datagen.pipeline.work import LONGEST_LOG_REST  # noqa: E402
from datagen.runners.ray import (  # noqa: E402
    FIRST_AHEAD,
    LAST_SHARE,
    LEAST_STRETCH,
    LOOK_SECONDS,
    TELL_SECONDS,
    choose_stretch,
    longest_rest,
)
from datagen.store import MOST_PARTS_READ, MOST_READ  # noqa: E402

FILE = Path(__file__).with_suffix(".json")
LOG_BYTES, LOG_BYTES_A_SECOND = 90, 50e6
"""Bytes of a line of log.txt, and how fast a large object passes."""
LOG_REQUESTS, USAGE_SECONDS = 3, 10.0
"""Requests to read log.txt and put it again: size, content, put. How often the driver puts what a run has used."""
BEGIN_REQUESTS = 3
"""Requests of a model before the first picture of a stretch: run.yaml, size and content of the shard's prompts."""
CALL_SECONDS = 0.001
"""The way of a message between two machines of a cluster."""
BLOCK = 1 << 20
"""Pictures whose times are drawn at once."""
MOST_STRETCHES, FEW_STRETCHES, ONE_SEED = 2_000_000, 300_000, 1_000_000
"""Stretches of a simulated run: one of more is simulated for fewer hours, and of more than the last with one seed."""


@dataclass(frozen=True)
class Store:
    """Seconds a request of a small object, and how many a second it takes."""

    seconds: float
    writes: float
    reads: float


STORES = {
    "s3": Store(0.15, 3500, 5500),
    "gs": Store(0.15, 1000, 5000),
    "disk": Store(0.002, 50_000, 200_000),
}


@dataclass(frozen=True)
class Costs:
    """Processor seconds, and requests where the name says so; measured by `--measure`."""

    answer: float
    """Ledger, for an answer."""
    shard: float
    """Ledger, for a shard, without the log."""
    stretch: float
    """Driver, to hand out a stretch, and again to take its report."""
    tell: float
    """Driver, to ask a model how far it is and take the answer."""
    call: float
    model: float
    """Driver, each time that it looks: for an open call, and for a model."""
    part: float
    """Join, for a part."""
    sample: float
    """Join, for a sample."""
    part_writes: float
    part_reads: float
    """Requests to write a part."""
    join_reads_a_part: float
    join_requests: float
    """Requests to join a part, and those of a join beside them."""
    look: float
    look_requests: float
    """`find_jobs`, for a finished shard."""
    prompt: float
    """Planning, for a prompt."""
    prompts_requests: float
    """Planning, to write a shard of prompts."""

    @classmethod
    def read(cls, path: Path = FILE) -> Costs:
        """Return what was measured."""
        return cls(**json.loads(path.read_text(encoding="utf-8"))["costs"])


FREE = Costs(*[0.0] * len(fields(Costs)))


@dataclass(frozen=True)
class Fleet:
    """Workers, seconds a picture, spreads as sigma of log-normals (of a picture, of a worker), failures an hour."""

    workers: int
    seconds: float
    sigma: float = 0.6
    spread: float = 0.2
    failures: float = 1.0
    back_seconds: float = 60.0
    notice_seconds: float = 2.0
    joiners: int = 0
    """Joins at a time; 0 is one for eight workers."""

    @property
    def longest_rest(self) -> float:
        """Return the seconds between the parts of a model at most."""
        return longest_rest(self.workers)


@dataclass(frozen=True)
class Design:
    """How work is shared out; the defaults are what is built and shipped, the rest what it could be.

    `stretch` is in pictures, 0: as the Ray runner chooses it; `held` are the stretches that a model has at most.
    `tell_seconds`: how often a model is asked how far it is; 0: so that a fleet is asked 100 times a second. `rest`:
    the seconds between parts at most; 0: as the Ray runner chooses. `taper`: towards the end a stretch is so many times
    smaller than what is left for each model; 0: as large as before. `cuts_anew`: so is one that was lost.
    `splits_prompts`: the last ones are single pictures. `holds_one_last`: when two prompts a model are left, one is
    handed out only to a model that has none. `reads_ahead`: prompts of the next stretch are read, `writes_behind`: the
    last part of one is written while the model works. `is_log_paced`: log.txt is written in at most a twentieth of the
    time, else for each shard.
    """

    stretch: int = 0
    held: int = FIRST_AHEAD
    rest: float = 0.0
    tell_seconds: float = 0.0
    shard_prompts: int = 64
    candidates: int = 4
    taper: int = LAST_SHARE
    holds_one_last: bool = True
    cuts_anew: bool = False
    splits_prompts: bool = False
    reads_ahead: bool = False
    writes_behind: bool = False
    is_log_paced: bool = True
    join_threads: int = MOST_PARTS_READ


@dataclass(frozen=True)
class Result:
    """What a simulated run took, and where its worker-seconds went, as shares that sum to 1."""

    span: float
    made: float
    useful: float
    failed: float
    """Work that was lost with a worker."""
    down: float
    """Workers that are not back yet."""
    files: float
    """Workers that wait for their own requests: prompts of a stretch, and its last part."""
    waiting: float
    """Workers without a stretch while there are some."""
    end: float
    """Workers without a stretch after the last one was handed out, until the last shard is joined."""
    driver: float
    """Share of the time in which the driver is busy."""
    writes: float
    reads: float
    """Requests a second."""
    joins: float
    """Joins at a time, on average."""
    parts: float
    """Parts a shard."""

    @property
    def lost(self) -> float:
        """Return the share that is not useful."""
        return 1 - self.useful


class Rate:
    """Requests of which a store takes so many a second: those beyond wait."""

    def __init__(self, most: float) -> None:
        self._each, self._free, self.count = 1 / most, 0.0, 0.0

    def take(self, now: float, count: float) -> float:
        """Return how long the last of some requests waits."""
        self.count += count
        self._free = max(self._free, now) + count * self._each
        return max(0.0, self.wait(now) - count * self._each)

    def wait(self, now: float) -> float:
        """Return how long a request waits now."""
        return max(0.0, self._free - now)


class Worker:
    """A worker: its pace, the stretches it holds as (when it has it, shard, pictures), and the one it is at."""

    __slots__ = ("at", "begun", "down_since", "epoch", "first", "held", "idle_since", "queue", "speed", "times")

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self.queue: deque[tuple[float, int, int]] = deque()
        self.epoch = 0
        self.held = 0
        """Stretches that it was given and that are not reported, as the driver sees it."""
        self.at: tuple[int, int] | None = None
        self.begun = self.idle_since = 0.0
        self.down_since = -1.0
        self.times: list[float] = []
        """Sums of times of pictures of a worker of speed 1; those of its stretch begin at `first`."""
        self.first = 0


END, BEGIN, FAIL, BACK, JOINED = range(5)
"""What happens: to a worker, or to a shard."""


def choose(design: Design, seconds: float) -> Design:
    """Return a design with the stretches that the Ray runner chooses for workers of so many seconds a picture."""
    if design.stretch:
        return design
    size = choose_stretch(1000, 1000 * seconds) // design.candidates * design.candidates
    return replace(design, stretch=size)


class Simulation:
    """One run by one fleet; `run` returns its `Result`. The same arguments give the same result."""

    def __init__(self, design: Design, fleet: Fleet, store: Store, costs: Costs, shards: int, seed: int = 0) -> None:
        design = choose(design, fleet.seconds)
        self.design, self.fleet, self.store, self.costs = design, fleet, store, costs
        self.rng, self.luck = np.random.default_rng(seed), random.Random(seed)
        self.size = design.shard_prompts * design.candidates
        self.left, self.parts = [self.size] * shards, [0] * shards
        self.next_shard, self.next_picture = 0, 0
        self.fresh, self.undone = shards * self.size, shards
        self.returned: deque[tuple[int, int]] = deque()
        self.events: list[tuple[float, int, int, int, int]] = []
        """Time, a number that makes them differ, what happens, to whom, and in which life of it."""
        self.order = 0
        self.inbox: list[tuple[float, int, int, int, int, int]] = []
        """For the driver: when it comes, its number, worker, life, shard and pictures; a lost stretch has life -1.

        Those of a joined shard have the worker -1.
        """
        self.wanting: list[int] = []
        """Workers with room for a stretch."""
        self.open_calls = 0
        self.driver_busy = 0.0
        self.clock = 0.0
        """Time of what happens now; requests count at it, also those of a little later."""
        self.told = self.log_next = self.usage_next = 0.0
        self.log_lines = 0
        self.tell_seconds = design.tell_seconds or max(TELL_SECONDS, fleet.workers / 100)
        self.rest = design.rest or fleet.longest_rest
        self.writes, self.reads = Rate(store.writes), Rate(store.reads)
        self.joiners = [0.0] * (fleet.joiners or max(2, fleet.workers // 8))
        self.join_seconds = 0.0
        self.useful = self.failed = self.down = self.files = self.waiting = 0.0
        self.made = 0
        self.times, self.next_time = [0.0], 0
        speeds = np.exp(self.rng.normal(0, fleet.spread, fleet.workers)) if fleet.spread else np.ones(fleet.workers)
        self.workers = [Worker(float(speed)) for speed in speeds]

    def run(self) -> Result:
        """Simulate until the last shard is counted."""
        events, look = self.events, 0.0
        self.wanting = list(range(len(self.workers)))
        for number in range(len(self.workers)):
            self._plan_failure(0.0, number)
        while self.undone:
            if events and events[0][0] <= look:
                now, _, what, number, epoch = heappop(events)
                self.clock = now
                if what == JOINED:
                    self._tell_driver(now, -1, 0, number, 0)
                elif what == FAIL:
                    self._fail(now, number)
                elif what == BACK:
                    self._come_back(now, number)
                elif self.workers[number].epoch != epoch:
                    continue
                elif what == END:
                    self._end_stretch(now, number)
                else:
                    self._begin(now, self.workers[number], number)
            else:
                self.clock = look
                look = self._drive(look)
        return self._sum_up(look)

    def _at(self, when: float, what: int, number: int, epoch: int = 0) -> None:
        self.order += 1
        heappush(self.events, (when, self.order, what, number, epoch))

    def _tell_driver(self, when: float, number: int, epoch: int, shard: int, count: int) -> None:
        self.order += 1
        heappush(self.inbox, (when, self.order, number, epoch, shard, count))

    # The driver: one thread that takes in what came, hands out, and waits for `LOOK_SECONDS`.

    def _drive(self, now: float) -> float:
        """Do one round and return when the next one begins."""
        costs, inbox, busy = self.costs, self.inbox, 0.0
        while inbox and inbox[0][0] <= now:
            _, _, number, epoch, shard, count = heappop(inbox)
            if number < 0:
                busy += costs.shard + self._log(now + busy)
                continue
            self.open_calls -= 1
            if epoch < 0:
                self.returned.append((shard, count))
                continue
            busy += costs.answer * count + costs.stretch
            self._count(now + busy, shard, count)
            worker = self.workers[number]
            if worker.epoch == epoch:
                worker.held -= 1
                self.wanting.append(number)
        if now - self.told >= self.tell_seconds:
            self.told = now
            busy += costs.tell * len(self.workers)
        if now >= self.usage_next:
            self.usage_next = now + USAGE_SECONDS
            busy += self.store.seconds + self.writes.take(self.clock, 1)
        if self.wanting and (self.returned or self.fresh):
            busy = self._hand_out(now, busy)
        busy += costs.call * self.open_calls + costs.model * len(self.workers)
        self.driver_busy += busy
        if self.store.seconds:
            return now + busy + LOOK_SECONDS
        return min(each[0][0] for each in (self.inbox, self.events) if each) if self.undone else now

    def _hand_out(self, now: float, busy: float) -> float:
        """Give stretches to workers with room, those that have fewest first; return how long the driver is busy."""
        workers, last = self.workers, 2 * self.design.candidates * len(self.workers)
        delay = CALL_SECONDS if self.store.seconds else 0.0
        if self.design.reads_ahead:
            delay += BEGIN_REQUESTS * self.store.seconds
        rest: list[int] = []
        wanting = sorted(dict.fromkeys(self.wanting), key=lambda number: workers[number].held)
        for number in wanting:
            worker = workers[number]
            while worker.held < self.design.held:
                if self.design.holds_one_last and worker.held and self.fresh <= last:
                    break
                if (stretch := self._cut()) is None:
                    break
                busy += self.costs.stretch
                worker.held += 1
                self.open_calls += 1
                came = now + busy + delay
                worker.queue.append((came, *stretch))
                if worker.at is None and len(worker.queue) == 1:
                    self._at(max(came, worker.idle_since), BEGIN, number, worker.epoch)
            if worker.held < self.design.held:
                rest.append(number)
        self.wanting = rest
        return busy

    def _cut(self) -> tuple[int, int] | None:
        """Return the next stretch, None if none is left: a lost one, then one of the next shard."""
        if self.returned:
            shard, count = self.returned.popleft()
            if self.design.cuts_anew and count > (most := self._limit()):
                self.returned.appendleft((shard, count - most))
                count = most
            return shard, count
        if not self.fresh:
            return None
        shard, count = self.next_shard, min(self._limit(), self.size - self.next_picture)
        self.fresh -= count
        self.next_picture += count
        if self.next_picture == self.size:
            self.next_shard, self.next_picture = shard + 1, 0
        return shard, count

    def _limit(self) -> int:
        """Return how many pictures a stretch has now at most."""
        design, most = self.design, self.design.stretch
        if design.taper:
            most = min(most, self.fresh // (design.taper * len(self.workers)))
        unit = 1 if design.splits_prompts and most < design.candidates else design.candidates
        return max(unit, most // unit * unit)

    def _count(self, now: float, shard: int, count: int) -> None:
        self.made += count
        self.left[shard] -= count
        if not self.left[shard]:
            self._join(now, shard)

    def _join(self, now: float, shard: int) -> None:
        """A shard is complete: its parts are joined as soon as a joiner is free."""
        costs, parts = self.costs, self.parts[shard]
        reads = parts * costs.join_reads_a_part
        seconds = reads * self.store.seconds / self.design.join_threads + costs.join_requests * self.store.seconds
        seconds += parts * costs.part + self.size * costs.sample + self.reads.take(self.clock, reads)
        seconds += self.writes.take(self.clock, 4 + parts / 1000)
        self.join_seconds += seconds
        done = max(now, self.joiners[0]) + seconds
        heapreplace(self.joiners, done)
        self._at(done, JOINED, shard)

    def _log(self, now: float) -> float:
        """The ledger counts a shard; return how long it takes to log it."""
        self.undone -= 1
        self.log_lines += 1
        if not self.store.seconds or (self.design.is_log_paced and now < self.log_next and self.undone):
            return 0.0
        took = LOG_REQUESTS * self.store.seconds + 2 * self.log_lines * LOG_BYTES / LOG_BYTES_A_SECOND
        took += self.writes.take(self.clock, 1) + self.reads.take(self.clock, LOG_REQUESTS - 1)
        self.log_next = now + took + min(max(REST * took, SHORTEST_REST), LONGEST_LOG_REST)
        return took

    # The workers.

    def _begin(self, now: float, worker: Worker, number: int) -> None:
        """Begin the next stretch, if the last one is at its end and the next has come."""
        if worker.at is not None or not worker.queue:
            return
        came, shard, count = worker.queue[0]
        if came > now:
            self._at(came, BEGIN, number, worker.epoch)
            return
        worker.queue.popleft()
        self.waiting += now - worker.idle_since
        read = self.reads.take(self.clock, BEGIN_REQUESTS)
        if not self.design.reads_ahead:
            read += BEGIN_REQUESTS * self.store.seconds
            self.files += read
            now += read
        if self.next_time + count >= len(self.times):
            self._draw_times()
        first, self.next_time = self.next_time, self.next_time + count
        worker.at, worker.begun, worker.times, worker.first = (shard, count), now, self.times, first
        self._at(now + worker.speed * (self.times[first + count] - self.times[first]), END, number, worker.epoch)

    def _draw_times(self) -> None:
        fleet, many = self.fleet, min(BLOCK, max(4096, self.fresh + 2 * self.size))
        times = np.full(max(many, self.size), fleet.seconds)
        if fleet.sigma:
            times *= np.exp(fleet.sigma * self.rng.standard_normal(len(times)) - fleet.sigma**2 / 2)
        self.times, self.next_time = [0.0, *np.cumsum(times).tolist()], 0

    def _part_seconds(self) -> float:
        """Return what a part takes: its requests come one after the other."""
        return self.store.seconds * (self.costs.part_reads + self.costs.part_writes)

    def _interval(self) -> float:
        """Return the seconds from part to part: what one takes, and the pause."""
        took = self._part_seconds() + self.writes.wait(self.clock)
        return min(max(REST * took, SHORTEST_REST), self.rest) + took

    def _end_stretch(self, now: float, number: int) -> None:
        worker = self.workers[number]
        assert worker.at is not None
        shard, count = worker.at
        self.useful += now - worker.begun
        delay = self._write(shard, count, now - worker.begun)
        self._tell_driver(now + delay + (CALL_SECONDS if self.store.seconds else 0), number, worker.epoch, shard, count)
        if not self.design.writes_behind:
            self.files += delay
            now += delay
        worker.at, worker.idle_since = None, now
        self._begin(now, worker, number)

    def _write(self, shard: int, count: int, seconds: float) -> float:
        """Write answers of so many seconds as parts, and return how long the last one takes."""
        parts = min(count, 1 + int(seconds / self._interval()))
        self.parts[shard] += parts
        wait = self.reads.take(self.clock, parts * self.costs.part_reads)
        return self._part_seconds() + wait + self.writes.take(self.clock, parts * self.costs.part_writes)

    def _plan_failure(self, now: float, number: int) -> None:
        if self.fleet.failures:
            self._at(now + self.luck.expovariate(self.fleet.failures / 3600), FAIL, number)

    def _fail(self, now: float, number: int) -> None:
        """A worker dies: what it had not written is lost, and others get its stretches."""
        worker = self.workers[number]
        noticed = now + self.fleet.notice_seconds
        for _, shard, count in worker.queue:
            self._tell_driver(noticed, number, -1, shard, count)
        worker.queue.clear()
        if worker.at is None:
            self._give_up(now, worker.idle_since)
        else:
            shard, count = worker.at
            self._give_up(now, worker.begun, is_at_work=True)
            first, times = worker.first, worker.times
            interval = self._interval()
            written = (now - worker.begun - self._part_seconds()) // interval * interval
            kept = 0
            if written > 0:
                kept = bisect_right(times, times[first] + written / worker.speed, first, first + count) - 1 - first
            seconds = worker.speed * (times[first + kept] - times[first])
            self.useful += seconds
            self.failed += max(0.0, now - worker.begun) - seconds
            if kept:
                self._write(shard, kept, seconds)
                self._count(now, shard, kept)
            self._tell_driver(noticed, number, -1, shard, count - kept)
            worker.at = None
        worker.epoch += 1
        worker.held, worker.down_since = self.design.held, now
        self._at(now + self.fleet.back_seconds, BACK, number)

    def _give_up(self, now: float, since: float, *, is_at_work: bool = False) -> None:
        """Take back what was noted ahead of time, as the worker did not live to wait for its files."""
        if now < since:
            self.files -= since - now
        elif not is_at_work:
            self.waiting += now - since

    def _come_back(self, now: float, number: int) -> None:
        worker = self.workers[number]
        self.down += now - worker.down_since
        worker.down_since, worker.idle_since, worker.held = -1.0, now, 0
        self.wanting.append(number)
        self._plan_failure(now, number)

    def _sum_up(self, span: float) -> Result:
        total = span * len(self.workers)
        self.down += sum(span - worker.down_since for worker in self.workers if worker.down_since >= 0)
        end = total - self.useful - self.failed - self.down - self.files - self.waiting
        return Result(
            span=span,
            made=self.made,
            useful=self.useful / total,
            failed=self.failed / total,
            down=self.down / total,
            files=self.files / total,
            waiting=self.waiting / total,
            end=end / total,
            driver=self.driver_busy / span,
            writes=self.writes.count / span,
            reads=self.reads.count / span,
            joins=self.join_seconds / span,
            parts=sum(self.parts) / len(self.parts),
        )


def simulate(design: Design, fleet: Fleet, store: Store, costs: Costs, hours: float, seed: int = 0) -> Result:
    """Simulate a run that keeps the fleet busy for about so many hours, in whole shards."""
    shards = max(1, round(fleet.workers * hours * 3600 / fleet.seconds / (design.shard_prompts * design.candidates)))
    return Simulation(design, fleet, store, costs, shards, seed).run()


@dataclass(frozen=True)
class Mean:
    """The mean of runs that differ by their seed alone, and the least and the greatest share of useful work."""

    hours: float
    mean: Result
    least: float
    most: float

    def tell(self) -> str:
        """Return the useful share in %, with half the spread between seeds where there are several."""
        spread = f" ± {50 * (self.most - self.least):.1f}" if self.most > self.least else ""
        return f"{100 * self.mean.useful:.1f}{spread}"


def average(design: Design, fleet: Fleet, store: Store, costs: Costs, hours: float, most: int = MOST_STRETCHES) -> Mean:
    """Simulate runs of three seeds, as which picture comes last is luck; one of more than `ONE_SEED` stretches.

    A run has at most so many stretches of 16 pictures, whatever its own have: runs that are compared are as long.
    """
    a_hour = fleet.workers * 3600 / fleet.seconds / LEAST_STRETCH
    hours = min(hours, most / a_hour)
    runs = [simulate(design, fleet, store, costs, hours, k) for k in range(1 if hours * a_hour > ONE_SEED else 3)]
    mean = Result(**{each.name: sum(getattr(run, each.name) for run in runs) / len(runs) for each in fields(Result)})
    useful = [run.useful for run in runs]
    return Mean(hours, mean, min(useful), max(useful))


# Costs, measured on the code of datagen.

FAR_SECONDS = 0.1
"""Delay of each answer of the store while requests are counted."""


@contextmanager
def open_stores(home: Path) -> Iterator[dict[str, tuple[str, Callable[[], int]]]]:
    """Start the S3 server of the tests; yield addresses by name, each with the count of its requests so far.

    `near` is the server itself, `far` the same one behind a delay, `disk` a local folder.
    """
    from tests.helpers.s3_server import BUCKET, S3Server
    from tests.helpers.slow_store import SlowStore

    with S3Server(home / "s3") as server, SlowStore(server.endpoint, FAR_SECONDS) as far:
        server.wait()
        os.environ.update(server.environment())

        def point_at(url: str) -> None:
            os.environ["AWS_ENDPOINT_URL"] = url

        yield {
            "disk": (str(home / "disk"), lambda: 0),
            "near": (f"s3://{BUCKET}/near", lambda: point_at(server.url) or 0),  # type: ignore[func-returns-value]
            "far": (f"s3://{BUCKET}/far", lambda: point_at(far.url) or sum(far.requests.values())),  # type: ignore[func-returns-value]
        }


class Clock:
    """Wall and processor seconds, and requests, of what runs inside `with`."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count

    def __enter__(self) -> Clock:
        self._begun = time.perf_counter(), time.process_time(), self._count()
        return self

    def __exit__(self, *args: object) -> None:
        wall, cpu, requests = self._begun
        self.wall, self.cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.requests = self._count() - requests


def measure_store(address: str, count: Callable[[], int], shards: int) -> dict[str, float]:
    """Return what the files of a run cost at an address: seconds, processor seconds and requests of each step."""
    from datagen.config import make_recipe
    from datagen.pipeline import Job, Ledger, Silent, create_run, find_jobs, finish_shard, plan_stage
    from datagen.pipeline.shards import ShardResult, list_requests
    from datagen.pipeline.work import Counts
    from tests.helpers.instant import Instant

    count()
    values = {
        "taxonomy": ["counting", "spatial", "attributes", "text_rendering"],
        "lexicon": "pictograms",
        "prompts": 16 * shards,
        "shard_prompts": 16,
        "backend": {"name": "tests.helpers.instant", "tiny": True},
        "rewards": ["tests.helpers.agree"],
    }
    run, told = create_run(make_recipe(values), address), dict[str, float]()

    def note(name: str, clock: Clock, times: float) -> None:
        told[f"{name}_ms"] = round(1000 * clock.wall / times, 4)
        told[f"{name}_cpu_ms"] = round(1000 * clock.cpu / times, 4)
        told[f"{name}_requests"] = round(clock.requests / times, 2)

    with Clock(count) as clock:
        plan = plan_stage(run, Silent())
    note("plan_shard", clock, plan["shards"])
    shards = plan["prompts"] // 16  # whole ones
    for shard in range(shards):
        prompts = run.folder.read_prompts(shard)
        answers = list(Instant(tiny=True).generate(list_requests(run, prompts)))
        size = 1 if shard % 2 else 8  # joins of many parts and of few
        run._trusted_stamp = run.folder.read_stamp("run.yaml")  # as from the third part of a run
        with Clock(count) as clock:
            for first in range(0, len(answers), size):
                run.require_same()
                run.folder.write_part(shard, first // size, answers[first : first + size], [])
        if size == 1:
            note("part", clock, len(answers))
        with Clock(count) as clock:
            finish_shard(run, Job(shard, True, False, len(answers)))
        note(f"join_{len(answers) // size}_parts", clock, 1)
    for shard in range(plan["shards"]):
        finish_shard(run, Job(shard, shard >= shards, True, 64))
    with Clock(count) as clock:
        run.folder.list_shards("samples")
    note("list", clock, 1)
    beside = round(4 * clock.requests + 2)  # three stages and open shards are listed, run.yaml is read
    with Clock(count) as clock:
        work = find_jobs(run, "both", Silent())
    assert not work.jobs
    clock.requests -= min(beside, clock.requests)
    note("find_jobs_shard", clock, plan["shards"])
    jobs = [Job(shard, True, True, 64) for shard in range(2000)]
    ledger = Ledger(run, jobs, Counts(64 * len(jobs)), Silent())
    with Clock(count) as clock:
        run.folder.log("shard 00000: 64 of 64 samples generated and scored, mean image reward 0.500")
    note("log", clock, 1)
    ledger.count_sample(False)
    if not count():
        with Clock(count) as clock:
            for _ in range(20_000):
                ledger.count_sample(False)
        note("answer", clock, 20_000)
    for name in ("log", "log_dated"):  # measured above
        setattr(run.folder, name, lambda lines: None)
    with Clock(count) as clock:
        for job in jobs[1:]:
            ledger.count_shard(ShardResult(job.shard, 64, 64, 0, 32.0, 64))
    note("shard", clock, len(jobs) - 1)
    return told


def measure_calls(times: int = 2000, many: int = 4000) -> dict[str, float]:
    """Return what the driver of the Ray runner does for stretches, models and open calls."""
    import ray

    from datagen.pipeline import Job
    from datagen.runners.ray import _Actor, _Drive

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")

    @ray.remote(max_concurrency=2)
    class Actor:  # its answers have the size of a report: which requests failed
        def draw(self, job: Any, first: int, count: int) -> tuple[Any, list[bool]]:
            return job, [False] * count

        def wait(self) -> None:
            threading.Event().wait()

    actor, job = Actor.remote(), Job(7, True, True, 256)
    ray.get(actor.draw.remote(job, 0, 16))
    with Clock(lambda: 0) as handout:
        waiting = [actor.draw.remote(job, 16 * k, 16) for k in range(8)]
        for k in range(times):
            ready, waiting = ray.wait(waiting, num_returns=1)
            ray.get(ready[0])
            waiting.append(actor.draw.remote(job, 16 * k, 16))
    with Clock(lambda: 0) as tell:  # all models are asked at once
        refs = [actor.draw.remote(job, 0, 1) for _ in range(times)]
        for ref in ray.wait(refs, num_returns=times)[0]:
            ray.get(ref)
    refs = [actor.wait.remote() for _ in range(many)]
    ray.wait(refs, num_returns=many, timeout=1.0)
    rounds = 10
    with Clock(lambda: 0) as call:
        for _ in range(rounds):
            ray.wait(refs, num_returns=many, timeout=LOOK_SECONDS)
    ray.shutdown()
    drive = object.__new__(_Drive)
    drive._actors = [_Actor(None, jobs=FIRST_AHEAD, is_ready=True) for _ in range(many)]
    drive._told, drive._waiting = time.monotonic() + 3600, deque()
    with Clock(lambda: 0) as model:
        for _ in range(rounds):
            drive._hand_out()
    clocks = {"handout": (handout, times), "tell": (tell, times), "call": (call, rounds * many)}
    clocks |= {"model": (model, rounds * many)}
    return {f"{name}_cpu_ms": round(1000 * clock.cpu / each, 6) for name, (clock, each) in clocks.items()}


def measure() -> dict[str, Any]:
    """Measure everything and return it, with the `costs` that the simulation takes."""
    with tempfile.TemporaryDirectory() as home, open_stores(Path(home)) as stores:
        rows = {
            name: measure_store(address, count, 100 if name == "disk" else 6)
            for name, (address, count) in stores.items()
        }
    calls = measure_calls()
    near, far, disk = rows["near"], rows["far"], rows["disk"]
    few, many = 8, 64
    reads = (far["join_64_parts_requests"] - far["join_8_parts_requests"]) / (many - few)
    part = (near["join_64_parts_cpu_ms"] - near["join_8_parts_cpu_ms"]) / (many - few)
    costs = Costs(
        answer=disk["answer_cpu_ms"] / 1000,
        shard=disk["shard_cpu_ms"] / 1000,
        stretch=calls["handout_cpu_ms"] / 2000,  # it is counted when handed out and when reported
        tell=calls["tell_cpu_ms"] / 1000,
        call=calls["call_cpu_ms"] / 1000,
        model=calls["model_cpu_ms"] / 1000,
        part=max(0.0, part) / 1000,
        sample=max(0.0, near["join_8_parts_cpu_ms"] - few * max(0.0, part)) / 64 / 1000,
        part_writes=1.0,
        part_reads=far["part_requests"] - 1.0,
        join_reads_a_part=reads,
        join_requests=far["join_8_parts_requests"] - few * reads,
        look=near["find_jobs_shard_cpu_ms"] / 1000,
        look_requests=far["find_jobs_shard_requests"],
        prompt=disk["plan_shard_cpu_ms"] / 16 / 1000,
        prompts_requests=far["plan_shard_requests"],
    )
    where = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    return {**where, "far_seconds": FAR_SECONDS, "stores": rows, "calls": calls, "costs": asdict(costs)}


SIZES, SPEEDS = (10, 100, 1000, 10_000), (1.0, 10.0, 60.0)
PLAIN = Design()
"""What is built, with the recipe's defaults."""
BEFORE = Design(stretch=16, tell_seconds=TELL_SECONDS, taper=2, holds_one_last=False)
"""A driver that asks all models each second, halves what is left, and gives two stretches to the end."""
BETTER = replace(PLAIN, cuts_anew=True, reads_ahead=True, writes_behind=True)
"""What the runner could do: cut lost stretches anew, and read and write while the model works."""


CHANGES: dict[str, Design] = {
    "as shipped": PLAIN,
    "all models are asked how far they are, each second": replace(PLAIN, tell_seconds=TELL_SECONDS),
    "files are waited for while the model works": replace(PLAIN, reads_ahead=True, writes_behind=True),
    "one stretch a model": replace(PLAIN, held=1),
    "three stretches a model": replace(PLAIN, held=3),
    "stretches as large at the end": replace(PLAIN, taper=0),
    "half of what is left, not a quarter": replace(PLAIN, taper=2),
    "lost stretches are cut anew": replace(PLAIN, cuts_anew=True),
    "two stretches a model at the end": replace(PLAIN, holds_one_last=False),
    "the last prompts are split": replace(PLAIN, splits_prompts=True),
    "stretches of 16": replace(PLAIN, stretch=16),
    "stretches of 64": replace(PLAIN, stretch=64),
    "parts every second": replace(PLAIN, rest=LONGEST_REST),
    "parts of a join one by one": replace(PLAIN, join_threads=1),
    "log.txt for each shard": replace(PLAIN, is_log_paced=False),
    "all that could be done": BETTER,
}


def estimate_start(shards: int, costs: Costs, store: Store, threads: int) -> float:
    """Return the seconds that `find_jobs` takes in a run of finished shards, `threads` files at a time."""
    waits = costs.look_requests * max(store.seconds / threads, 1 / store.reads)
    return shards * max(costs.look, waits) + 4 * -(-shards // 1000) * store.seconds


def print_all(costs: Costs, hours: float) -> None:
    """Print every table of docs/scale.md."""
    s3, names = STORES["s3"], [f"{seconds:g} s" for seconds in SPEEDS]
    useful = "useful work, % of worker-seconds"
    rows, rest = list[list[str]](), list[list[str]]()
    for name, design in {"before": BEFORE, "as shipped": PLAIN, "could be": BETTER}.items():
        for workers in SIZES:
            found = [average(design, Fleet(workers, s), s3, costs, hours) for s in SPEEDS]
            rows.append([name, f"{workers:,}", *(each.tell() for each in found)])
            for seconds, each in zip(SPEEDS, found, strict=True):
                r = each.mean
                shares = (r.useful, r.failed, r.down, r.files, r.waiting, r.end, r.driver)
                rest.append(
                    [name, f"{workers:,}", f"{seconds:g}", f"{each.hours:.1f}", *(f"{100 * one:.1f}" for one in shares)]
                )
                rest[-1] += [f"{r.writes:,.0f}", f"{r.reads:,.0f}", f"{r.joins:,.1f}"]
    print_table(["design", "workers", *names], rows, f"{useful}, about {hours:g} h on S3")
    heads = ["design", "workers", "s", "hours", "useful", "lost", "down", "files", "waiting", "end", "driver"]
    print_table([*heads, "writes/s", "reads/s", "joins"], rest, "where it goes, %; the driver: % of its time")

    def show(title: str, head: str, cases: dict[str, tuple[Design, Store, dict[str, float]]]) -> None:
        table = [
            [name] + [average(made, Fleet(1000, s, **more), at, costs, hours, FEW_STRETCHES).tell() for s in SPEEDS]
            for name, (made, at, more) in cases.items()
        ]
        print_table([head, *names], table, f"{useful}, 1,000 workers: {title}")

    show("changes", "one change", {name: (design, s3, {}) for name, design in CHANGES.items()})
    show("stores", "store", {name: (PLAIN, store, {}) for name, store in STORES.items()})
    show("failures", "an hour", {f"{each:g}": (PLAIN, s3, {"failures": each}) for each in (0.0, 1.0, 4.0)})
    counts = [1000, 10_000, 20_000, 100_000]
    rows = [
        [f"{shards:,}", *(f"{estimate_start(shards, costs, s3, threads):,.0f} s" for threads in (1, MOST_READ))]
        for shards in counts
    ]
    heads = ["finished shards", "one by one", f"{MOST_READ} at a time"]
    print_table(heads, rows, "find_jobs at the start of a call, S3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure the costs anew")
    parser.add_argument("--json", type=Path, default=FILE, metavar="FILE", help="the costs")
    parser.add_argument("--hours", type=float, default=8.0, help="how long the fleet is kept busy")
    options = parser.parse_args()
    if options.measure:
        options.json.write_text(json.dumps(measure(), indent=2) + "\n", encoding="utf-8")
    print_all(Costs.read(options.json), options.hours)


if __name__ == "__main__":
    main()
