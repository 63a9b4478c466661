"""One shard after its samples were generated, from its parts to its scores: the same files whatever runs it.

`finish_shard` joins the parts into the file of the shard, scores it and writes the scores. It runs in another process
than the model (`flow`), which therefore never waits: numbers travel between them, pictures do not. What scorers raise
and answer passes the border (`border`).
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from datagen.chat import StreamingChat
from datagen.pipeline.border import check_verdict, pick_verdict
from datagen.pipeline.run import Run
from datagen.pipeline.unreached import is_unreached
from datagen.pipeline.waiting import ask_scorer
from datagen.plugins import Failed, attempt
from datagen.records import Failure, Prompt, Request, Sample, Score, Verdict, seed_of
from datagen.scoring.ahead import Asking, Group, UnansweredError
from datagen.scoring.layout import list_names
from datagen.scoring.rounds import join_rounds
from datagen.scoring.scorers import Scorer
from datagen.scoring.tools import REMEMBERED, REMEMBERED_DRAWINGS, Tools
from datagen.scoring.verdicts import ALONE, list_groups
from datagen.sources import find_places
from datagen.store import Stage

BATCH_SAMPLES = 512
BATCH_BYTES = 64 << 20
"""Samples that are in memory at a time while they are scored: whole prompts, up to this many or this many bytes."""
ASKED_TOGETHER = REMEMBERED // 16
"""Questions of a stretch: the tools remember the answers of two even if a judge is then asked for eight of each."""
MOST_BEGUN, FEW_QUESTIONS = 4, 256
"""Shards that wait for a judge at a time: two, and up to so many while fewer questions than this are left to ask."""
NOT_REACHED = "not asked yet: a model was not reached, and the next run asks again"
"""Reason of a score without a value; the server's error is stored only in the failures."""


@dataclass(frozen=True, slots=True)
class Job:
    """The work left in one shard: samples, scores or both; `samples` is their number, with `adapt` an upper bound.

    Stages in `keeps` already have a file: its results stay, and only unreached ones are asked again. If samples are
    generated again, `kept` answers of the model stay. A stretch of a shard, to be generated alone, names its `prompts`:
    the first one and the one behind the last. Of one that `is_new`, nothing is in parts. One that `is_taken` has scores
    of another run (`reusing`).
    """

    shard: int
    draw: bool
    score: bool
    samples: int
    keeps: frozenset[Stage] = frozenset()
    kept: int = 0
    prompts: tuple[int, int] | None = None
    is_new: bool = False
    is_taken: bool = False


@dataclass(frozen=True, slots=True)
class ShardResult:
    """Counts of a finished shard: stored samples, samples with a failed scorer, sum and number of image rewards.

    `asked` counts the requested samples, stored or failed.
    """

    shard: int
    asked: int
    samples: int
    unscored: int
    reward_sum: float
    rewarded: int


def list_requests(run: Run, prompts: Sequence[Prompt]) -> list[Request]:
    """Return all requests for some prompts; each seed depends only on run seed, prompt id and candidate."""
    recipe = run.recipe
    return [
        Request(prompt, k, seed_of(recipe.seed, prompt.id, k), recipe.mode)
        for prompt in prompts
        for k in range(count_candidates(run, prompt))
    ]


def count_candidates(run: Run, prompt: Prompt) -> int:
    """Return how many samples a prompt gets: as the recipe says, at most one for each picture if they exist."""
    most = run.recipe.candidates
    return min(most, len(find_places(prompt))) if run.recipe.takes_pictures else most


def finish_shard(run: Run, job: Job) -> ShardResult:
    """Join what was generated, if the job says so, into the file of the shard; score it and write the scores.

    If the job keeps scores, a prompt is scored again only if a model was not reached for one of its candidates, since
    scorers may compare candidates. Raises RunError when the folder no longer belongs to this run.

    The order of writes makes a kill harmless: the file that marks a stage as done is written last. If that file exists
    already, the failures are written last, since they say what is still to be asked. Parts go after both.
    """
    (result,) = finish_shards(run, [job])
    return result


def finish_shards(run: Run, jobs: Iterable[Job | None]) -> Iterator[ShardResult]:
    """Finish shards one after the other, as `finish_shard` does, and yield the result of each.

    While one waits for a judge, later ones are begun, so that the judge always has questions. `jobs` may wait for a
    short time and yield None when there is none to begin now.
    """
    asking: Asking | None = None
    begun: deque[_Begun] = deque()
    source, more = iter(jobs), True
    while more or begun:
        while more and _may_begin(begun, asking):
            job = next(source, _NO_MORE)
            if job is None:
                break
            if more := isinstance(job, Job):
                asking = asking or (_open_asking(run) if job.score else None)
                begun.append(_Begun(_finish(run, job, asking)))
        if begun and (result := begun[0].go_on(asking)) is not None:
            begun.popleft()
            yield result


