"""A thousand workers on paper: where the design of a run bends, simulated with costs that are measured here.

    python benchmarks/scale.py --measure      measure the costs on this machine into benchmarks/scale.json
    python benchmarks/scale.py [--hours 24]    simulate fleets of 10 to 10,000 workers with them

A driver hands out stretches of prompts to workers, some ahead; a worker makes one picture after the other, writes parts
at the pace of `datagen.pipeline.parts` and reports a stretch when its last part is on the store; a finished shard is
joined by a task; the driver counts and logs. Pictures take log-normal times, workers differ in speed, and each fails
about once an hour: what it had in flight is lost, its stretches are handed out again, and it is back after a minute.

Latencies and limits are those that the stores document: "Best practices design patterns: optimizing Amazon S3
performance" (small objects in 100 to 200 ms, 3,500 writes and 5,500 reads a second per partitioned prefix), the page of
ListObjectsV2 (1,000 keys a call), "Request rate and access distribution guidelines" of Google Cloud Storage (about
1,000 writes and 5,000 reads a second per bucket at first) and its "Quotas & limits" (one write a second to one object).

Not covered: growth of a store's limits under load, answers of 503, bandwidth, the time that scorers take. An engine of
n slots counts as n workers of n times the seconds; that their failures coincide changes no mean.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from heapq import heapify, heappop, heappush, heapreplace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from datagen.console import print_table  # noqa: E402
from datagen.pipeline.parts import LONGEST_REST, REST, SHORTEST_REST  # noqa: E402
from datagen.store import MOST_READ  # noqa: E402

FILE = Path(__file__).with_suffix(".json")
LOG_BYTES, LOG_BYTES_A_SECOND = 90, 50e6
"""Bytes of a line of log.txt, and how fast a large object passes."""
MOST_STRETCHES = 100_000
"""Stretches of a simulated run, or 20 for each worker: a run of more is simulated for fewer hours."""
PROMPT_READS, LOG_REQUESTS = 2, 3
"""Requests to read the prompts of a shard, and to read log.txt and put it again: size, content, put."""
CALL_SECONDS = 0.001
"""The way of a message between two machines of a cluster."""


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
    """Hand-out and report of a stretch."""
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


@dataclass(frozen=True)
class Design:
    """The parameters of a run: pictures a stretch at most, stretches ahead, seconds between parts at most, and shards.

    `taper`: towards the end stretches become smaller, half of what is left for each worker. `is_log_paced`: log.txt is
    written in at most a twentieth of the time, else for each shard. `join_threads`: parts that a join reads at a time.
    """

    stretch: int = 16
    ahead: int = 2
    rest: float = LONGEST_REST
    shard_prompts: int = 64
    candidates: int = 4
    taper: bool = False
    is_log_paced: bool = True
    join_threads: int = 8


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


@dataclass(slots=True)
class Worker:
    """A worker: its pace, the stretches it holds as (shard, pictures), and the one it is at."""

    speed: float
    queue: deque[tuple[int, int]]
    epoch: int = 0
    held: int = 0
    """Stretches it was promised or has."""
    at: tuple[int, int] | None = None
    begun: float = 0.0
    idle_since: float = 0.0
    times: Any = None


class Simulation:
    """One run by one fleet; `run` returns its `Result`. The same arguments give the same result."""

    def __init__(self, design: Design, fleet: Fleet, store: Store, costs: Costs, shards: int, seed: int = 0) -> None:
        self.design, self.fleet, self.store, self.costs = design, fleet, store, costs
        self.rng = np.random.default_rng(seed)
        self.size = design.shard_prompts * design.candidates
        self.left, self.parts = [self.size] * shards, [0] * shards
        self.next_shard, self.next_picture = 0, 0
        self.returned: deque[tuple[int, int]] = deque()
        self.unassigned = shards * self.size
        self.undone = shards
        self.events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.order = 0
        self.driver_free = 0.0
        self.driver_busy = 0.0
        self.log_next, self.log_lines, self.usage_next = 0.0, 0, 0.0
        self.writes, self.reads = Rate(store.writes), Rate(store.reads)
        self.joiners = [0.0] * (fleet.joiners or max(2, fleet.workers // 8))
        heapify(self.joiners)
        self.join_seconds = 0.0
        self.parked: deque[int] = deque()
        self.useful = self.failed = self.down = self.waiting = self.end = 0.0
        self.made = 0
        speeds = np.exp(self.rng.normal(0, fleet.spread, fleet.workers)) if fleet.spread else np.ones(fleet.workers)
        self.workers = [Worker(float(speed), deque(), idle_since=0.0) for speed in speeds]
        self.no_work_since = -1.0
        self.is_down = [0.0] * fleet.workers

    def _at(self, when: float, call: Callable[..., None], *arguments: Any) -> None:
        self.order += 1
        heappush(self.events, (when, self.order, call, arguments))

    def run(self) -> Result:
        """Simulate until the last shard is counted."""
        for _ in range(self.design.ahead + 1):  # in rounds, so that each worker has one before any has two
            for number in range(len(self.workers)):
                self._ask(0.0, number, 1)
        for number in range(len(self.workers)):
            self._plan_failure(0.0, number)
        now = 0.0
        while self.undone:
            now, _, call, arguments = heappop(self.events)
            call(now, *arguments)
        return self._sum_up(max(now, self.driver_free))

    # The driver: one thread, first come first served.

    def _drive(self, now: float, seconds: float) -> float:
        """Keep the driver busy and return when it is done."""
        if now >= self.usage_next:
            seconds += self.store.seconds + self.writes.take(now, 1)
            self.usage_next = now + 10
        self.driver_free = max(self.driver_free, now) + seconds
        self.driver_busy += seconds
        return self.driver_free

    def _ask(self, now: float, number: int, count: int) -> None:
        """A worker asks for stretches."""
        for _ in range(count):
            self.workers[number].held += 1
            self._hand_out(now, number)

    def _hand_out(self, now: float, number: int) -> None:
        stretch = self._cut()
        if stretch is None:
            self.parked.append(number)
            return
        done = self._drive(now, self.costs.stretch)
        delay = CALL_SECONDS if self.store.seconds else 0.0
        # The worker reads the prompts of the shard.
        delay += PROMPT_READS * self.store.seconds + self.reads.take(now, PROMPT_READS)
        self._at(done + delay, self._arrive, number, self.workers[number].epoch, stretch)

    def _cut(self) -> tuple[int, int] | None:
        """Return the next stretch, None if none is left."""
        if self.returned:
            shard, count = self.returned.popleft()
            size = self._limit()
            if count > size:
                self.returned.appendleft((shard, count - size))
                count = size
        elif self.next_shard < len(self.left):
            shard, count = self.next_shard, min(self._limit(), self.size - self.next_picture)
            self.next_picture += count
            if self.next_picture == self.size:
                self.next_shard, self.next_picture = self.next_shard + 1, 0
        else:
            return None
        self.unassigned -= count
        return shard, count

    def _limit(self) -> int:
        most, unit = self.design.stretch, self.design.candidates
        if self.design.taper:
            most = min(most, self.unassigned // (2 * self.fleet.workers))
        return max(unit, most // unit * unit)

    def _give_back(self, now: float, stretches: list[tuple[int, int]]) -> None:
        """The driver notices that a worker is gone and hands its stretches to others."""
        for shard, count in stretches:
            self.returned.append((shard, count))
            self.unassigned += count
        while self.parked and self.returned:
            self._hand_out(now, self.parked.popleft())

    def _report(self, now: float, number: int, epoch: int, shard: int, count: int) -> None:
        """A stretch is done."""
        self._drive(now, self.costs.answer * count + self.costs.stretch)
        self._count(now, shard, count)
        worker = self.workers[number]
        if worker.epoch == epoch:
            worker.held -= 1
            self._ask(now, number, 1)

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
        seconds += parts * costs.part + self.size * costs.sample + self.reads.take(now, reads)
        seconds += self.writes.take(now, 4 + parts / 1000)
        self.join_seconds += seconds
        begun = max(now, self.joiners[0])
        heapreplace(self.joiners, begun + seconds)
        self._at(begun + seconds, self._finish, shard)

    def _finish(self, now: float, shard: int) -> None:
        """The ledger counts a shard and logs it."""
        self.undone -= 1
        self._drive(now, self.costs.shard)
        self.log_lines += 1
        if not self.design.is_log_paced or now >= self.log_next or not self.undone:
            took = LOG_REQUESTS * self.store.seconds + 2 * self.log_lines * LOG_BYTES / LOG_BYTES_A_SECOND
            took = took if self.store.seconds else 0.0
            done = self._drive(now, took + self.writes.take(now, 1) + self.reads.take(now, LOG_REQUESTS - 1))
            self.log_next = done + min(max(REST * took, SHORTEST_REST), 60.0)

    # The workers.

    def _arrive(self, now: float, number: int, epoch: int, stretch: tuple[int, int]) -> None:
        worker = self.workers[number]
        if worker.epoch != epoch:  # it failed on the way
            self._at(now, self._give_back, [stretch])
            return
        worker.queue.append(stretch)
        if worker.at is None:
            self._begin(now, number)

    def _begin(self, now: float, number: int) -> None:
        worker, fleet = self.workers[number], self.fleet
        self.waiting += now - worker.idle_since
        worker.at = worker.queue.popleft()
        worker.begun = now
        count = worker.at[1]
        times = np.full(count, fleet.seconds * worker.speed)
        if fleet.sigma:
            times *= np.exp(fleet.sigma * self.rng.standard_normal(count) - fleet.sigma**2 / 2)
        worker.times = times
        self._at(now + float(times.sum()), self._end_stretch, number, worker.epoch)

    def _part_seconds(self) -> float:
        """Return what a part takes: its requests come one after the other."""
        return self.store.seconds * (self.costs.part_reads + self.costs.part_writes)

    def _interval(self, now: float) -> float:
        """Return the seconds from part to part: what one takes, and the pause."""
        took = self._part_seconds() + self.writes.wait(now)
        return min(max(REST * took, SHORTEST_REST), self.design.rest) + took

    def _end_stretch(self, now: float, number: int, epoch: int) -> None:
        worker = self.workers[number]
        if worker.epoch != epoch or worker.at is None:
            return
        shard, count = worker.at
        self.useful += now - worker.begun
        delay = self._write(now, shard, count, now - worker.begun)
        self._at(now + delay + (CALL_SECONDS if self.store.seconds else 0), self._report, number, epoch, shard, count)
        worker.at, worker.idle_since = None, now
        if worker.queue:
            self._begin(now, number)

    def _write(self, now: float, shard: int, count: int, seconds: float) -> float:
        """Write answers of so many seconds as parts, and return how long the last one takes."""
        parts = min(count, 1 + int(seconds / self._interval(now)))
        self.parts[shard] += parts
        wait = self.reads.take(now, parts * self.costs.part_reads)
        return self._part_seconds() + wait + self.writes.take(now, parts * self.costs.part_writes)

    def _plan_failure(self, now: float, number: int) -> None:
        if self.fleet.failures:
            self._at(now + float(self.rng.exponential(3600 / self.fleet.failures)), self._fail, number)

    def _fail(self, now: float, number: int) -> None:
        """A worker dies: what it had not written is lost, and others get its stretches."""
        worker = self.workers[number]
        worker.epoch += 1
        back = list(worker.queue)
        worker.queue.clear()
        if worker.at is None:
            self.waiting += now - worker.idle_since
        else:
            shard, count = worker.at
            ends = np.cumsum(worker.times)
            interval = self._interval(now)
            written = (now - worker.begun - self._part_seconds()) // interval * interval
            kept = int(np.searchsorted(ends, written, side="right")) if written > 0 else 0
            kept = min(kept, count - 1)
            seconds = float(ends[kept - 1]) if kept else 0.0
            self.useful += seconds
            self.failed += now - worker.begun - seconds
            if kept:
                self._write(now, shard, kept, seconds)
                self._count(now, shard, kept)
            back.append((shard, count - kept))
            worker.at = None
        self.parked = deque(each for each in self.parked if each != number)
        worker.held = 0
        self.is_down[number] = now
        self._at(now + self.fleet.notice_seconds, self._give_back, back)
        self._at(now + self.fleet.back_seconds, self._come_back, number)

    def _come_back(self, now: float, number: int) -> None:
        self.down += now - self.is_down[number]
        self.is_down[number] = 0.0
        self.workers[number].idle_since = now
        self._ask(now, number, self.design.ahead + 1)
        self._plan_failure(now, number)

    def _sum_up(self, span: float) -> Result:
        total = span * len(self.workers)
        self.down += sum(span - since for since in self.is_down if since)
        self.end = total - self.useful - self.failed - self.down - self.waiting
        return Result(
            span=span,
            made=self.made,
            useful=self.useful / total,
            failed=self.failed / total,
            down=self.down / total,
            waiting=self.waiting / total,
            end=self.end / total,
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


def average(design: Design, fleet: Fleet, store: Store, costs: Costs, hours: float) -> Result:
    """Return the mean of three runs, as which picture comes last is luck; one run of more than ten workers."""
    most = max(MOST_STRETCHES, 20 * fleet.workers) * design.stretch
    hours = min(hours, most * fleet.seconds / 3600 / fleet.workers)
    runs = [simulate(design, fleet, store, costs, hours, seed) for seed in range(1 if fleet.workers > 10 else 3)]
    return Result(**{each.name: float(np.mean([getattr(run, each.name) for run in runs])) for each in fields(Result)})


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
        work = find_jobs(run, "both", Silent())
    assert not work.jobs
    note("find_jobs_shard", clock, plan["shards"])
    with Clock(count) as clock:
        run.folder.list_shards("samples")
    note("list", clock, 1)
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


def measure_calls(times: int = 2000) -> dict[str, float]:
    """Return what handing out a stretch to an actor of Ray costs the driver, nothing if Ray is not installed."""
    try:
        import ray
    except ImportError:
        return {}
    from datagen.pipeline import Job

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")

    @ray.remote
    class Actor:  # its answers have the size of a report: which requests failed
        def draw(self, job: Any, first: int, count: int) -> tuple[Any, list[bool]]:
            return job, [False] * count

    actor, job = Actor.remote(), Job(7, True, True, 256)
    ray.get(actor.draw.remote(job, 0, 16))
    with Clock(lambda: 0) as clock:
        waiting = [actor.draw.remote(job, 16 * k, 16) for k in range(8)]
        for k in range(times):
            ready, waiting = ray.wait(waiting, num_returns=1)
            ray.get(ready[0])
            waiting.append(actor.draw.remote(job, 16 * k, 16))
    ray.shutdown()
    return {
        "handout_ms": round(1000 * clock.wall / times, 4),
        "handout_cpu_ms": round(1000 * clock.cpu / times, 4),
    }


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
        stretch=calls.get("handout_cpu_ms", 1.0) / 2000,  # it is counted when handed out and when reported
        part=max(0.0, part) / 1000,
        sample=max(0.0, near["join_8_parts_cpu_ms"] - few * max(0.0, part)) / 64 / 1000,
        part_writes=1.0,
        part_reads=far["part_requests"] - 1,
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
"""The defaults of a run, stretches of 16 pictures, three of which a worker holds."""
ONE_BY_ONE = replace(PLAIN, is_log_paced=False, join_threads=1)
"""The same when log.txt was put for every shard, and the parts of a join were read one after the other."""


def recommend(seconds: float) -> Design:
    """Return the parameters to use for workers of so many seconds a picture."""
    stretch, ahead = max(PLAIN.candidates, round(30 / seconds)), 1 if seconds < 10 else 0
    return replace(PLAIN, stretch=stretch, ahead=ahead, rest=10.0, shard_prompts=512, taper=True)


def estimate_start(shards: int, costs: Costs, store: Store, threads: int) -> float:
    """Return the seconds that `find_jobs` takes in a run of finished shards, `threads` files at a time."""
    waits = costs.look_requests * max(store.seconds / threads, 1 / store.reads)
    return shards * max(costs.look, waits) + 5 * -(-shards // 1000) * store.seconds


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


Case = tuple[Design, Fleet, Store, Costs, float]


def print_all(costs: Costs, hours: float) -> None:
    """Print every table of docs/scale.md."""
    before = replace(costs, part_writes=3.0, join_reads_a_part=2 * costs.join_reads_a_part)
    store, names = STORES["s3"], [f"{seconds:g} s" for seconds in SPEEDS]
    designs: dict[str, tuple[Callable[[float], Design], Costs]] = {
        "before": (lambda seconds: ONE_BY_ONE, before),
        "defaults": (lambda seconds: PLAIN, costs),
        "recommended": (recommend, costs),
    }
    tables: dict[str, dict[tuple[str, ...], list[Case]]] = {"fleets": {}, "changes": {}, "stores": {}, "failures": {}}
    for name, (make, those) in designs.items():
        for workers in SIZES:
            cases = [(make(s), Fleet(workers, s), store, those, hours) for s in SPEEDS]
            tables["fleets"][name, f"{workers:,}"] = cases
    for name, change in list_changes().items():
        cases = [(change(s), Fleet(1000, s), store, costs, hours) for s in SPEEDS]
        tables["changes"][(name,)] = cases
    for name, each in STORES.items():
        for workers in (1000,):
            cases = [(recommend(s), Fleet(workers, s), each, costs, hours) for s in SPEEDS]
            tables["stores"][name, f"{workers:,}"] = cases
    for failures in (0.0, 1.0, 4.0):
        cases = [(recommend(s), Fleet(1000, s, failures=failures), store, costs, hours) for s in SPEEDS]
        tables["failures"][(f"{failures:g}",)] = cases
    every = list(dict.fromkeys(case for rows in tables.values() for cases in rows.values() for case in cases))
    with ProcessPoolExecutor() as pool:
        found = dict(zip(every, pool.map(average, *zip(*every, strict=True)), strict=True))

    def show(title: str, heads: list[str], table: str, tell: Callable[[Result], str]) -> None:
        rows = [[*key, *(tell(found[case]) for case in cases)] for key, cases in tables[table].items()]
        print_table([*heads, *names], rows, title)

    show(f"useful work, %, about {hours:g} h on S3", ["design", "workers"], "fleets", lambda r: percent(r.useful))
    heads = [
        "design",
        "workers",
        "s",
        "hours",
        "lost",
        "down",
        "waiting",
        "end",
        "driver",
        "writes/s",
        "reads/s",
        "joins",
    ]
    rows = [
        [*key, f"{case[1].seconds:g}", f"{r.span / 3600:.1f}",
         *map(percent, (r.failed, r.down, r.waiting, r.end, r.driver)),
         f"{r.writes:,.0f}", f"{r.reads:,.0f}", f"{r.joins:,.1f}"]
        for key, cases in tables["fleets"].items() for case in cases for r in [found[case]]
    ]  # fmt: skip
    print_table(heads, rows, "where the rest goes, % of worker-seconds; driver: % of its time")
    show("lost, %, 1,000 workers on S3", ["recommended, but"], "changes", lambda r: percent(r.lost))
    show("lost, % (writes a second)", ["store", "workers"], "stores", lambda r: f"{percent(r.lost)} ({r.writes:,.0f})")
    show("lost, %, 1,000 workers on S3", ["failures an hour"], "failures", lambda r: percent(r.lost))
    rows = [
        [f"{shards:,}", *(f"{estimate_start(shards, costs, store, threads):,.0f} s" for threads in (1, MOST_READ))]
        for shards in (1000, 10_000, 100_000)
    ]
    print_table(
        ["finished shards", "one by one", f"{MOST_READ} at a time"], rows, "find_jobs at the start of a call, S3"
    )


def list_changes() -> dict[str, Callable[[float], Design]]:
    """Return designs by name, each the recommended one but for one parameter."""

    def but(**change: Any) -> Callable[[float], Design]:
        return lambda seconds: replace(recommend(seconds), **change)

    def stretch(of_seconds: float) -> Callable[[float], Design]:
        size = lambda seconds: max(PLAIN.candidates, round(of_seconds / seconds))  # noqa: E731
        return lambda seconds: replace(recommend(seconds), stretch=size(seconds))

    found = {"as recommended": but()}
    found |= {f"stretches of {n} s": stretch(n) for n in (5, 600)}
    found |= {f"{n} ahead": but(ahead=n) for n in (0, 2)}
    found |= {f"parts every {n:g} s": but(rest=n) for n in (1.0, 60.0)}
    found |= {f"{n:,} prompts a shard": but(shard_prompts=n) for n in (64,)}
    found |= {"stretches as large at the end": but(taper=False), "log.txt for each shard": but(is_log_paced=False)}
    return found | {"parts of a join one by one": but(join_threads=1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure the costs anew")
    parser.add_argument("--json", type=Path, default=FILE, metavar="FILE", help="the costs")
    parser.add_argument("--hours", type=float, default=24.0, help="how long the fleet is kept busy")
    options = parser.parse_args()
    if options.measure:
        options.json.write_text(json.dumps(measure(), indent=2) + "\n", encoding="utf-8")
    print_all(Costs.read(options.json), options.hours)


if __name__ == "__main__":
    main()
