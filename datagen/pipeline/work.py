"""Finds what is left to do in a run, and keeps count while a runner does it: progress, and the limit on failures.

`build_run` goes through all stages in order, each doing only what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from datagen.config import SCORE_KEYS
from datagen.errors import RunError, TooManyFailures
from datagen.export import ExportResult
from datagen.notices import tell_once
from datagen.pipeline.canaries import check_canaries
from datagen.pipeline.checks import check_judge, list_warnings
from datagen.pipeline.makers import READERS, find_newer, read_versions
from datagen.pipeline.needs import check_plugins
from datagen.pipeline.prompts import plan_stage
from datagen.pipeline.run import STAGES, Run, open_run, renew_scores, settle_makers
from datagen.pipeline.shards import Job, ShardResult
from datagen.pipeline.unreached import find_unreached
from datagen.pipeline.views import Weighed, export_run, report_run, weigh_run
from datagen.pipeline.watch import Progress, Watch
from datagen.store import Stage

ASKED_AGAIN = "these are no results: when the model answers again, the same command asks about them again"
LEAST_SAMPLES = 100
"""A failure share over fewer samples than this says too little to stop a run (all of a smaller run is enough)."""


class Ledger:
    """Keeps count of a run while shards are made; stops it when too many samples fail.

    A runner calls `count_sample` for each sample drawn and `count_shard` for each shard finished, from one thread.
    """

    def __init__(self, run: Run, jobs: Sequence[Job], before: Counts, watch: Watch) -> None:
        self.run, self.watch, self.total = run, watch, before.samples
        self.to_draw = sum(job.samples - job.kept for job in jobs if job.draw)
        self.to_score = sum(job.samples for job in jobs if job.score)
        self.drawn = self.drawn_before = before.samples - self.to_draw
        self.scored = self.scored_before = before.samples - self.to_score
        self.tried, self.undrawn, self.unscored = before.tried, before.undrawn, before.unscored
        self._sums: list[float] = []
        self._rewarded = 0
        self._sizes = {job.shard: job for job in jobs}

    def count_sample(self, failed: bool) -> None:
        """Take one answer of the model in."""
        self.drawn += 1
        self.tried += 1
        self.undrawn += failed
        self._show_generated()

    def count_shard(self, result: ShardResult) -> None:
        """Take one finished shard in. Raises TooManyFailures."""
        self.tell(result.notices)
        job = self._sizes[result.shard]
        if not job.draw:
            self.tried += job.samples
        if spared := job.samples - result.asked:  # with `adapt`, fewer than there might have been
            self.total -= spared
            self._show_generated()
        if job.score:
            self.scored += result.asked
            self.unscored += result.unscored
            self._sums.append(result.reward_sum)
            self._rewarded += result.rewarded
            self._show_scored()
        mean = f", mean image reward {result.reward_sum / result.rewarded:.3f}" if result.rewarded else ""
        done = " and ".join(word for word, yes in (("drawn", job.draw), ("scored", job.score)) if yes)
        self.run.folder.log(f"shard {result.shard:05d}: {result.samples} of {result.asked} samples {done}{mean}")
        self.check_failures()

    def check_failures(self) -> None:
        """Raise TooManyFailures when the share of failed samples is over the recipe's limit."""
        limit, failed = self.run.recipe.failure_limit, self.undrawn + self.unscored
        if self.tried < min(LEAST_SAMPLES, self.total) or failed <= limit * self.tried:
            return
        what = f"{failed:,} of {self.tried:,} samples failed ({failed / self.tried:.1%}); the recipe allows {limit:.1%}"
        hint = "see failures/ there; finished shards are kept, and `--set failure_limit=1` goes on all the same"
        found = find_unreached(self.run)
        if lost := found.describe():
            what, hint = f"{what}. Of these {lost}", f"{ASKED_AGAIN}; {hint}"
        if faults := found.describe_faults():
            what += f". Most often: {faults}"
        raise TooManyFailures(what, where=str(self.run.folder), hint=hint)

    def tell(self, notices: Iterable[str]) -> None:
        """Tell what a process that works for this one has to tell, once."""
        for notice in notices:
            tell_once(notice)

    def show_start(self) -> None:
        """Show the lines of both stages before anything is done."""
        if self.to_draw:
            self._show_generated()
        if self.to_score:
            self._show_scored()

    def _show_generated(self) -> None:
        self.watch.show(Progress("generate", self.drawn, self.total, self.drawn_before, self.undrawn))

    def _show_scored(self) -> None:
        reward = math.fsum(self._sums) / self._rewarded if self._rewarded else None
        self.watch.show(Progress("score", self.scored, self.total, self.scored_before, self.unscored, reward))


