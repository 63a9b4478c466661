"""Local runner: the model in this process, joining and scoring in worker processes, so that neither waits.

Requests flow through the model from shard to shard (`pipeline.flow`); a worker joins the parts of a finished shard and
scores it. With several GPUs, each has a process with its own model. The files do not depend on any of this. Ctrl-C
keeps what the model has answered and finishes what is being scored, a second Ctrl-C stops at once. Workers exit when
this process ends, even if it is killed. Try `datagen build --workers 2 --models 2`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from types import FrameType

from datagen import notices
from datagen.errors import DatagenError, Paused, RunError
from datagen.pipeline import Budget, Execute, Job, Ledger, Meter, Run, ShardResult, finish_shard, generate_shards

MOST_WORKERS = 8
M_MMAP_THRESHOLD, LARGE_BYTES = -3, 1 << 18
"""glibc's number of the setting (malloc.h), and the size from which memory goes back to the system when it is free."""
LOOK_SECONDS = 0.2
"""How often finished shards are counted."""


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
    if given is None:
        import torch

        gpus = [str(k) for k in range(torch.cuda.device_count())]
    else:
        gpus = [name.strip() for name in given.split(",") if name.strip()]
    count = len(gpus) if models is None else models
    return [gpus[k % len(gpus)] if gpus else "" for k in range(count)] if count > 1 else []


def make_runner(workers: int | None = None, models: int | None = None, budget: Budget | None = None) -> Execute:
    """Return a runner with a number of scoring processes and of models (default: one per GPU).

    With `workers` 0, one model does everything sequentially in this process. When the `budget` is spent, the runner
    waits for what is in flight and raises Paused if anything is left.
    """
    count = default_workers() if workers is None else workers
    _give_memory_back()
    meter = Meter(budget or Budget(), get_context("spawn").Value("q", 0))

    def execute(run: Run, jobs: Sequence[Job], ledger: Ledger) -> None:
        devices = list_devices(models) if count and any(job.draw for job in jobs) else []
        with _catch_interrupt(ledger) as stopped:
            if devices:
                _run_spread(run, jobs, ledger, stopped, meter, count, devices)
            elif count:
                _run_overlapped(run, jobs, ledger, stopped, meter, count)
            else:
                _run_plainly(run, jobs, ledger, stopped, meter)
        if stopped.is_set():
            raise KeyboardInterrupt
        if budget is not None and meter.is_spent() and ledger.drawn < ledger.total:
            raise Paused(f"paused at {budget.describe()}: {ledger.drawn:,} of {ledger.total:,} samples are generated")

    return execute


def _run_plainly(run: Run, jobs: Sequence[Job], ledger: Ledger, stopped: threading.Event, meter: Meter) -> None:
    for job in jobs:
        if not job.draw and not stopped.is_set():
            ledger.count_shard(finish_shard(run, job))
    for done in generate_shards(run, _drawn(jobs), ledger.count_sample, stopped.is_set, meter.may_ask):
        if done is not None:
            ledger.count_shard(finish_shard(run, done))


def _run_overlapped(
    run: Run, jobs: Sequence[Job], ledger: Ledger, stopped: threading.Event, meter: Meter, workers: int
) -> None:
    """Generate in this process, finish in workers; results are counted in this thread as they come."""
    with open_pool(run, workers) as pool:
        finishing = _Finishing(pool, ledger, stopped)
        finishing.warm_up(jobs)
        for done in generate_shards(run, _drawn(jobs), ledger.count_sample, stopped.is_set, meter.may_ask):
            finishing.add(done)
        finishing.wait()


def _run_spread(
    run: Run,
    jobs: Sequence[Job],
    ledger: Ledger,
    stopped: threading.Event,
    meter: Meter,
    workers: int,
    devices: Sequence[str],
) -> None:
    """Generate in one process per device, finish in workers; pictures pass from one to the other on disk alone."""
    with open_pool(run, workers) as pool, _open_models(run, list(_drawn(jobs)), meter, devices) as models:
        finishing = _Finishing(pool, ledger, stopped)
        finishing.warm_up(jobs)
        for told in models.listen(stopped):
            ledger.tell(told.notices)
            for failed in told.failed:
                ledger.count_sample(failed)
            finishing.add(told.done)
        finishing.wait()


def _drawn(jobs: Iterable[Job]) -> Iterator[Job]:
    return (job for job in jobs if job.draw)


class _Finishing:
    """Shards in the scoring processes: only their numbers wait here, however many there are."""

    def __init__(self, pool: ProcessPoolExecutor, ledger: Ledger, stopped: threading.Event) -> None:
        self._pool, self._ledger, self._stopped = pool, ledger, stopped
        self._waiting: set[Future[ShardResult]] = set()
        self._warm: Future[None] | None = None
        self._looked = 0.0

    def warm_up(self, jobs: Sequence[Job]) -> None:
        """Load the scorers, and begin with the shards that are generated already."""
        if any(job.score for job in jobs):
            self._warm = self._pool.submit(_warm_up)
        for job in jobs:
            if not job.draw:
                self.add(job)

    def add(self, job: Job | None) -> None:
        """Take a generated shard, and count what is finished by now."""
        if job is not None:
            self._waiting.add(self._pool.submit(_finish, job))
            self._ledger.check_failures()
        now = time.monotonic()
        if now - self._looked > LOOK_SECONDS:
            self._looked = now
            # Raises now if a worker cannot load the scorers, instead of after the last shard.
            if self._warm is not None and self._warm.done():
                self._warm.result()
            self._count(0)

    def wait(self) -> None:
        """Wait until all shards are finished; when stopped, only for those that a worker has begun."""
        while self._waiting:
            if self._stopped.is_set():
                self._waiting = {future for future in self._waiting if not future.cancel()}
            self._count(LOOK_SECONDS)

    def _count(self, seconds: float) -> None:
        finished, self._waiting = wait(self._waiting, timeout=seconds, return_when=FIRST_COMPLETED)
        try:
            for future in finished:
                self._ledger.count_shard(future.result())
        except BrokenProcessPool as error:
            hint = "out of memory? try --workers 1 or a smaller shard_prompts; finished shards are kept"
            raise RunError("a scoring process was killed", where=str(self._ledger.run.folder), hint=hint) from error


