"""Local runner: the model in this process, joining and scoring in worker processes, so that neither waits.

Requests flow through the model from shard to shard (`pipeline.flow`); a worker joins the parts of a finished shard and
scores it. With several GPUs, each has a process with its own model. The files do not depend on any of this. Ctrl-C
keeps what the model has answered and finishes what is being scored, a second Ctrl-C stops at once. Workers exit when
this process ends, even if it is killed. Try `datagen build --workers 2 --models 2`.
"""

from __future__ import annotations

import glob
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing.queues import Queue
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from queue import Empty
from types import FrameType

from datagen.interrupts import Interrupted, heed_ctrl_c
from datagen.pipeline import (
    Execute,
    Job,
    Ledger,
    Meter,
    Run,
    finish_shard,
    finish_shards,
    generate_shards,
    list_here,
)
from datagen.runners.processes import Crew, Tell, Told, give_memory_back, keep_prints

MOST_WORKERS = 8
LOOK_SECONDS = 0.2
"""How often finished shards are counted."""
TAKE_SECONDS = 0.05
"""How long a process waits for a shard before it goes on with those that it has begun."""
GPU_FILES = ("/dev/nvidia[0-9]*", "/dev/kfd", "/dev/dxg", "/dev/nvhost-gpu", "/dev/nvmap")
"""The devices of GPUs that torch drives on Linux: of NVIDIA, of AMD, under WSL, on Jetson boards."""
SCORING_HINT = "try --workers 1 or a smaller shard_prompts; finished shards are kept"
MOVE = "what stands in a module of its own, such as mine.py, is shared by several"
MODEL_HINT = "see the log of the engine; what it answered before is kept"


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """Return the number of cores minus one, at least 1 and at most 8."""
    return max(1, min(MOST_WORKERS, count_cores() - 1))