_NO_MORE = object()


class _Begun:
    """A shard that is being finished; `group` are the scorers of which it awaits the answers, once it has begun."""

    def __init__(self, steps: Generator[Group, None, ShardResult]) -> None:
        self._steps, self.group = steps, Group()
        self.result: ShardResult | None = None
        self._step()

    def _step(self) -> None:
        try:
            self.group = next(self._steps)
        except StopIteration as end:
            self.result = end.value

    def go_on(self, asking: Asking | None) -> ShardResult | None:
        """Wait for the answers and go on to the next questions, or to the end; then return the result."""
        if self.result is None:
            if asking is not None and isinstance(attempt(partial(asking.settle, self.group)), Failed):
                asking.give_up()
            self._step()
        return self.result


def _may_begin(begun: Sequence[_Begun], asking: Asking | None) -> bool:
    """Return whether one more shard should be begun: with a judge two at a time are, or a few with few questions."""
    if asking is None:
        return not begun
    return len(begun) < (MOST_BEGUN if asking.waiting < FEW_QUESTIONS else 2)


def _open_asking(run: Run) -> Asking | None:
    """Return what asks the judge and the drawer, None if no scorer does."""
    if not any(getattr(module, "NEEDS_JUDGE", False) for module in run.scorers.values()):
        return None
    judge = run.judge if run.recipe.judge is not None else None
    return Asking(run.tools, judge.stream_chat if isinstance(judge, StreamingChat) else None)


def _finish(run: Run, job: Job, asking: Asking | None) -> Generator[Group, None, ShardResult]:
    """Finish a shard; yields what it has to wait for."""
    run.require_same()
    folder = run.folder
    before = folder.read_failures(job.shard) if not job.draw or job.keeps else []
    standing = _read_standing(run, job, before) if "scores" in job.keeps else {}
    if job.is_taken:
        taken = group_scores(folder.read_taken_scores(job.shard))
        standing = {sample_id: (said, []) for sample_id, said in taken.items()} | standing
    if job.draw:
        # Before new samples are written: a kill must not leave the old scores beside them.
        folder.remove_shard("scores", job.shard)
        failures = noted = _join(run, job)
    else:
        failures, noted = [failure for failure in before if failure.stage != "score"], before
    if not job.score:
        stored = folder.count_samples(job.shard)
        return ShardResult(job.shard, stored + len(failures), stored, 0, 0.0, 0)
    prompts = {prompt.id: prompt for prompt in folder.read_prompts(job.shard)}
    scores: list[Score] = []
    faults: list[Failure] = []
    rewards: list[float | None] = []
    run.tools.forget_lost()
    for batch in batch_samples(folder.iter_samples(job.shard)):
        new = [sample for sample in batch if sample.id not in standing]
        given = yield from _score_all(run, prompts, new, asking)
        for sample in batch:
            said, failed = standing.get(sample.id) or given[sample.id]
            scores += said
            faults += failed
            rewards.append(run.rewarder.reward(prompts[sample.prompt_id], said, "image"))
    run.require_same()  # scoring can take hours
    is_kept = not job.draw and "scores" in job.keeps
    if is_kept:
        folder.write_scores(job.shard, scores)
    if [*failures, *faults] != noted:
        folder.write_failures(job.shard, [*failures, *faults])
    if not is_kept:
        folder.write_scores(job.shard, scores)
    if job.is_taken:
        folder.remove_taken_scores(job.shard)
    known = [reward for reward in rewards if reward is not None]
    unscored = len({(fault.prompt_id, fault.candidate) for fault in faults})
    return ShardResult(job.shard, len(rewards) + len(failures), len(rewards), unscored, math.fsum(known), len(known))


def _join(run: Run, job: Job) -> list[Failure]:
    """Write samples and failures of a shard from its parts, in the order of the requests; return the failures.

    Joined once more, as after the loss of a node that had joined it, a shard stays as it is.
    """
    folder = run.folder
    is_noted = folder.is_sound("failures", job.shard)
    before = [each for each in folder.read_failures(job.shard) if each.stage != "score"] if is_noted else []
    if "samples" not in job.keeps and is_noted and folder.is_sound("samples", job.shard):
        folder.remove_parts(job.shard)
        return before
    rows, failures = folder.read_parts(job.shard, keep="samples" in job.keeps)
    noted = [*(before if "samples" in job.keeps else ()), *failures]
    # Of several failures of a request, one that is an answer counts.
    noted.sort(key=lambda each: not each.unreached)
    failed = {(each.prompt_id, each.candidate): each for each in noted}
    # Backends answer in any order; the files always have the order of the requests.
    order = list_requests(run, folder.read_prompts(job.shard))
    keys = ((r.prompt.id, r.candidate) for r in order if r.sample_id not in rows)
    ordered = [failed[key] for key in keys if key in failed]
    # Samples mark a new shard as done; in a repeated one the failures say what is still to be asked.
    if "samples" not in job.keeps:
        folder.write_failures(job.shard, ordered)
    folder.join_parts(job.shard, rows, (r.sample_id for r in order))
    if "samples" in job.keeps:
        folder.write_failures(job.shard, ordered)
    folder.remove_parts(job.shard)
    return ordered