@dataclass(frozen=True, slots=True)
class _Told:
    """A message of a model process: whether each answer since the last one failed, a shard that is done, an error."""

    failed: tuple[bool, ...]
    done: Job | None = None
    notices: tuple[str, ...] = ()
    error: Exception | None = None


@contextmanager
def _open_models(run: Run, jobs: Sequence[Job], meter: Meter, devices: Sequence[str]) -> Iterator[_Models]:
    """Start one process per device; they end with this one, after a second Ctrl-C at once."""
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    models = _Models(str(run.folder), {}, context.Event())
    taken, threads = context.Value("q", 0), max(1, count_cores() // len(devices))
    try:
        for device in devices:
            reader, writer = context.Pipe(duplex=False)
            given = (run, theirs, device, threads, jobs, meter, taken, models.stopped, writer)
            process: BaseProcess = context.Process(target=_generate_on, args=given)
            process.start()
            writer.close()  # else its end could not be seen
            models.processes[reader] = process
        yield models
    except KeyboardInterrupt:
        ours.close()
        raise
    finally:
        models.stopped.set()
        for process in models.processes.values():
            process.join()
        ours.close()
        theirs.close()


@dataclass(slots=True)
class _Models:
    """One process for each device by the pipe through which it tells what it did, and the event that stops them."""

    where: str
    processes: dict[Connection, BaseProcess]
    stopped: Event

    def listen(self, stopped: threading.Event) -> Iterator[_Told]:
        """Yield what the processes tell until all have ended, an empty message when they tell nothing for a while."""
        while self.processes:
            if stopped.is_set():
                self.stopped.set()
            for reader in wait_for_any(list(self.processes), timeout=LOOK_SECONDS):
                assert isinstance(reader, Connection)
                try:
                    told = reader.recv()
                except EOFError:
                    process = self.processes.pop(reader)
                    process.join()
                    if process.exitcode:
                        hint = "out of memory? see the log of the engine; what it answered before is kept"
                        raise RunError("a model process was killed", where=self.where, hint=hint) from None
                    continue
                if told.error is not None:
                    raise told.error
                yield told
            yield _Told(())


@contextmanager
def open_pool(run: Run, workers: int) -> Iterator[ProcessPoolExecutor]:
    """Open worker processes that exit with this process: each waits for the end of a pipe that is never written to.

    After an error, shards that a worker has begun are finished; after a second Ctrl-C they are not.
    """
    # CUDA and running threads do not survive a fork.
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    given = (run, theirs, max(1, count_cores() // workers))
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=given)
    try:
        yield pool
    except KeyboardInterrupt:
        ours.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        ours.close()
        theirs.close()


@contextmanager
def _catch_interrupt(ledger: Ledger) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event; the second one interrupts as usual."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stopped.set()
        ledger.watch.say("stopping: what the model has answered is kept; Ctrl-C again stops at once")

    before = signal.signal(signal.SIGINT, ask_to_stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _give_memory_back() -> None:
    """Let the memory of pictures go back to the system as soon as it is free.

    glibc would raise the size from which it does to that of the largest picture, up to 32 MB, and keep the rest.
    """
    with suppress(OSError, AttributeError):  # other C libraries have no such setting
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


_run: Run | None = None
"""The run of this worker process."""


def _start_worker(run: Run, line: Connection, threads: int) -> None:
    global _run
    _give_memory_back()
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # else each worker would use all cores
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; only the parent handles it
    _run = run
    notices.collect()
    threading.Thread(target=_end_with_parent, args=(line,), daemon=True).start()


def _end_with_parent(line: Connection) -> None:
    with suppress(EOFError, OSError):
        line.recv_bytes()
    os._exit(1)


def _worker_run() -> Run:
    assert _run is not None, "a worker without a run"
    return _run


def _warm_up() -> None:
    _ = _worker_run().tools, _worker_run().scorers


def _generate_on(
    run: Run,
    line: Connection,
    device: str,
    threads: int,
    jobs: Sequence[Job],
    meter: Meter,
    taken: Synchronized[int],
    stopped: Event,
    writer: Connection,
) -> None:
    """Generate shards in this process with the model on one GPU, the next one that no other process has taken."""
    os.environ["CUDA_VISIBLE_DEVICES"] = device
    _start_worker(run, line, threads)
    failed: list[bool] = []
    try:
        for done in generate_shards(run, _take_turns(jobs, taken), failed.append, stopped.is_set, meter.may_ask):
            writer.send(_Told(tuple(failed), done, notices.take()))
            failed.clear()
    except (DatagenError, OSError, ValueError) as error:  # raised again by the parent
        writer.send(_Told(tuple(failed), error=error))
    writer.close()


def _take_turns(jobs: Sequence[Job], taken: Synchronized[int]) -> Iterator[Job]:
    while True:
        with taken.get_lock():
            number = taken.value
            taken.value += 1
        if number >= len(jobs):
            return
        yield jobs[number]


def _finish(job: Job) -> ShardResult:
    return replace(finish_shard(_worker_run(), job), notices=notices.take())
