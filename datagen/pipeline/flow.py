"""The flow of requests through a model: on from shard to shard, its answers kept as they come.

`generate_shards` gives the model requests of as many shards as it has room for, so that no slot waits for the last
answer of a shard, and keeps each answer in the parts of its shard as it comes (`parts`). A shard is done when all of
its requests are answered; what its file then holds depends on the plan alone, never on what ran beside it.

A backend with `stream` takes the requests one by one:

    def stream(self, requests: Iterator[Request | None]) -> Iterator[Sample | Failure | None]: ...

It yields answers as they come, in any order. `requests` yields None when there is none to take now but more may come
once answers do; that happens only while answers are outstanding. The stream yields None when nothing has come for about
half a second, so that its caller can stop. A backend without `stream` is asked shard by shard, through `generate`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

from datagen.errors import BackendError
from datagen.pipeline.border import accept_answer, check_answer, check_verdict, refuse_known
from datagen.pipeline.parts import LONGEST_REST, Pace, Parts
from datagen.pipeline.run import Run
from datagen.pipeline.shards import Job, ShardResult, finish_shard, list_requests, read_lasting, tools_for
from datagen.pipeline.waiting import ask_scorer
from datagen.plugins import Failed, attempt
from datagen.records import Failure, Prompt, Request, Sample, Verdict
from datagen.sample_files import Rows, to_samples
from datagen.scoring.scorers import Scorer

STOP_SECONDS = 1.0
"""How long a stopped flow takes in what has been answered already."""
Answer = Sample | Failure
Key = tuple[str, int]
"""Prompt id and candidate of a request."""
KEPT = "what it answered before is kept"
END = object()
"""Says that a backend has no more answers."""


def generate_shards(
    run: Run,
    jobs: Iterable[Job | None],
    count: Callable[[bool], None] = lambda failed: None,
    is_stopped: Callable[[], bool] = lambda: False,
    may_ask: Callable[[], bool] = lambda: True,
    longest_rest: float = LONGEST_REST,
) -> Generator[Job | None]:
    """Generate the samples of shards into their parts; yield each job when all of its requests are answered.

    `jobs` may wait for a short time and yield None when there is none to begin now.

    Yields None between answers, so that the caller can do other things. What is in parts already, and what a job keeps,
    is not asked for again. With `adapt`, a prompt's other candidates are generated only if its first ones are judged
    differently. A request without an answer is a failure. `count` is called after each answer, with whether it failed.
    When `is_stopped`, no further request is made and what has been answered is kept. `may_ask` is called before each
    request; when it says no, none is made any more and what is in flight is waited for. Parts are written at least
    every `longest_rest` seconds. Close it (`contextlib.closing`) where what is done with a job may raise: this writes
    what has come, and where Python has to do it, an error is only printed.

    Raises BackendError when the model itself breaks down, RunError when the folder no longer belongs to this run; what
    the model answered before is kept.
    """
    flow = Flow(run, iter(jobs), count, is_stopped, may_ask, Pace(longest=longest_rest))
    try:
        yield from flow.run()
    finally:
        flow.close()


_NO_MORE = object()


def settle_answer(run: Run, request: Request, answer: Answer) -> Answer:
    """Return the answer of a run's backend to a request as the run keeps it."""
    kept = accept_answer(run.recipe.backend.name, run.recipe.images, request, answer)
    return kept if run.known is None else refuse_known(run.known, run.known_features, request, kept)


def run_shard(run: Run, job: Job) -> ShardResult:
    """Make what a shard still needs and write it. Raises DatagenError when the run cannot go on."""
    if job.draw:
        for _ in generate_shards(run, [job]):
            pass
    return finish_shard(run, job)