def read_lasting(run: Run, job: Job) -> list[Failure]:
    """Return the failures to generate that a job keeps: those for which the model was reached."""
    if "samples" not in job.keeps:
        return []
    return [each for each in run.folder.read_failures(job.shard) if each.stage != "score" and not each.unreached]


def batch_samples(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    """Yield samples in order, all candidates of a prompt together, as many as are scored and held at a time."""
    batch: list[Sample] = []
    size = 0
    for _, group in groupby(samples, key=lambda sample: sample.prompt_id):
        for sample in group:
            batch.append(sample)
            size += sample.image_bytes
        if size >= BATCH_BYTES or len(batch) >= BATCH_SAMPLES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def group_scores(scores: Iterable[Score]) -> dict[str, list[Score]]:
    """Return scores by sample id, in order."""
    grouped: dict[str, list[Score]] = defaultdict(list)
    for score in scores:
        grouped[score.sample_id].append(score)
    return grouped


Given = tuple[list[Score], list[Failure]]
"""The scores of one sample, and the failures of scorers."""


def _read_standing(run: Run, job: Job, noted: Sequence[Failure]) -> dict[str, Given]:
    """Return the scores and scorer failures that stay, by sample id; `noted` are the shard's failures."""
    stages = ("generate", "score") if job.draw else ("score",)
    lost = {failure.prompt_id for failure in noted if failure.unreached and failure.stage in stages}
    found: dict[str, Given] = {}
    for score in run.folder.read_scores(job.shard):
        if score.sample_id.rpartition("-")[0] not in lost:
            found.setdefault(score.sample_id, ([], []))[0].append(score)
    for failure in noted:
        name = f"{failure.prompt_id}-{failure.candidate:02d}"
        if failure.stage == "score" and name in found:
            found[name][1].append(failure)
    return found


def _score_all(
    run: Run, prompts: Mapping[str, Prompt], samples: Sequence[Sample], asking: Asking | None
) -> Generator[Group, None, dict[str, Given]]:
    """Score samples and return the results by sample id; all candidates of a prompt must be included."""
    look_ahead(run, prompts, samples)
    compared = score_groups(run, prompts, samples)
    found: dict[str, Given] = {}
    ahead = [(samples, None)] if asking is None else ask_ahead(run, asking, prompts, samples)
    for stretch, group in ahead:
        if group is not None:
            yield group
        for sample in stretch:
            given, failed = score_sample(run, prompts[sample.prompt_id], sample)
            for k, score in enumerate(given):
                if (sample.id, score.name) in compared:
                    given[k], failure = compared[sample.id, score.name]
                    failed += [failure] if failure else []
            found[sample.id] = given, failed
    return found


def look_ahead(run: Run, prompts: Mapping[str, Prompt], samples: Sequence[Sample]) -> None:
    """Let scorers run encoders and matchers on the images of a batch at once; the tools remember the answers.

    Errors are ignored here: they come up again when the sample in question is scored by itself.
    """
    if looking := {name: module for name, module in run.scorers.items() if hasattr(module, "look_ahead")}:
        pairs = [(prompts[sample.prompt_id], part) for sample in samples for part in list_rounds(sample)]
        for name, module in looking.items():
            ask_scorer(run, name, partial(module.look_ahead, pairs[:REMEMBERED], run.tools))


def ask_ahead(
    run: Run, asking: Asking, prompts: Mapping[str, Prompt], samples: Sequence[Sample]
) -> Iterator[tuple[Sequence[Sample], Group]]:
    """Note what scorers will ask about samples; yield stretches of them, and what to wait for before they are scored.

    A stretch has no more questions than the tools remember answers.
    """
    names = [name for name, module in run.scorers.items() if getattr(module, "NEEDS_JUDGE", False)]
    first, images, group = 0, 0, Group()
    for place, sample in enumerate(samples, start=1):
        parts = list_rounds(sample)
        images += len(parts)
        for part in parts:
            for name in names:
                asking.begin(group, partial(_is_unanswered, run, asking, name, prompts[sample.prompt_id], part))
        if group.noted >= ASKED_TOGETHER or images >= REMEMBERED_DRAWINGS // 2 or place == len(samples):
            yield samples[first:place], group
            first, images, group = place, 0, Group()


def _is_unanswered(run: Run, asking: Asking, name: str, prompt: Prompt, sample: Sample) -> bool:
    """Run a scorer with models that only remember; return whether it needs an answer that they do not have.

    A scorer that raises anything else raises it again when it scores, and that is recorded.
    """
    tools = asking.bind(tools_for(run, prompt, sample))
    said = ask_scorer(run, name, partial(run.scorers[name].score, prompt, sample, tools))
    return isinstance(said, Failed) and isinstance(said.error, UnansweredError)


def score_sample(run: Run, prompt: Prompt, sample: Sample) -> tuple[list[Score], list[Failure]]:
    """Return one score by each scorer of the recipe, and a failure for each that raised or returned no valid verdict.

    In a sample with several images the last one counts; image scores say in their evidence what each round had
    (`scoring.rounds`).
    """
    before = [score_once(run, prompt, part) for part in list_rounds(sample)[:-1]]
    scores, failures = score_once(run, prompt, sample)
    failures += [failure for _, failed in before for failure in failed if failure.unreached]
    return [join_rounds([earlier[k] for earlier, _ in before], score) for k, score in enumerate(scores)], failures


def score_groups(
    run: Run, prompts: Mapping[str, Prompt], samples: Sequence[Sample]
) -> dict[tuple[str, str], tuple[Score, Failure | None]]:
    """Return the results of scorers that compare candidates, by (sample id, scorer): score and failure."""
    found: dict[tuple[str, str], tuple[Score, Failure | None]] = {}
    for name, module in run.scorers.items():
        for group in list_groups(samples) if hasattr(module, "score_group") else []:
            given = score_group_by(run, name, prompts[group[0].prompt_id], group)
            found |= {(sample.id, name): each for sample, each in zip(group, given, strict=True)}
    return found


def score_group_by(run: Run, name: str, prompt: Prompt, group: Sequence[Sample]) -> list[tuple[Score, Failure | None]]:
    """Return the results of a scorer that compares candidates, those of one prompt in order: score and failure."""
    module = run.scorers[name]
    said = ask_scorer(run, name, partial(module.score_group, prompt, group, run.tools))
    verdicts = [
        said if isinstance(said, Failed) else attempt(partial(pick_verdict, said, k, len(group)))
        for k in range(len(group))
    ]
    return [_make_score(name, module, sample, verdict) for sample, verdict in zip(group, verdicts, strict=True)]


def list_rounds(sample: Sample) -> list[Sample]:
    """Return the sample as it was after each image; the last one is the sample itself."""
    ends = [k for k, segment in enumerate(sample.segments) if segment.kind == "image"]
    return [replace(sample, segments=sample.segments[: end + 1]) for end in ends[:-1]] + [sample]


def score_once(run: Run, prompt: Prompt, sample: Sample) -> tuple[list[Score], list[Failure]]:
    """Return the scores of a sample's last image and of its text, and the failures of scorers."""
    tools = tools_for(run, prompt, sample)
    given = [score_by(run, name, prompt, sample, tools) for name in run.scorers]
    return [score for score, _ in given], [failure for _, failure in given if failure is not None]


def score_by(
    run: Run, name: str, prompt: Prompt, sample: Sample, tools: Tools | None = None
) -> tuple[Score, Failure | None]:
    """Return the score of one scorer, and a failure if it raised or returned no valid verdict.

    `tools` come from `tools_for`; scorers that share them share detections. A scorer of groups is not run, since it has
    no value for a single sample.
    """
    module = run.scorers[name]
    if hasattr(module, "score_group"):
        return _make_score(name, module, sample, Verdict(None, ALONE))
    seen_by = tools or tools_for(run, prompt, sample)
    verdict = ask_scorer(run, name, lambda: check_verdict(module.score(prompt, sample, seen_by)))
    return _make_score(name, module, sample, verdict)


def tools_for(run: Run, prompt: Prompt, sample: Sample) -> Tools:
    """Return the run's tools; a detector that needs a list of names to look for gets it."""
    return run.tools if run.tools.search is None else run.tools.look_for(list_names(prompt, sample))


def _make_score(name: str, module: Scorer, sample: Sample, verdict: Verdict | Failed) -> tuple[Score, Failure | None]:
    failure = None
    if isinstance(verdict, Failed):
        unreached = is_unreached(verdict.error)
        what = f"{name}: {verdict.text.removeprefix('ConnectionError: ')}"
        failure = Failure("score", sample.prompt_id, sample.candidate, what, verdict.place, unreached)
        said = NOT_REACHED if unreached else f"the scorer failed: {verdict.text}"
        verdict = Verdict(None, said, {"failed": True})
    return Score(sample.id, name, module.TARGET, verdict.value, verdict.reason, verdict.evidence), failure