@dataclass(slots=True)
class Counts:
    """What a run came to before: samples in its plan, tried so far, and of these not drawn, or drawn and not scored.

    With `adapt`, a shard that is not drawn yet counts with the most that it may get.
    """

    samples: int
    tried: int = 0
    undrawn: int = 0
    unscored: int = 0


@dataclass(slots=True)
class Work:
    """The jobs that are left, and what was there before."""

    jobs: list[Job] = field(default_factory=list)
    before: Counts = field(default_factory=lambda: Counts(0))


Execute = Callable[[Run, Sequence[Job], Ledger], None]
"""A runner: makes every job of a run, in any order and anywhere, and tells the ledger."""
Stages = Literal["generate", "score", "both"]
MAKES: dict[Stages, tuple[str, ...]] = {"generate": ("samples",), "score": ("scores",), "both": STAGES}
"""What carries a mark and is made by some stages."""


def find_jobs(run: Run, stages: Stages, watch: Watch) -> Work:
    """Compare the plan with the files that are there, and return what is missing.

    Damaged files count as missing; of a file in which something was not reached, that alone is missing.
    """
    plan, folder = run.read_plan(), run.folder
    drawn = _find_sound(run, "samples", watch) & _find_sound(run, "failures", watch)
    scored = _find_sound(run, "scores", watch) & drawn
    work = Work()
    for shard in range(plan["shards"]):
        noted = folder.read_failures(shard) if shard in drawn else []
        undrawn = [fault for fault in noted if fault.stage != "score"]
        redraw = any(fault.unreached for fault in undrawn) and stages != "score"
        rescore = redraw or any(fault.unreached for fault in noted if fault.stage == "score")
        there: list[tuple[Stage, set[int]]] = [("samples", drawn), ("scores", scored)]
        keeps = frozenset(stage for stage, sound in there if shard in sound)
        draw = (shard not in drawn or redraw) and stages != "score"
        score = (shard not in scored or rescore) and stages != "generate" and (shard in drawn or stages == "both")
        samples = count_planned(run, plan, shard, is_drawn=shard in drawn and not redraw)
        lasting = sum(not fault.unreached for fault in undrawn)
        kept = folder.count_samples(shard) + lasting if redraw else 0
        if draw or score:
            work.jobs.append(Job(shard, draw, score, samples, keeps, kept))
        work.before.samples += samples
        if redraw:
            work.before.tried += kept
            work.before.undrawn += lasting
        elif shard in drawn and not score:
            work.before.tried += samples
            work.before.undrawn += len(undrawn)
            work.before.unscored += len({(f.prompt_id, f.candidate) for f in noted if f.stage == "score"})
    return work


def count_planned(run: Run, plan: Mapping[str, int], shard: int, *, is_drawn: bool) -> int:
    """Return how many samples a shard is about; with `adapt`, the most that it may get until it is drawn."""
    if run.recipe.adapt is not None and is_drawn:
        faults = run.folder.read_failures(shard)
        return run.folder.count_samples(shard) + sum(fault.stage != "score" for fault in faults)
    rest = plan["prompts"] - shard * run.recipe.shard_prompts
    return min(run.recipe.shard_prompts, rest) * run.recipe.candidates


def _find_sound(run: Run, stage: Literal["samples", "scores", "failures"], watch: Watch) -> set[int]:
    there = run.folder.list_shards(stage)
    damaged = run.folder.find_damage(stage, there)
    for damage in damaged:
        if damage.is_foreign:
            raise damage.refuse()
        watch.say(f"{damage.where} is damaged ({damage.what}): counts as missing")
    return set(there) - {damage.shard for damage in damaged}