class Flow:
    """Shards that are being generated, the requests that wait for an answer, and those that may be asked now."""

    def __init__(
        self,
        run: Run,
        jobs: Iterator[Job | None],
        count: Callable[[bool], None],
        is_stopped: Callable[[], bool],
        may_ask: Callable[[], bool],
        pace: Pace,
    ) -> None:
        self._run, self._jobs, self._count, self._is_stopped, self._may_ask = run, jobs, count, is_stopped, may_ask
        self._parts = Parts(run, pace)
        self._open: dict[tuple[int, tuple[int, int] | None], _Shard] = {}
        self._waiting: dict[Key, tuple[Request, _Shard]] = {}
        self._ready: deque[Request] = deque()
        self._done: deque[Job] = deque()
        self._is_fed = False
        """Whether the backend has been given every request there is, for now."""
        self._is_spent = False
        """Whether `may_ask` said no."""

    def run(self) -> Iterator[Job | None]:
        """Yield each job when it is done, and None between answers."""
        while not self._is_fed and not self._is_stopped():
            with closing(self._ask()) as answers:
                yield from self._take_all(answers)
            if self._is_stopped() or self._is_spent:
                return
            if not self._waiting and not self._is_fed and not self._done:
                name = self._run.recipe.backend.name
                raise BackendError(f"{name!r} stopped answering before all requests were made", hint=KEPT)
            for key in list(self._waiting):
                self._take(Failure("generate", *key, "the backend gave no answer"))
            while self._done:
                yield self._done.popleft()

    def _take_all(self, answers: Iterator[Answer | None]) -> Iterator[Job | None]:
        deadline = float("inf")
        for answer in answers:
            if answer is not None:
                self._take(answer)
            while self._done:
                yield self._done.popleft()
            yield None
            if self._is_stopped():
                deadline = min(deadline, time.monotonic() + STOP_SECONDS)
                if answer is None or time.monotonic() > deadline:
                    return

    def close(self) -> None:
        """Write all that has come, after an exception too."""
        self._parts.flush()

    def _ask(self) -> Generator[Answer | None]:
        backend = self._run.backend
        if hasattr(backend, "stream"):
            yield from _guard(self._run, lambda: backend.stream(self._feed()))
            return
        for stretch in self._stretches():
            stretch = [request for request in stretch if self._spend()]
            if not stretch:
                return
            yield from ask_backend(self._run, stretch)
            for request in stretch:
                if (key := _key(request)) in self._waiting:
                    yield Failure("generate", *key, "the backend gave no answer")

    def _feed(self) -> Iterator[Request | None]:
        for stretch in self._stretches():
            if not stretch:
                yield None
            for request in stretch:
                if self._is_stopped() or not self._spend():
                    return
                yield request

    def _spend(self) -> bool:
        self._is_spent = self._is_spent or not self._may_ask()
        return not self._is_spent

    def _stretches(self) -> Iterator[list[Request]]:
        """Yield requests that belong together: those of a shard, or later candidates; [] when there are none now."""
        self._is_fed = False
        while not self._is_stopped() and not self._is_spent:
            if self._ready:
                stretch = list(self._ready)
                self._ready.clear()
                yield stretch
            elif (job := next(self._jobs, _NO_MORE)) is None:
                if self._waiting:
                    yield []
                elif self._done:  # jobs of which nothing had to be asked: tell them, and ask the backend anew
                    return
            elif isinstance(job, Job):
                if stretch := self._begin(job):
                    yield stretch
            elif any(shard.undecided for shard in self._open.values()):
                yield []
            else:
                self._is_fed = True
                return

    def _begin(self, job: Job) -> list[Request]:
        """Open a shard and return what may be asked of it now."""
        run = self._run
        run.require_same()
        prompts = run.folder.read_prompts(job.shard)
        prompts = prompts[slice(*job.prompts)] if job.prompts else prompts
        requests = list_requests(run, prompts)
        rows, failures = Rows(), list[Failure]()
        if not job.is_new:
            rows, failures = run.folder.read_parts(job.shard, keep="samples" in job.keeps)
        done = {(each.prompt_id, each.candidate) for each in (*failures, *read_lasting(run, job)) if not each.unreached}
        rest = [r for r in requests if _key(r) not in done and r.sample_id not in rows]
        shard = self._open[job.shard, job.prompts] = _Shard(job, {prompt.id: prompt for prompt in prompts})
        if run.recipe.adapt is None:
            return self._expect(shard, rest)
        first = run.recipe.least_candidates
        asked = self._expect(shard, [r for r in rest if r.candidate < first])
        for request in rest:
            if request.candidate >= first:
                shard.later.setdefault(request.prompt.id, []).append(request)
        for sample in chain.from_iterable(
            map(to_samples, rows.group(r.sample_id for r in requests if r.candidate < first))
        ):
            shard.firsts.setdefault(sample.prompt_id, []).append(sample)
        shard.undecided = {r.prompt.id: 0 for r in requests}
        for request in asked:
            shard.undecided[request.prompt.id] += 1
        for prompt_id in [prompt_id for prompt_id, left in shard.undecided.items() if not left]:
            self._decide(shard, prompt_id)
        self._end_if_done(shard)
        return asked

    def _expect(self, shard: _Shard, requests: list[Request]) -> list[Request]:
        for request in requests:
            self._waiting[_key(request)] = request, shard
        shard.left += len(requests)
        if self._run.recipe.adapt is None:
            self._end_if_done(shard)
        return requests

    def _take(self, answer: Answer) -> None:
        """Keep an answer; raises BackendError for one that was not asked for."""
        name, key = self._run.recipe.backend.name, (answer.prompt_id, answer.candidate)
        if key not in self._waiting:
            what = f"{name!r} answered a request that was not made, or one twice: {key}"
            raise BackendError(what, hint="a backend yields one answer for each request")
        request, shard = self._waiting.pop(key)
        kept = settle_answer(self._run, request, answer)
        self._parts.add(shard.job.shard, kept)
        shard.left -= 1
        self._count(isinstance(kept, Failure))
        if request.prompt.id in shard.undecided and request.candidate < self._run.recipe.least_candidates:
            if isinstance(kept, Sample):
                shard.firsts.setdefault(request.prompt.id, []).append(kept)
            shard.undecided[request.prompt.id] -= 1
            if not shard.undecided[request.prompt.id]:
                self._decide(shard, request.prompt.id)
        self._end_if_done(shard)

    def _decide(self, shard: _Shard, prompt_id: str) -> None:
        """Put a prompt's later candidates into the flow if its first ones, all answered now, are judged differently."""
        del shard.undecided[prompt_id]
        firsts = sorted(shard.firsts.pop(prompt_id, ()), key=lambda sample: sample.candidate)
        later = shard.later.pop(prompt_id, [])
        if later and is_undecided(self._run, shard.prompts[prompt_id], firsts):
            self._ready.extend(self._expect(shard, later))

    def _end_if_done(self, shard: _Shard) -> None:
        if not shard.left and not shard.undecided:
            self._parts.end(shard.job.shard)
            del self._open[shard.job.shard, shard.job.prompts]
            self._done.append(shard.job)


