"""Makes shards on this machine: the model in this process, joining and scoring in others, so that neither waits.

The model generates shard k + 1 while a worker joins the parts of shard k and scores it. At most a few shards wait; then
the model waits too. On a machine with several GPUs, each has a process with a model of its own. What a file holds does
not depend on any of this. Ctrl-C ends after the shard in flight, a second one at once. Workers die with this process,
however it dies. See it: `datagen build --workers 2 --models 2`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue
from types import FrameType

from datagen import notices
from datagen.errors import RunError
from datagen.pipeline import Execute, Job, Ledger, Run, ShardResult, finish_shard, generate_shard

MOST_WORKERS = 8
WAITING_SHARDS = 2
"""Drawn shards that may wait for a worker, beyond one for each worker."""


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """Return one worker for each core but one, at least 1 and at most 8."""
    return max(1, min(MOST_WORKERS, count_cores() - 1))


def list_devices(models: int | None = None) -> list[str]:
    """Return what `CUDA_VISIBLE_DEVICES` each model process gets: one for each GPU, or `models` in turn over them.

    Empty means one model in this process: what a machine with at most one GPU gets unless `models` asks for more.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        import torch

        gpus = [str(k) for k in range(torch.cuda.device_count())]
    else:
        gpus = [name.strip() for name in given.split(",") if name.strip()]
    count = len(gpus) if models is None else models
    return [gpus[k % len(gpus)] if gpus else "" for k in range(count)] if count > 1 else []


def make_runner(workers: int | None = None, models: int | None = None) -> Execute:
    """Return the runner with a number of scoring processes and of models, by default one for each GPU.

    `workers` 0 does everything here, one after the other, with one model.
    """
    count = default_workers() if workers is None else workers

    def execute(run: Run, jobs: Sequence[Job], ledger: Ledger) -> None:
        devices = list_devices(models) if count and any(job.draw for job in jobs) else []
        with _catch_interrupt(ledger) as stopped:
            if devices:
                _run_spread(run, jobs, ledger, stopped, count, devices)
            elif count:
                _run_overlapped(run, jobs, ledger, stopped, count)
            else:
                _run_plainly(run, jobs, ledger, stopped)
        if stopped.is_set():
            raise KeyboardInterrupt

    return execute


def _run_plainly(run: Run, jobs: Sequence[Job], ledger: Ledger, stopped: threading.Event) -> None:
    for job in jobs:
        if stopped.is_set():
            return
        if job.draw:
            generate_shard(run, job, ledger.count_sample)
        ledger.count_shard(finish_shard(run, job))


def _run_overlapped(run: Run, jobs: Sequence[Job], ledger: Ledger, stopped: threading.Event, workers: int) -> None:
    """Generate here, finish in workers; results are taken in as they come, in this thread."""
    waiting: set[Future[ShardResult]] = set()
    with open_pool(run, workers) as pool:
        warm = pool.submit(_warm_up) if any(job.score for job in jobs) else None
        for job in jobs:
            if stopped.is_set():
                break
            if job.draw:
                generate_shard(run, job, ledger.count_sample)
            waiting.add(pool.submit(_finish, job))
            # A worker that cannot even load the scorers says so now, and not after the last shard.
            if warm is not None and warm.done():
                warm.result()
            waiting = _collect(waiting, ledger, workers + WAITING_SHARDS)
        _collect(waiting, ledger, 0)


def _run_spread(
    run: Run, jobs: Sequence[Job], ledger: Ledger, stopped: threading.Event, workers: int, devices: Sequence[str]
) -> None:
    """Generate in one process a device, finish in workers; pictures pass from one to the other on disk alone."""
    generating: dict[Future[_Told], Job] = {}
    waiting: set[Future[ShardResult]] = set()
    rest = iter(jobs)
    with open_pool(run, len(devices), devices) as models, open_pool(run, workers) as pool:
        while True:
            while not stopped.is_set() and len(generating) < 2 * len(devices) and (job := next(rest, None)):
                if job.draw:
                    generating[models.submit(_generate, job)] = job
                else:
                    waiting.add(pool.submit(_finish, job))
            if stopped.is_set():
                generating = {future: job for future, job in generating.items() if not future.cancel()}
            if not generating:
                break
            for future in wait(generating, return_when=FIRST_COMPLETED).done:
                _take_in(future, ledger)
                waiting.add(pool.submit(_finish, generating.pop(future)))
            waiting = _collect(waiting, ledger, workers + WAITING_SHARDS)
        _collect(waiting, ledger, 0)


def _take_in(future: Future[_Told], ledger: Ledger) -> None:
    """Count what a model process generated; raises RunError if that process died."""
    try:
        failed, told = future.result()
    except BrokenProcessPool as error:
        hint = "out of memory? see the log of the engine; finished shards are kept"
        raise RunError("a model process was killed", where=str(ledger.run.folder), hint=hint) from error
    ledger.tell(told)
    for each in failed:
        ledger.count_sample(each)


def _collect(waiting: set[Future[ShardResult]], ledger: Ledger, most: int) -> set[Future[ShardResult]]:
    """Take in the shards that are finished, and wait until at most `most` are not; return these."""
    while True:
        finished, waiting = wait(waiting, timeout=None if len(waiting) > most else 0, return_when=FIRST_COMPLETED)
        try:
            for future in finished:
                ledger.count_shard(future.result())
        except BrokenProcessPool as error:
            hint = "out of memory? try --workers 1 or a smaller shard_prompts; finished shards are kept"
            raise RunError("a scoring process was killed", where=str(ledger.run.folder), hint=hint) from error
        if len(waiting) <= most:
            return waiting


@contextmanager
def open_pool(run: Run, workers: int, devices: Sequence[str] = ()) -> Iterator[ProcessPoolExecutor]:
    """Open workers that end when this process ends: they hang on a pipe that nobody writes to, and its end is theirs.

    With `devices`, each worker takes one of them and sees no other GPU. After an error, shards already handed over are
    finished; after a second Ctrl-C nothing is.
    """
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    names = context.SimpleQueue()
    for device in devices:
        names.put(device)
    given = (run, theirs, names if devices else None, max(1, count_cores() // workers))
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=given)
    try:
        yield pool
    except KeyboardInterrupt:
        ours.close()
        raise
    finally:
        pool.shutdown(wait=True)
        ours.close()
        theirs.close()


@contextmanager
def _catch_interrupt(ledger: Ledger) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, and let the second one through."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stopped.set()
        ledger.watch.say("stopping after the shard in flight; Ctrl-C again stops at once")

    before = signal.signal(signal.SIGINT, ask_to_stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


_run: Run | None = None
"""The run of this worker process."""


def _start_worker(run: Run, line: Connection, devices: SimpleQueue[str] | None, threads: int) -> None:
    global _run
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # else each would keep all cores busy
    if devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices.get()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
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


_Told = tuple[list[bool], tuple[str, ...]]
"""Whether each answer failed that a model process asked for, and what it has to tell."""


def _generate(job: Job) -> _Told:
    failed: list[bool] = []
    generate_shard(_worker_run(), job, failed.append)
    return failed, notices.take()


def _finish(job: Job) -> ShardResult:
    return replace(finish_shard(_worker_run(), job), notices=notices.take())