def run_jobs(run: Run, stages: Stages, execute: Execute, watch: Watch) -> None:
    """Do all that is missing of a stage. Raises TooManyFailures, RunError, and whatever stops the runner.

    Shards of another recipe, and modules or model files that changed since the run was begun, stop it first.

    What scores is asked about the recipe's canaries first, and the judge about one picture: what fails costs no night.
    """
    settle_makers(run, MAKES[stages], command="" if stages == "both" else f"datagen {stages} {run.folder}")
    work = find_jobs(run, stages, watch)
    if work.jobs:
        note_versions(run, watch)
    if stages != "generate":
        check_canaries(run, watch, again=bool(work.jobs))
        if any(job.score for job in work.jobs):
            check_judge(run)
    ledger = Ledger(run, work.jobs, work.before, watch)
    ledger.check_failures()
    if work.jobs:
        ledger.show_start()
        execute(run, work.jobs, ledger)
        ledger.check_failures()
    elif stages != "score":
        watch.show(Progress("generate", ledger.total, ledger.total, ledger.total, ledger.undrawn))
    if lost := find_unreached(run).describe():
        watch.say(f"warning: {lost}")
        watch.say(f"warning: {ASKED_AGAIN}" + ("" if stages == "both" else f": datagen {stages} {run.folder}"))


def note_versions(run: Run, watch: Watch, *, again: bool = False) -> None:
    """Say which packages have another version than the run noted last, and note both: parts of it are made by either.

    With `again`, all scores are made anew, so that of the packages that only read pictures the new one counts alone.
    """
    notes = run.folder.read_notes()
    noted = dict(notes.get("versions") or {})
    here = read_versions()
    if again:
        noted |= {name: here[name] for name in READERS if name in here}
    for name, (last, now) in find_newer(noted, here).items():
        noted[name] = f"{noted[name]}, {now}"
        if not again:
            hint = f"`datagen score {run.folder} --again` scores all with one"
            watch.say(f"{name} {last} made what is there, and {now} is here now; {hint}")
    if noted != notes.get("versions"):
        run.folder.write_notes({**notes, "versions": noted})


def rescore_run(
    word: str, changes: Sequence[str], again: bool, execute: Execute, watch: Watch, *, keep: bool = False
) -> Run:
    """Score what has no scores; all of it if `again` or if `changes` name other rewards or another detector.

    Without either, a scorer's module that changed since is refused unless `keep`: half of the scores would be of each.
    Old scores go before the new recipe is noted: a kill in between leaves shards to score, never a mixture.
    """
    run = open_run(word, changes, allowed=SCORE_KEYS)
    check_plugins(run)
    if changes and run.recipe.adapt is not None and any(job.draw for job in find_jobs(run, "generate", watch).jobs):
        hint = f"draw them first: datagen generate {run.folder}"
        raise RunError("with `adapt`, what scorers see decides what is still to be drawn", where=word, hint=hint)
    with run.folder.hold():
        if again or changes:
            settle_makers(run, ())
            _find_sound(run, "samples", watch)  # those of another recipe cost no score
            for shard in run.folder.list_shards("scores"):
                run.folder.remove_shard("scores", shard)
            renew_scores(run)
            note_versions(run, watch, again=True)
        elif keep:
            settle_makers(run, ("scores",), keep=True)
        run_jobs(run, "score", execute, watch)
    return run


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A finished run: its weights, its dataset, the address of its report, and what a model was not reached for.

    `unreached` is a sentence, `""` if nothing is left to be asked again.
    """

    weighed: Weighed
    dataset: ExportResult
    report: str
    unreached: str


def build_run(run: Run, execute: Execute, watch: Watch) -> BuildResult:
    """Bring a run to its end from wherever it stands; `execute` is the runner that makes the shards.

    Called again on a finished run it makes the views again and nothing else. Raises DatagenError; every finished shard
    is kept.
    """
    for _, what in list_warnings(run, load=not _is_scored(run)):
        watch.say(f"warning: {what}")
    plan_stage(run, watch)
    run_jobs(run, "both", execute, watch)
    weighed = weigh_run(run, watch)
    dataset = export_run(run, weighed, watch)
    report = report_run(run, weighed, watch)
    run.folder.log(f"finished: {len(weighed.rows)} samples, {dataset.kept} with weight")
    return BuildResult(weighed, dataset, report, find_unreached(run).describe())


def _is_scored(run: Run) -> bool:
    """Say whether every shard has its scores, so that no detector is loaded any more."""
    plan = run.folder.read_notes().get("plan")
    return isinstance(plan, dict) and len(run.folder.list_shards("scores")) >= plan["shards"]