@dataclass(slots=True)
class _Shard:
    """A shard that is being generated; `left` counts its requests without an answer.

    With `adapt`: the number of first candidates without an answer by prompt, until it is decided whether the `later`
    ones are asked for, and the samples of the `firsts` that came.
    """

    job: Job
    prompts: dict[str, Prompt]
    left: int = 0
    undecided: dict[str, int] = field(default_factory=dict)
    later: dict[str, list[Request]] = field(default_factory=dict)
    firsts: dict[str, list[Sample]] = field(default_factory=dict)


def _key(request: Request) -> Key:
    return request.prompt.id, request.candidate


def is_undecided(run: Run, prompt: Prompt, samples: Sequence[Sample]) -> bool:
    """Return whether some deciding scorer judges the samples of a prompt differently.

    Two samples are judged differently if their values differ, or if one passed strictly and the other did not. Samples
    without a value do not count. Depends only on prompt, samples and detector, not on how scores are joined later.
    """
    for name, module in run.deciders.items():
        voices: set[tuple[float, bool | None]] = set()
        for sample in samples:
            verdict = ask_scorer(run, name, partial(_judge, run, module, prompt, sample))
            if isinstance(verdict, Verdict) and verdict.value is not None:
                voices.add((round(verdict.value, 9), verdict.evidence.get("passed")))
        if len(voices) > 1:
            return True
    return False


def _judge(run: Run, module: Scorer, prompt: Prompt, sample: Sample) -> Verdict:
    return check_verdict(module.score(prompt, sample, tools_for(run, prompt, sample)))


def ask_backend(run: Run, requests: Sequence[Request]) -> Iterator[Answer]:
    """Yield the model's answers to some requests; its exceptions become a BackendError that names them."""
    return (answer for answer in _guard(run, lambda: run.backend.generate(requests)) if answer is not None)


def ask_in_ticks(run: Run, requests: Sequence[Request]) -> Iterator[Answer | None]:
    """Yield the model's answers to some requests, and None while it works if it can tell, so that a caller can stop."""
    backend: Any = run.backend
    ask = (lambda: backend.stream(iter(requests))) if hasattr(backend, "stream") else lambda: backend.generate(requests)
    return _guard(run, ask)


def _guard(run: Run, ask: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Yield the answers of a backend, and close it when the caller has enough of them."""
    name = run.recipe.backend.name
    answers = attempt(lambda: iter(ask()))
    try:
        while not isinstance(answers, Failed):
            answer = attempt(lambda: next(answers, END))
            if answer is END:
                return
            if isinstance(answer, Failed):
                raise _broke_down(name, answer)
            if answer is not None:
                check_answer(name, answer)
            yield answer
        raise _broke_down(name, answers)
    finally:
        if hasattr(answers, "close"):
            attempt(answers.close)


def _broke_down(name: str, failed: Failed) -> BackendError:
    error = BackendError(f"{name!r} broke down: {failed.text}", hint=KEPT)
    error.__cause__ = failed.error
    return error
