"""Ray runner: models in actors, joining and scoring in tasks or actors, on all nodes that see the run folder.

The driver, which is the process of the command, hands out stretches of shards: a few prompts, so that a slow node never
holds the end up. A model gets as many ahead as keep its engine full. Its answers go into parts of the run folder, from
where a shard is joined and scored when all of its stretches are done: by a task, or by an actor that goes on with other
shards while its judge answers. Placement, autoscaling and restarts are Ray's.

Whatever is lost, a node, an actor, the driver itself, costs the answers that were in flight: a stretch is handed out
anew and asks for what is in no part. Nothing is written that depends on who did the work, so the files are those of one
process. Nodes need the same versions of the packages that read pictures and run models; datagen itself and modules of
the user's own travel with the run.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import datagen
from datagen import notices
from datagen.config import Cluster, Resources
from datagen.errors import ConfigError, DatagenError, RunError, first_line
from datagen.interrupts import Interrupted
from datagen.pipeline import (
    Execute,
    Job,
    Ledger,
    Run,
    ShardResult,
    finish_shard,
    finish_shards,
    generate_shards,
    list_code,
    list_here,
    read_versions,
)
from datagen.pipeline.parts import LONGEST_REST as SHORTER_REST
from datagen.pipeline.shards import MOST_BEGUN
from datagen.pipeline.work import count_prompts
from datagen.runners.local import catch_interrupt
from datagen.runners.processes import Told, give_memory_back
from datagen.runners.worker_logs import WorkerLogs, keep_logs

FIRST_AHEAD, MOST_AHEAD = 2, 32
"""Stretches that a model is given at first, and at most; one more each time that it had to wait for one."""
SCORED_AHEAD = 2 * MOST_BEGUN
"""Shards that a scoring actor is given at a time: those that it has begun, and as many."""
THREADS = MOST_AHEAD + 4
"""Calls that an actor answers at a time: what it was given, and questions how far it is."""
PARTS_A_SECOND = 100
"""Parts that all models together write in a second at most, as far as a pause of `LONGEST_REST` allows."""
LONGEST_REST = 10.0
"""Seconds between two parts of a model, at most, however many there are."""
LOOK_SECONDS = 0.1
"""How long the driver waits for something to happen."""
TELL_SECONDS, TOLD_A_SECOND = 1.0, 100
"""How often models are asked how far they are; those of a large fleet more rarely, so many of them a second."""
LEAST_STRETCH, MOST_STRETCH, STRETCH_SECONDS = 16, 64, 60.0
"""Samples of a stretch, at least and at most, unless the recipe says it: what a model makes in so many seconds."""
LAST_SHARE = 4
"""Towards the end a stretch is at most this part of what is left for each model."""
REST_SECONDS = (1.0, 20.0)
"""How long nothing is given to an actor that was lost: at first, and at most, doubled each time."""
HEAD_SECONDS = 10.0
"""How late an answer of the head is worth a word: without one for a minute, Ray 2.60.0 ends the driver."""
HEAD_LOST = (
    "the head of the cluster does not answer; if it is gone Ray ends this command soon, and the same one goes on"
)
DEATHS = 8
"""So many losses of a model without an answer in between are the model's own fault."""
MORE_TASKS = 8
"""Scoring tasks that are given to Ray at a time, beyond its processors: some that wait make a cluster grow."""
STOP_SECONDS = 15.0
"""How long models may take to write what they have when the run is stopped."""
TASK_RETRIES = 16
"""How often Ray begins a scoring task anew whose node or process was lost."""
INBOX_SECONDS = 0.05
NO_CLUSTER = "`ray start --head` begins one; one that wants tokens is reached with RAY_AUTH_MODE=token"