def list_devices(models: int | None = None) -> list[str]:
    """Return `CUDA_VISIBLE_DEVICES` for each model process: one per GPU, or `models` processes in turn over the GPUs.

    An empty list means one model in this process, the default with at most one GPU.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = _count_off_gpus() if given is None else [name.strip() for name in given.split(",") if name.strip()]
    count = len(gpus) if models is None else models
    return [gpus[k % len(gpus)] if gpus else "" for k in range(count)] if count > 1 else []


def _count_off_gpus() -> list[str]:
    if sys.platform == "linux" and not any(glob.glob(pattern) for pattern in GPU_FILES):
        return []  # seen without torch, which takes seconds to import
    import torch

    return [str(k) for k in range(torch.cuda.device_count())]


def make_runner(workers: int | None = None, models: int | None = None) -> Execute:
    """Return a runner with a number of scoring processes and of models (default: one per GPU).

    With `workers` 0, one model does everything sequentially in this process, and so it is for scorers and models that
    other processes cannot import (`list_here`). When the budget is spent, the runner waits for what is in flight; when
    it is over, scoring ends with the shards that are begun.
    """
    count = default_workers() if workers is None else workers
    give_memory_back()

    def execute(run: Run, jobs: Sequence[Job], ledger: Ledger) -> None:
        here = list_here(run.recipe)
        if here and count:
            ledger.watch.say(f"all in one process, since no other can import {', '.join(here)}: {MOVE}")
        many = 0 if here else count
        devices = list_devices(models) if many and any(job.draw for job in jobs) else []
        held = max(1, len(devices)) if any(job.draw for job in jobs) else 0
        with catch_interrupt(ledger) as stopped, ledger.account.hold(held), keep_prints(run):
            if devices:
                _run_spread(run, jobs, ledger, stopped, many, devices)
            elif many:
                _run_overlapped(run, jobs, ledger, stopped, many)
            else:
                _run_plainly(run, jobs, ledger, stopped)
        if stopped.is_set():
            raise Interrupted

    return execute


def _run_plainly(run: Run, jobs: Sequence[Job], ledger: Ledger, stopped: threading.Event) -> None:
    meter = ledger.account.meter
    for job in jobs:
        if not job.draw and not stopped.is_set() and not meter.is_over():
            ledger.count_shard(finish_shard(run, job))
    with closing(generate_shards(run, _drawn(jobs), ledger.count_sample, stopped.is_set, meter.may_ask)) as flow:
        for done in flow:
            if done is not None and not meter.is_over():
                ledger.count_shard(finish_shard(run, done))


def _run_overlapped(run: Run, jobs: Sequence[Job], ledger: Ledger, stopped: threading.Event, workers: int) -> None:
    """Generate in this process, finish in workers; results are counted in this thread as they come."""
    with Crew(run, "scoring", SCORING_HINT) as crew:
        scorers = _Scorers(crew, ledger, stopped, jobs, workers)
        may_ask = ledger.account.meter.may_ask
        with closing(generate_shards(run, _drawn(jobs), ledger.count_sample, stopped.is_set, may_ask)) as flow:
            for done in flow:
                scorers.add(done)
        scorers.wait()


def _run_spread(
    run: Run,
    jobs: Sequence[Job],
    ledger: Ledger,
    stopped: threading.Event,
    workers: int,
    devices: Sequence[str],
) -> None:
    """Generate in one process per device, finish in workers; pictures pass from one to the other on disk alone."""
    with Crew(run, "scoring", SCORING_HINT) as crew, Crew(run, "model", MODEL_HINT) as models:
        scorers = _Scorers(crew, ledger, stopped, jobs, workers)
        drawn, taken = list(_drawn(jobs)), models.context.Value("q", 0)
        for device in devices:
            threads = max(1, count_cores() // len(devices))
            models.start(_generate, threads, drawn, ledger.account.meter, taken, device=device)
        while models.is_working:
            if stopped.is_set():
                models.stopped.set()
            for told in models.listen(LOOK_SECONDS):
                ledger.tell(told.notices)
                ledger.account.add(told.usage)
                for failed in told.failed:
                    ledger.count_sample(failed)
                scorers.add(told.done)
            scorers.add(None)
        scorers.wait()


def _drawn(jobs: Iterable[Job]) -> Iterator[Job]:
    return (job for job in jobs if job.draw)


class _Scorers:
    """The processes that join and score shards, and the shards that wait for one: only their numbers, however many."""

    def __init__(self, crew: Crew, ledger: Ledger, stopped: threading.Event, jobs: Sequence[Job], workers: int) -> None:
        self._crew, self._ledger, self._stopped, self._workers = crew, ledger, stopped, workers
        self._waiting: Queue[Job | None] = crew.context.Queue()
        self._waiting.cancel_join_thread()  # what nobody takes any more does not keep this process
        self._looked = 0.0
        is_scoring = any(job.score for job in jobs)
        threads = max(1, (count_cores() - 1) // workers)  # one core is this process's
        for _ in range(workers):
            crew.start(_finish, threads, self._waiting, is_scoring)
        for job in jobs:
            if not job.draw:
                self.add(job)

    def add(self, job: Job | None) -> None:
        """Take a generated shard, and count what is finished by now. Raises what ended a process."""
        if job is not None:
            self._waiting.put(job)
            self._ledger.check_failures()
        now = time.monotonic()
        if now - self._looked > LOOK_SECONDS:
            self._looked = now
            self._count(0)

    def wait(self) -> None:
        """Wait until all shards are finished; when stopped or over budget, only for those that a process has begun."""
        for _ in range(self._workers):
            self._waiting.put(None)
        while self._crew.is_working:
            if self._stopped.is_set() or self._ledger.account.meter.is_over():
                self._crew.stopped.set()
            self._count(LOOK_SECONDS)

    def _count(self, seconds: float) -> None:
        for told in self._crew.listen(seconds):
            self._ledger.tell(told.notices)
            self._ledger.account.add(told.usage)
            if told.result is not None:
                self._ledger.count_shard(told.result)


@contextmanager
def catch_interrupt(ledger: Ledger) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event; the second one interrupts as usual."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        heed_ctrl_c()
        stopped.set()
        ledger.watch.say("stopping: what the model has answered is kept; Ctrl-C again stops at once")

    before = signal.signal(signal.SIGINT, ask_to_stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _generate(
    run: Run,
    tell: Tell,
    stopped: Event,
    jobs: Sequence[Job],
    meter: Meter,
    taken: Synchronized[int],
) -> None:
    """Generate shards with the model in this process, the next one that no other process has taken."""
    failed: list[bool] = []
    try:
        turns = _take_turns(jobs, taken)
        with closing(generate_shards(run, turns, failed.append, stopped.is_set, meter.may_ask)) as flow:
            for done in flow:
                tell(Told(tuple(failed), done))
                failed.clear()
    finally:
        tell(Told(tuple(failed)))


def _take_turns(jobs: Sequence[Job], taken: Synchronized[int]) -> Iterator[Job]:
    while True:
        with taken.get_lock():
            number = taken.value
            taken.value += 1
        if number >= len(jobs):
            return
        yield jobs[number]


def _finish(run: Run, tell: Tell, stopped: Event, waiting: Queue[Job | None], is_scoring: bool) -> None:
    """Join and score the shards that wait, the scorers loaded before the first one comes."""
    if is_scoring:
        _ = run.tools, run.scorers
    for result in finish_shards(run, _take_waiting(waiting, stopped)):
        tell(Told(result=result))


def _take_waiting(waiting: Queue[Job | None], stopped: Event) -> Iterator[Job | None]:
    while not stopped.is_set():
        try:
            job = waiting.get(timeout=TAKE_SECONDS)
        except Empty:
            yield None
            continue
        if job is None:
            return
        yield job
