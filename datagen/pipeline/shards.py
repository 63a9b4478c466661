"""One shard after its samples were generated, from its parts to its scores: the same files whatever runs it.

`finish_shard` joins the parts into the file of the shard, scores it and writes the scores. It runs in another process
than the model (`flow`), which therefore never waits: numbers travel between them, pictures do not. A plugin's exception
is data: `attempt` is the one boundary that catches it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

from datagen.errors import DatagenError
from datagen.pipeline.run import Run
from datagen.pipeline.unreached import is_unreached
from datagen.records import Failure, Prompt, Request, Sample, Score, Verdict, seed_of
from datagen.scoring.layout import list_names
from datagen.scoring.scorers import Scorer
from datagen.scoring.tools import REMEMBERED, REMEMBERED_DRAWINGS, Later, Tools, UnansweredError
from datagen.scoring.verdicts import ALONE, list_groups
from datagen.store import Stage
from datagen.usage import Usage

Answer = TypeVar("Answer")
BATCH_SAMPLES = 512
BATCH_BYTES = 64 << 20
"""Samples that are in memory at a time while they are scored: whole prompts, up to this many or this many bytes."""
ASKED_TOGETHER = REMEMBERED // 8
"""Questions asked in one call: the tools remember all answers even if a judge is then asked for eight of each."""
NOT_REACHED = "not asked yet: a model was not reached, and the next run asks again"
"""Reason of a score without a value; the server's error is stored only in the failures."""
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""Memory address as Python prints it, removed since it would make failures differ between runs."""


@dataclass(frozen=True, slots=True)
class Job:
    """The work left in one shard: samples, scores or both; `samples` is their number, with `adapt` an upper bound.

    Stages in `keeps` already have a file: its results stay, and only unreached ones are asked again. If samples are
    generated again, `kept` answers of the model stay.
    """

    shard: int
    draw: bool
    score: bool
    samples: int
    keeps: frozenset[Stage] = frozenset()
    kept: int = 0


@dataclass(frozen=True, slots=True)
class ShardResult:
    """Counts of a finished shard: stored samples, samples with a failed scorer, sum and number of image rewards.

    `asked` counts the requested samples, stored or failed. `notices` are messages from a worker process for the user,
    `usage` what its models were asked for since its last result.
    """

    shard: int
    asked: int
    samples: int
    unscored: int
    reward_sum: float
    rewarded: int
    notices: tuple[str, ...] = ()
    usage: Mapping[str, Usage] = field(default_factory=dict)


def list_requests(run: Run, prompts: Sequence[Prompt]) -> list[Request]:
    """Return all requests for some prompts; each seed depends only on run seed, prompt id and candidate."""
    recipe = run.recipe
    return [
        Request(prompt, k, seed_of(recipe.seed, prompt.id, k), recipe.mode)
        for prompt in prompts
        for k in range(recipe.candidates)
    ]


def finish_shard(run: Run, job: Job) -> ShardResult:
    """Join what was generated, if the job says so, into the file of the shard; score it and write the scores.

    If the job keeps scores, a prompt is scored again only if a model was not reached for one of its candidates, since
    scorers may compare candidates. Raises RunError when the folder no longer belongs to this run.

    The order of writes makes a kill harmless: the file that marks a stage as done is written last. If that file exists
    already, the failures are written last, since they say what is still to be asked. Parts go after both.
    """
    run.require_same()
    folder = run.folder
    before = folder.read_failures(job.shard) if not job.draw or job.keeps else []
    standing = _read_standing(run, job, before) if "scores" in job.keeps else {}
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
        given = _score_all(run, prompts, [sample for sample in batch if sample.id not in standing])
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
    known = [reward for reward in rewards if reward is not None]
    unscored = len({(fault.prompt_id, fault.candidate) for fault in faults})
    return ShardResult(job.shard, len(rewards) + len(failures), len(rewards), unscored, math.fsum(known), len(known))


def _join(run: Run, job: Job) -> list[Failure]:
    """Write samples and failures of a shard from its parts, in the order of the requests; return the failures."""
    folder = run.folder
    rows, failures = folder.read_parts(job.shard, keep="samples" in job.keeps)
    failed = {(each.prompt_id, each.candidate): each for each in (*read_lasting(run, job), *failures)}
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


def _score_all(run: Run, prompts: Mapping[str, Prompt], samples: Sequence[Sample]) -> dict[str, Given]:
    """Score samples and return the results by sample id; all candidates of a prompt must be included."""
    look_ahead(run, prompts, samples)
    compared = score_groups(run, prompts, samples)
    found: dict[str, Given] = {}
    for sample in ask_ahead(run, prompts, samples):
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
    if looking := [module for module in run.scorers.values() if hasattr(module, "look_ahead")]:
        pairs = [(prompts[sample.prompt_id], part) for sample in samples for part in list_rounds(sample)]
        for module in looking:
            attempt(partial(module.look_ahead, pairs[:REMEMBERED], run.tools))


def ask_ahead(run: Run, prompts: Mapping[str, Prompt], samples: Sequence[Sample]) -> Iterator[Sample]:
    """Yield the samples once judge and drawer were asked all that the scorers will ask about them.

    They are asked in as few calls as possible, so that they seldom wait for the last answers of a call, and about no
    more than the tools remember.
    """
    asking = [module for module in run.scorers.values() if getattr(module, "NEEDS_JUDGE", False)]
    asked, images, later, waiting = 0, 0, Later(run.tools), list[tuple[Scorer, Prompt, Sample]]()
    for place, sample in enumerate(samples, start=1):
        parts = list_rounds(sample)
        images += len(parts)
        tasks = [(module, prompts[sample.prompt_id], part) for part in parts for module in asking]
        waiting += [each for each in tasks if _is_unanswered(run, later, *each)]
        if later.noted < ASKED_TOGETHER and images < REMEMBERED_DRAWINGS and place < len(samples):
            continue
        # Each turn asks all questions in one call and runs the scorers until they meet one without an answer. A scorer
        # that raises anything else drops out here: it raises again when it scores, and that is recorded.
        while waiting and not isinstance(attempt(later.ask), Failed):
            waiting = [each for each in waiting if _is_unanswered(run, later, *each)]
        yield from samples[asked:place]
        asked, images, later, waiting = place, 0, Later(run.tools), []


def _is_unanswered(run: Run, later: Later, module: Scorer, prompt: Prompt, sample: Sample) -> bool:
    """Run a scorer with deferred models; return whether it needs an answer that they have not given yet."""
    said = attempt(partial(module.score, prompt, sample, later.bind(tools_for(run, prompt, sample))))
    return isinstance(said, Failed) and isinstance(said.error, UnansweredError)


def score_sample(run: Run, prompt: Prompt, sample: Sample) -> tuple[list[Score], list[Failure]]:
    """Return one score by each scorer of the recipe, and a failure for each that raised or returned no valid verdict.

    In a sample with several images the last one counts; image scores list the result of each round in
    `evidence["rounds"]`.
    """
    before = [score_once(run, prompt, part) for part in list_rounds(sample)[:-1]]
    scores, failures = score_once(run, prompt, sample)
    if not before:
        return scores, failures
    failures += [failure for _, failed in before for failure in failed if failure.unreached]
    return [_add_rounds(score, [earlier[k] for earlier, _ in before]) for k, score in enumerate(scores)], failures


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
    said = attempt(partial(module.score_group, prompt, group, run.tools))
    verdicts = [
        said if isinstance(said, Failed) else attempt(partial(_pick_verdict, said, k, len(group)))
        for k in range(len(group))
    ]
    return [_make_score(name, module, sample, verdict) for sample, verdict in zip(group, verdicts, strict=True)]


def list_rounds(sample: Sample) -> list[Sample]:
    """Return the sample as it was after each image; the last one is the sample itself."""
    ends = [k for k, segment in enumerate(sample.segments) if segment.kind == "image"]
    return [replace(sample, segments=sample.segments[: end + 1]) for end in ends[:-1]] + [sample]


def _add_rounds(score: Score, before: Sequence[Score]) -> Score:
    if score.target != "image":
        return score
    rounds = [[each.value, each.evidence.get("passed")] for each in (*before, score)]
    return replace(score, evidence={**score.evidence, "rounds": rounds})


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
    verdict = attempt(lambda: check_verdict(module.score(prompt, sample, seen_by)))
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


@dataclass(frozen=True, slots=True)
class Failed:
    """An exception of a plugin: its text, and the place in the plugin's code."""

    error: Exception
    text: str
    place: str