def make_ray_runner(
    address: str | None = None, models: int | None = None, gpus_per_model: float | None = None
) -> Execute:
    """Return a runner on a Ray cluster at an address (`auto`: the one this machine is part of), else on this machine.

    Resources are those of the recipe's `cluster`; `models` and `gpus_per_model` replace what it says.
    """

    def execute(run: Run, jobs: Sequence[Job], ledger: Ledger) -> None:
        if here := list_here(run.recipe):
            what = f"no other machine can import {', '.join(here)}, which a notebook or script defines"
            raise ConfigError(what, where=str(run.folder), hint="move it to a module of its own")
        cluster = run.recipe.cluster or Cluster()
        if models is not None:
            cluster = cluster.model_copy(update={"models": models})
        if gpus_per_model is not None:
            changed = cluster.model.model_copy(update={"num_gpus": gpus_per_model})
            cluster = cluster.model_copy(update={"model": changed})
        with (
            catch_interrupt(ledger) as stopped,
            _connect(run, address) as is_ours,
            keep_logs(run.folder, quiet=is_ours) as logs,
            _Drive(run, jobs, ledger, cluster, logs) as drive,
        ):
            drive.work(stopped)
        if stopped.is_set():
            raise Interrupted

    return execute


@contextmanager
def _connect(run: Run, address: str | None) -> Iterator[bool]:
    """Connect to a cluster, or start one on this machine; yields whether it did, since one that is there is left."""
    import ray

    if ray.is_initialized():
        yield False
        return
    code = [str(Path(datagen.__file__).parent), *map(str, list_code(run.recipe))]
    given = address or os.environ.get("RAY_ADDRESS")
    # Without `local`, Ray 2.60.0 looks for a cluster that was begun on this machine, and waits for one that is dead.
    alone = {"address": "local", "include_dashboard": False}  # everybody sees the same files
    about = {"address": given, "runtime_env": {"py_modules": code}} if given else alone
    try:
        ray.init(logging_level=logging.WARNING, **about)
    except (ConnectionError, ValueError, RuntimeError) as error:
        what = f"no Ray cluster answers ({str(error).splitlines()[0]})"
        raise RunError(what, where=str(given or "here"), hint=NO_CLUSTER) from error
    try:
        yield True
    finally:
        ray.shutdown()


# ── In the driver ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Actor:
    """A model or scorer on some node: the jobs that it has, and until when it rests after a loss (monotonic clock)."""

    handle: Any
    role: Literal["model", "scoring"]
    ahead: int
    jobs: int = 0
    rests_until: float = 0.0
    rest: float = REST_SECONDS[0]
    deaths: int = 0
    is_ready: bool = False
    """Whether it has said hello since it began or was lost: calls to one that Ray cannot place would wait for ever."""
    is_greeted: bool = False
    is_telling: bool = False