def attempt(call: Callable[[], Answer]) -> Answer | Failed:
    """Call plugin code and return its exception as a value; the only broad `except` of the pipeline."""
    try:
        return call()
    except DatagenError:
        raise
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and one bad sample must not stop a run
        trace = error.__traceback__
        # The innermost frame: where in the plugin it happened.
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}" if trace else ""
        first = _ADDRESS.sub("", (str(error).splitlines() or [""])[0])
        return Failed(error, f"{type(error).__name__}: {first}" if first else type(error).__name__, place)


def _pick_verdict(said: Sequence[Any], number: int, size: int) -> Verdict:
    """Return one of the verdicts on a group; raises ValueError unless there is one for each sample."""
    if len(said) != size:
        raise ValueError(f"the scorer answered {len(said)} verdicts on {size} samples")
    return check_verdict(said[number])


def check_verdict(verdict: Any) -> Verdict:
    """Return a scorer's verdict; raises TypeError or ValueError if it is not valid."""
    if not isinstance(verdict, Verdict):
        raise TypeError(f"the scorer answered a {type(verdict).__name__}, not a Verdict")
    value = verdict.value
    if value is not None and not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"the scorer answered {value}, which is not in [0, 1]")
    # Raises for evidence that could not be stored: NaN, other types, lone surrogates.
    json.dumps([verdict.value, verdict.reason, verdict.evidence], allow_nan=False, ensure_ascii=False).encode()
    return verdict