class _Drive:
    """One call of a run on a cluster: hands out stretches and shards, and counts what comes back, in one thread."""

    def __init__(self, run: Run, jobs: Sequence[Job], ledger: Ledger, cluster: Cluster, logs: WorkerLogs) -> None:
        import ray

        self._ray, self._ledger, self._cluster, self._logs = ray, ledger, cluster, logs
        self._here = str(run.folder)
        address = run.folder.address if not run.folder.is_local else str(Path(run.folder.address).absolute())
        self._run = Run(run.recipe, address, run.folder.marks)
        given = _Given(self._run, os.getcwd(), read_versions(), longest_rest(cluster.models))
        self._value, self._given = given, ray.put(given)
        """For actors by value, since one that is begun anew may outlive a node with the object; for tasks once."""
        self._drawn = [job for job in jobs if job.draw]
        self._begun = set(run.folder.list_open())
        self._stretches = self._cut()
        self._fresh: Job | None = None
        self._answers, self._drawing_seconds = 0, 0.0
        """What models have answered, and for how long they have had something to do, all together."""
        self._looked = time.monotonic()
        self._rest = 0
        """Prompts of which no stretch was cut yet."""
        self._returned: deque[Job] = deque()
        """Stretches that were lost with an actor."""
        self._left: dict[int, int] = {}
        """Stretches that are not done, by shard."""
        self._whole: dict[int, Job] = {}
        self._waiting: deque[Job] = deque(job for job in jobs if not job.draw)
        """Shards that can be finished and are not given to anybody yet."""
        self._calls: dict[Any, tuple[str, _Actor | None, Job | None]] = {}
        """What is under way: `do`, `hello` or `tell` of an actor, or a task that does a job."""
        self._models: list[_Actor] = []
        self._scorers: list[_Actor] = []
        self._finishing = 0
        """Shards that were given to a task or an actor and are not finished."""
        self._told, self._processors = 0.0, 1
        self._is_over = threading.Event()

    def __enter__(self) -> _Drive:
        ray, cluster = self._ray, self._cluster
        lasting = {"max_restarts": -1, "max_concurrency": THREADS}
        if self._drawn:
            model = ray.remote(**_options(cluster.model), **lasting)(_Model)
            self._models = [_Actor(model.remote(self._value), "model", FIRST_AHEAD) for _ in range(cluster.models)]
        scorer = ray.remote(**_options(cluster.scorer), **lasting)(_Scorer)
        self._scorers = [_Actor(scorer.remote(self._value), "scoring", SCORED_AHEAD) for _ in range(cluster.scorers)]
        self._finish = ray.remote(**_options(cluster.scorer), max_retries=TASK_RETRIES)(_finish)
        threading.Thread(target=self._count_processors, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._end(self._models)
        self._end(self._scorers)

    def work(self, stopped: threading.Event) -> None:
        """Do all jobs; when stopped or over budget, keep what the models have and what tasks have begun."""
        meter = self._ledger.account.meter
        with self._ledger.account.hold(len(self._models)):
            while not stopped.is_set():
                if not (is_over := meter.is_over()):
                    self._hand_out()
                if self._models and not self._is_generating:
                    self._dismiss_models()
                if not (self._models or self._finishing or (self._waiting and not is_over)):
                    return
                self._listen(LOOK_SECONDS)
            self._stop_models()
            for actor in self._scorers:
                actor.handle.stop.remote()
            while self._finishing:
                self._listen(LOOK_SECONDS)

    @property
    def _is_generating(self) -> bool:
        """Whether a model has, or will be given, something to do."""
        if any(actor.jobs for actor in self._models):
            return True
        return not self._ledger.account.meter.is_over() and self._peek() is not None

    def _peek(self) -> Job | None:
        """Return the stretch that is handed out next, None if there is none, or none that the budget allows."""
        if self._returned:
            return self._returned[0]  # it was counted when it was handed out first
        if self._fresh is None:
            self._fresh = next(self._stretches, None)
        return None if self._ledger.account.meter.is_spent() else self._fresh

    def _take_stretch(self) -> Job | None:
        job = self._peek()
        if self._returned:
            return self._returned.popleft()
        if job is None or not self._ledger.account.meter.may_ask(job.samples):
            return None
        self._fresh = None
        return job

    def _cut(self) -> Iterator[Job]:
        """Yield the stretches of all shards in order."""
        plan = self._run.read_plan()
        counts = {job.shard: count_prompts(self._run, plan, job.shard) for job in self._drawn}
        self._rest = sum(counts.values())
        for job in self._drawn:
            prompts = counts[job.shard]
            candidates = max(1, -(-job.samples // prompts))
            is_new = job.shard not in self._begun and not job.keeps
            size = self._cluster.stretch or choose_stretch(self._answers, self._drawing_seconds)
            bounds = cut_prompts(prompts, max(1, size // candidates), self._rest, self._cluster.models)
            self._left[job.shard], self._whole[job.shard] = len(bounds), job
            for first, last in bounds:
                self._rest -= last - first
                samples = job.samples * last // prompts - job.samples * first // prompts
                yield replace(job, prompts=(first, last), samples=samples, is_new=is_new)

    def _hand_out(self) -> None:
        """Give each model, and each scorer or free processor, something to do."""
        now, actors = time.monotonic(), (*self._models, *self._scorers)
        self._drawing_seconds += (now - self._looked) * sum(actor.is_ready and actor.jobs > 0 for actor in self._models)
        self._looked = now
        for actor in actors:
            if not actor.is_ready and not actor.is_greeted and actor.rests_until <= now:
                actor.is_greeted = True
                self._call("hello", actor)
        self._give(self._models, self._take_stretch)
        if now - self._told > max(TELL_SECONDS, len(actors) / TOLD_A_SECOND):
            self._told = now
            for actor in actors:
                if actor.is_ready and not actor.is_telling:
                    actor.is_telling = True
                    self._call("tell", actor)
        if self._scorers:
            self._finishing += self._give(self._scorers, lambda: self._waiting.popleft() if self._waiting else None)
        while self._waiting and not self._scorers and self._finishing < self._processors + MORE_TASKS:
            self._finishing += 1
            self._call("do", None, self._waiting.popleft())

    def _count_processors(self) -> None:
        """Ask the head now and then, in a thread of its own, and tell when it is silent: then all calls may wait."""
        while not self._is_over.wait(TELL_SECONDS):
            late = threading.Timer(HEAD_SECONDS, notices.tell_once, [HEAD_LOST])
            late.daemon = True
            late.start()
            with suppress(self._ray.exceptions.RayError, OSError):
                self._processors = int(self._ray.cluster_resources().get("CPU", 1))
            late.cancel()

    def _give(self, actors: Sequence[_Actor], take: Callable[[], Job | None]) -> int:
        """Give actors jobs in rounds, so that each has one before any has two; return how many."""
        given = 0
        while free := [actor for actor in actors if self._has_room(actor)]:
            fewest = min(actor.jobs for actor in free)
            for actor in free:
                if actor.jobs > fewest:
                    continue
                if (job := take()) is None:
                    return given
                actor.jobs += 1
                given += 1
                self._call("do", actor, job)
        return given

    def _has_room(self, actor: _Actor) -> bool:
        """Return whether an actor is given more; towards the end a model that never waited has one stretch at most."""
        is_near = actor.ahead == FIRST_AHEAD and self._rest <= 2 * len(self._models)
        return actor.is_ready and actor.jobs < (1 if is_near else actor.ahead)

    def _call(self, what: str, actor: _Actor | None, job: Job | None = None) -> None:
        if actor is None:
            ref = self._finish.remote(self._given, job)
        else:
            ref = getattr(actor.handle, what).remote(*([] if job is None else [job]))
        self._calls[ref] = what, actor, job

    def _listen(self, seconds: float) -> None:
        """Take in what has come back, and what workers print. Raises what a model or a scorer raised."""
        self._logs.write()
        if not self._calls:
            time.sleep(seconds)
            return
        for ref in self._ray.wait(list(self._calls), num_returns=len(self._calls), timeout=seconds)[0]:
            what, actor, job = self._calls.pop(ref)
            try:
                told: Told = self._ray.get(ref)
            except self._ray.exceptions.RayActorError as error:
                assert actor is not None
                self._lose(what, actor, job, error)
                continue
            except (self._ray.exceptions.RaySystemError, self._ray.exceptions.WorkerCrashedError) as error:
                hint = "out of memory? give `cluster: {scorer: …}` more of it; finished shards are kept"
                raise RunError("a scoring process was killed", where=self._here, hint=hint) from error
            self._take(what, actor, job, told)

    def _take(self, what: str, actor: _Actor | None, job: Job | None, told: Told) -> None:
        if told.error is not None:
            raise told.error
        ledger = self._ledger
        self._answers += len(told.failed)
        ledger.tell(told.notices)
        ledger.account.add(told.usage)
        for failed in told.failed:
            ledger.count_sample(failed)
        if actor is not None:
            if what == "hello":
                actor.is_ready, actor.is_greeted = True, False
            if what == "tell":
                actor.is_telling = False
            if told.failed or told.result is not None:
                actor.deaths, actor.rest = 0, REST_SECONDS[0]
            if actor.role == "model" and actor.jobs:
                actor.ahead = min(MOST_AHEAD, actor.ahead + told.has_waited)
            actor.jobs -= what == "do"
        if job is None:
            return
        if actor is None or actor.role == "scoring":
            self._finishing -= 1
            if told.result is not None:  # else it was stopped before it began
                ledger.count_shard(told.result)
            return
        self._left[job.shard] -= 1
        if not self._left[job.shard]:
            del self._left[job.shard]
            self._waiting.append(self._whole.pop(job.shard))
            ledger.check_failures()

    def _lose(self, what: str, actor: _Actor, job: Job | None, error: Exception) -> None:
        """Take in that an actor is gone for now: Ray begins it anew, and its jobs are handed out again."""
        if actor.is_ready or what == "hello":  # the first of its calls that fails
            actor.is_ready, actor.deaths = False, actor.deaths + 1
            actor.rests_until = time.monotonic() + actor.rest
            actor.rest = min(2 * actor.rest, REST_SECONDS[1])
            self._logs.say(f"a {actor.role} process was lost: {first_line(error)}")
            notices.tell_once(f"a {actor.role} process was lost (see logs/); what it had in flight is asked again")
        if actor.deaths >= DEATHS:
            hint = "out of memory? see logs/ there; what was answered is kept"
            what = f"a {actor.role} process was killed {DEATHS} times without an answer"
            raise RunError(what, where=self._here, hint=hint)
        if job is not None:
            actor.jobs -= 1
            if actor.role == "model":
                self._returned.appendleft(replace(job, is_new=False))
            else:
                self._finishing -= 1
                self._waiting.appendleft(job)
        elif what == "tell":
            actor.is_telling = False
        else:
            actor.is_greeted = False

    def _stop_models(self) -> None:
        """Let the models write what they have, count it, and end them."""
        refs = [actor.handle.stop.remote() for actor in self._models if actor.is_ready]
        for ref in self._ray.wait(refs, num_returns=len(refs), timeout=STOP_SECONDS)[0] if refs else ():
            with suppress(self._ray.exceptions.RayError):
                told: Told = self._ray.get(ref)
                self._ledger.account.add(told.usage)
                for failed in told.failed:
                    self._ledger.count_sample(failed)
        self._dismiss_models()

    def _dismiss_models(self) -> None:
        """End the models, so that their nodes can go."""
        self._end(self._models)
        self._calls = {ref: call for ref, call in self._calls.items() if call[1] is None or call[1].role == "scoring"}
        self._models = []

    def _end(self, actors: Sequence[_Actor]) -> None:
        for actor in actors:
            self._ray.kill(actor.handle)


def choose_stretch(answers: int, seconds: float) -> int:
    """Return the samples of a stretch, by what models have answered in so many seconds of work, all together."""
    known = answers * STRETCH_SECONDS / seconds if seconds else 0.0
    return round(min(MOST_STRETCH, max(LEAST_STRETCH, known)))


def longest_rest(models: int) -> float:
    """Return the seconds between two parts of a model, at most: a fleet writes about `PARTS_A_SECOND`."""
    return min(LONGEST_REST, max(SHORTER_REST, models / PARTS_A_SECOND))


def cut_prompts(prompts: int, size: int, rest: int, models: int) -> list[tuple[int, int]]:
    """Return the stretches of a shard, each as its first prompt and the one behind the last.

    They have `size` prompts, and fewer when the `rest` of the run, this shard included, is not four of them for each
    model: so all models end at about the same time.
    """
    bounds, first = list[tuple[int, int]](), 0
    while first < prompts:
        behind = min(prompts, first + max(1, min(size, (rest - first) // (LAST_SHARE * models))))
        bounds.append((first, behind))
        first = behind
    return bounds


def _options(resources: Resources) -> dict[str, Any]:
    """Return what Ray is told about an actor or a task."""
    return {name: value for name, value in resources.model_dump().items() if value not in (None, {})}


# ── On the nodes ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Given:
    """What travels to every node: the run, the folder of the command, its versions of packages, the pause of parts."""

    run: Run
    folder: str
    versions: Mapping[str, str]
    rest: float

    def arrive(self) -> None:
        """Make this process ready: relative paths and modules are found, and notices are kept for the driver."""
        devices = os.environ.get("CUDA_VISIBLE_DEVICES") or "none"
        print(f"datagen on {socket.gethostname()}, process {os.getpid()}, GPUs: {devices}", flush=True)
        with suppress(OSError):  # a node may not have that folder
            os.chdir(self.folder)
        if self.folder not in sys.path:
            sys.path.append(self.folder)
        give_memory_back()
        notices.collect()

    def find_difference(self) -> RunError | None:
        """Return the error of a node whose packages would make other files; datagen itself travels with the run."""
        here = read_versions()
        for name, version in self.versions.items():
            if name != "datagen" and here.get(name) != version:
                what = f"node {socket.gethostname()} has {name} {here.get(name, 'not at all')}, the driver {version}"
                return RunError(what, hint="give all nodes one image: these packages read pictures and run models")
        return None


class _Worker(ABC):
    """An actor whose thread goes through the jobs that it is given, in one flow."""

    def __init__(self, given: _Given) -> None:
        given.arrive()
        self._given, self._run = given, given.run
        self._inbox: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._open: dict[tuple[int, Any], _Call] = {}
        self._failed: list[bool] = []
        self._has_waited = False
        self._stopped = threading.Event()
        self._error: Exception | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def hello(self) -> Told:
        """Say that it is there; the error of a node that would make other files."""
        return Told(error=self._given.find_difference())

    def do(self, job: Job) -> Told:
        """Do a job; one that it was given before and still has is waited for."""
        name = job.shard, job.prompts
        with self._lock:
            is_here = name in self._open
            call = self._open.setdefault(name, _Call())
        if not is_here:
            self._inbox.put(job)
        while not call.done.wait(1.0) and self._thread.is_alive():
            pass
        if self._error is not None:
            return Told(error=self._error)
        if not call.done.is_set() and not self._stopped.is_set():
            return Told(error=RunError("a process of the run ended in the middle", where=str(self._run.folder)))
        return replace(self.tell(), result=call.result)

    def tell(self) -> Told:
        """Return what happened since the last time."""
        with self._lock:
            failed, self._failed = tuple(self._failed), []
            has_waited, self._has_waited = self._has_waited, False
            return Told(failed, notices=notices.take(), usage=self._run.take_usage(), has_waited=has_waited)

    def stop(self) -> Told:
        """Begin nothing more, write what has come, and end."""
        self._stopped.set()
        self._thread.join(STOP_SECONDS - 2)
        return self.tell()

    @abstractmethod
    def _flow(self) -> Iterator[tuple[tuple[int, Any], ShardResult | None]]:
        """Do the jobs of `_take_jobs`; yield the shard and the stretch of each that is done, and its result."""

    def _work(self) -> None:
        try:
            for name, result in self._flow():
                with self._lock:
                    call = self._open.pop(name)
                call.result = result
                call.done.set()
        except (DatagenError, OSError, ValueError) as error:  # raised again by the driver
            self._error = error

    def _take_jobs(self) -> Iterator[Job | None]:
        while not self._stopped.is_set():
            try:
                yield self._inbox.get(timeout=INBOX_SECONDS)
            except queue.Empty:
                self._has_waited = True
                yield None


@dataclass(slots=True)
class _Call:
    """A job that an actor was given, and of a shard that it scored the result."""

    done: threading.Event = field(default_factory=threading.Event)
    result: ShardResult | None = None


class _Model(_Worker):
    """An actor with a model, which generates stretches into their parts."""

    def _flow(self) -> Iterator[tuple[tuple[int, Any], None]]:
        stopped, rest = self._stopped.is_set, self._given.rest
        for job in generate_shards(self._run, self._take_jobs(), self._count, stopped, longest_rest=rest):
            if job is not None:
                yield (job.shard, job.prompts), None

    def _count(self, failed: bool) -> None:
        with self._lock:
            self._failed.append(failed)


class _Scorer(_Worker):
    """An actor that joins and scores shards: its models stay loaded, and its judge is asked across shards."""

    def _flow(self) -> Iterator[tuple[tuple[int, Any], ShardResult]]:
        for result in finish_shards(self._run, self._take_jobs()):
            yield (result.shard, None), result


_runs: dict[tuple[str, str], Run] = {}
"""The run of this process by its folder and recipe: its scorers stay loaded from shard to shard."""


def _finish(given: _Given, job: Job) -> Told:
    """Join and score a shard."""
    name = given.run.folder.address, repr(given.run.recipe)
    if name not in _runs:
        given.arrive()
        if (difference := given.find_difference()) is not None:
            return Told(error=difference)
    run = _runs.setdefault(name, given.run)
    try:
        result = finish_shard(run, job)
    except (DatagenError, OSError, ValueError) as error:  # raised again by the driver
        return Told(error=error, notices=notices.take(), usage=run.take_usage())
    return Told(result=result, notices=notices.take(), usage=run.take_usage())
