"""The work left in a run, and its counts while a runner does it: progress, and the limit on failures.

`build_run` goes through all stages in order; each does only what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from datagen import program
from datagen.config import SCORE_KEYS, Change, changed_keys
from datagen.errors import Paused, RunError, TooManyFailures
from datagen.export import ExportResult
from datagen.notices import tell_once
from datagen.pipeline.canaries import check_canaries
from datagen.pipeline.checks import check_judge, list_warnings
from datagen.pipeline.makers import READERS, find_newer, read_versions
from datagen.pipeline.needs import check_plugins
from datagen.pipeline.parts import Pace
from datagen.pipeline.prompts import plan_stage
from datagen.pipeline.reusing import take_along
from datagen.pipeline.run import STAGES, Run, open_run, renew_scores, save_recipe, settle_makers
from datagen.pipeline.shards import Job, ShardResult, list_requests
from datagen.pipeline.spending import Account, Budget
from datagen.pipeline.tracked import Tracked, track_run
from datagen.pipeline.unreached import find_unreached
from datagen.pipeline.views import Weighed, export_run, report_run, weigh_run
from datagen.pipeline.watch import Progress, Watch
from datagen.records import Failure
from datagen.store import Damage, RunFolder, Stage, date_line

ASKED_AGAIN = "these are not results: when the model answers again, the same command repeats them"
LEAST_SAMPLES = 100
"""Fewer samples than this say too little about the share of failures to stop a run; in a smaller run, all do."""
LONGEST_LOG_REST = 60.0
"""Seconds that the line of a finished shard waits at most for the next shard to be logged with it."""


class Ledger:
    """Counts the progress of a run and stops it when too many samples fail.

    A runner calls `count_sample` for each generated sample and `count_shard` for each finished shard, from one thread.
    It asks the model for nothing more when the meter of the `account` is spent, and begins nothing when that is over.
    """

    def __init__(
        self, run: Run, jobs: Sequence[Job], before: Counts, watch: Watch, account: Account | None = None
    ) -> None:
        self.run, self.watch, self.total = run, watch, before.samples
        self.account = account or Account(run)
        self.to_draw = sum(job.samples - job.kept for job in jobs if job.draw)
        self.to_score = sum(job.samples for job in jobs if job.score)
        self.drawn = self.drawn_before = before.samples - self.to_draw
        self.scored = self.scored_before = before.samples - self.to_score
        self.tried, self.undrawn, self.unscored = before.tried, before.undrawn, before.unscored
        self._sums: list[float] = []
        self._rewarded = 0
        self._sizes = {job.shard: job for job in jobs}
        self._lines: list[str] = []
        self._pace = Pace(longest=LONGEST_LOG_REST)

    def count_sample(self, failed: bool) -> None:
        """Count one answer of the model."""
        self.drawn += 1
        self.tried += 1
        self.undrawn += failed
        self.account.count_sample(failed)
        self._show_generated()

    def count_shard(self, result: ShardResult) -> None:
        """Count one finished shard. Raises TooManyFailures."""
        self.account.add({})
        job = self._sizes[result.shard]
        if not job.draw:
            self.tried += job.samples
        if spared := job.samples - result.asked:  # with `adapt`, fewer than the upper bound
            self.total -= spared
            self._show_generated()
        if job.score:
            self.scored += result.asked
            self.unscored += result.unscored
            self._sums.append(result.reward_sum)
            self._rewarded += result.rewarded
            self._show_scored()
        mean = f", mean image reward {result.reward_sum / result.rewarded:.3f}" if result.rewarded else ""
        done = " and ".join(word for word, yes in (("generated", job.draw), ("scored", job.score)) if yes)
        self._lines.append(
            date_line(f"shard {result.shard:05d}: {result.samples} of {result.asked} samples {done}{mean}")
        )
        if not self._pace.wait_seconds():
            self.write_log()
        self.check_failures()

    def write_log(self) -> None:
        """Write the lines of finished shards that log.txt lacks: it takes a twentieth of the time at most."""
        if self._lines:
            with self._pace.measure():
                self.run.folder.log_dated(self._lines)
            self._lines.clear()

    def check_failures(self) -> None:
        """Raise TooManyFailures when the share of failed samples exceeds the recipe's limit."""
        limit, failed = self.run.recipe.failure_limit, self.undrawn + self.unscored
        if self.tried < min(LEAST_SAMPLES, self.total) or failed <= limit * self.tried:
            return
        what = f"{failed:,} of {self.tried:,} samples failed ({failed / self.tried:.1%}); the recipe allows {limit:.1%}"
        hint = "see failures/ there; finished shards are kept, and `--set failure_limit=1` continues anyway"
        found = find_unreached(self.run)
        if lost := found.describe():
            what, hint = f"{what}. Of these {lost}", f"{ASKED_AGAIN}; {hint}"
        if faults := found.describe_faults():
            what += f". Most often: {faults}"
        raise TooManyFailures(what, where=str(self.run.folder), hint=hint)

    def require_all(self) -> None:
        """Raise Paused when the budget is spent and something is left."""
        meter, budget = self.account.meter, self.account.meter.budget.describe()
        if meter.is_spent() and self.drawn < self.total and self.to_draw:
            raise Paused(f"paused at {budget}: {self.drawn:,} of {self.total:,} samples are generated")
        if meter.is_over() and self.scored < self.total and self.to_score:
            raise Paused(f"paused at {budget}: {self.scored:,} of {self.total:,} samples are scored")

    def tell(self, notices: Iterable[str]) -> None:
        """Show the notices of a worker process, each once."""
        for notice in notices:
            tell_once(notice)

    def show_start(self) -> None:
        """Show the progress of both stages before any work is done."""
        if self.to_draw:
            self._show_generated()
        if self.to_score:
            self._show_scored()

    def _show_generated(self) -> None:
        note = "  ".join(filter(None, (self.run.describe_model(), self.account.describe())))
        self.watch.show(Progress("generate", self.drawn, self.total, self.drawn_before, self.undrawn, note=note))

    def _show_scored(self) -> None:
        reward = math.fsum(self._sums) / self._rewarded if self._rewarded else None
        note = "" if self.to_draw else self.account.describe()
        scored = Progress("score", self.scored, self.total, self.scored_before, self.unscored, reward, note)
        self.watch.show(scored)


@dataclass(slots=True)
class Counts:
    """Counts of a run before this call: planned samples, tried ones, and of these not generated or not scored.

    With `adapt`, a shard that is not generated yet counts with its upper bound.
    """

    samples: int
    tried: int = 0
    undrawn: int = 0
    unscored: int = 0


@dataclass(slots=True)
class Work:
    """The jobs that are left, and the counts of earlier work."""

    jobs: list[Job] = field(default_factory=list)
    before: Counts = field(default_factory=lambda: Counts(0))


Execute = Callable[[Run, Sequence[Job], Ledger], None]
"""A runner: does every job of a run, in any order and process, and reports to the ledger."""
Stages = Literal["generate", "score", "both"]
MAKES: dict[Stages, tuple[str, ...]] = {"generate": ("samples",), "score": ("scores",), "both": STAGES}
"""The marked stages that each command makes."""


def find_jobs(run: Run, stages: Stages, watch: Watch) -> Work:
    """Compare the plan with the existing files and return what is missing.

    Damaged files count as missing; in a file with unreached results, only those are missing.
    """
    plan, folder = run.read_plan(), run.folder
    sound = {stage: _find_sound(run, stage, watch) for stage in ("samples", "scores")}
    work, opened, sizes = Work(), set(folder.list_open()), folder.list_sizes("failures")
    taken = set(folder.list_taken())
    shards = sorted({*range(plan["shards"]), *sizes})
    for shard, noted in zip(shards, folder.look_at_failures(sizes, shards), strict=True):
        if isinstance(noted, Damage):
            _take_damage(noted, watch)
        if shard >= plan["shards"]:
            continue
        is_drawn = isinstance(noted, list) and shard in sound["samples"]
        is_scored = is_drawn and shard in sound["scores"]
        faults = noted if isinstance(noted, list) and is_drawn else []
        undrawn = [fault for fault in faults if fault.stage != "score"]
        # Unreached requests of the model repeat the generation; the scores of their prompts then follow.
        redraw = any(fault.unreached for fault in undrawn) and stages != "score"
        rescore = redraw or any(fault.unreached for fault in faults if fault.stage == "score")
        there: list[tuple[Stage, bool]] = [("samples", is_drawn), ("scores", is_scored)]
        keeps = frozenset(stage for stage, is_there in there if is_there)
        draw = (not is_drawn or redraw) and stages != "score"
        score = (not is_scored or rescore) and stages != "generate" and (is_drawn or stages == "both")
        samples = count_planned(run, plan, shard, len(undrawn) if is_drawn and not redraw else None)
        kept, lasting = _count_kept(folder, shard, keeps, undrawn) if draw and (redraw or shard in opened) else (0, 0)
        if draw or score:
            work.jobs.append(Job(shard, draw, score, samples, keeps, kept, is_taken=score and shard in taken))
        work.before.samples += samples
        # Earlier answers count as tried now; the repeated ones count again when they come.
        if redraw or kept:
            work.before.tried += kept
            work.before.undrawn += lasting
        elif is_drawn and not score:
            work.before.tried += samples
            work.before.undrawn += len(undrawn)
            work.before.unscored += len({(f.prompt_id, f.candidate) for f in faults if f.stage == "score"})
    return work


def _count_kept(folder: RunFolder, shard: int, keeps: frozenset[Stage], undrawn: Sequence[Failure]) -> tuple[int, int]:
    """Return how many answers of a shard stand that is still to be generated, and how many of them are failures."""
    rows, failures = folder.read_parts(shard, keep="samples" in keeps)
    lasting = {(each.prompt_id, each.candidate) for each in (*failures, *undrawn) if not each.unreached}
    return len(rows) + len(lasting), len(lasting)


def count_planned(run: Run, plan: Mapping[str, int], shard: int, undrawn: int | None) -> int:
    """Return the number of samples of a shard; with `adapt`, an upper bound until the shard is generated.

    `undrawn` counts the failures of its model, None if it is not generated yet.
    """
    if undrawn is not None and (run.recipe.adapt is not None or run.recipe.takes_pictures):
        return run.folder.count_samples(shard) + undrawn
    if run.recipe.takes_pictures:
        return len(list_requests(run, run.folder.read_prompts(shard)))
    return count_prompts(run, plan, shard) * run.recipe.candidates


def count_prompts(run: Run, plan: Mapping[str, int], shard: int) -> int:
    """Return the number of prompts of a shard."""
    return min(run.recipe.shard_prompts, plan["prompts"] - shard * run.recipe.shard_prompts)


def _find_sound(run: Run, stage: Literal["samples", "scores"], watch: Watch) -> set[int]:
    there = run.folder.list_shards(stage)
    damaged = run.folder.find_damage(stage, there)
    for damage in damaged:
        _take_damage(damage, watch)
    return set(there) - {damage.shard for damage in damaged}


def _take_damage(damage: Damage, watch: Watch) -> None:
    if damage.is_foreign:
        raise damage.refuse()
    watch.say(f"{damage.where} is damaged ({damage.what}): counts as missing")


def run_jobs(run: Run, stages: Stages, execute: Execute, watch: Watch, account: Account | None = None) -> None:
    """Do all missing work of a stage, within the budget of the account (default: one without limits).

    Raises TooManyFailures, RunError, errors of the runner, and Paused when the budget is spent and something is left.

    Raises before any work if shards belong to another recipe or modules or model files have changed. Before scoring,
    the scorers judge the recipe's canaries and the judge one picture, so that a broken scorer does not cost a night.
    """
    again = "" if stages == "both" else program.command(stages, run.folder)
    settle_makers(run, MAKES[stages], command=again)
    if stages != "score":
        take_along(run, watch)
    work = find_jobs(run, stages, watch)
    if work.jobs:
        note_versions(run, watch)
    if stages != "generate":
        check_canaries(run, watch, again=bool(work.jobs))
        if any(job.score for job in work.jobs):
            check_judge(run)
    if stages != "score":
        # A kill between the join of a shard and the end of its parts leaves them: all is in its file.
        for shard in set(run.folder.list_open()) - {job.shard for job in work.jobs if job.draw}:
            run.folder.remove_parts(shard)
        for shard in set(run.folder.list_taken()) & set(run.folder.list_shards("scores")):
            run.folder.remove_taken_scores(shard)
    ledger = Ledger(run, work.jobs, work.before, watch, account)
    ledger.check_failures()
    if work.jobs:
        ledger.show_start()
        try:
            execute(run, work.jobs, ledger)
        finally:
            ledger.write_log()
        ledger.check_failures()
        ledger.require_all()
    elif stages != "score":
        watch.show(Progress("generate", ledger.total, ledger.total, ledger.total, ledger.undrawn))
    if lost := find_unreached(run).describe():
        watch.say(f"warning: {lost}")
        watch.say(f"warning: {ASKED_AGAIN}" + (f": {again}" if again else ""))


def note_versions(run: Run, watch: Watch, *, again: bool = False) -> None:
    """Report packages whose version changed since the run noted it, and note both: parts are made by either.

    With `again`, everything is rescored, so of packages that only affect scores, only the new version is noted.
    """
    notes = run.folder.read_notes()
    noted = dict(notes.get("versions") or {})
    here = read_versions()
    if again:
        noted |= {name: here[name] for name in READERS if name in here}
    for name, (last, now) in find_newer(noted, here).items():
        noted[name] = f"{noted[name]}, {now}"
        if not again:
            hint = f"`{program.command('score', run.folder, '--again')}` scores all with one version"
            watch.say(f"parts of the run were made with {name} {last}, but {now} is installed now; {hint}")
    if noted != notes.get("versions"):
        run.folder.write_notes({**notes, "versions": noted})


def rescore_run(
    word: str,
    changes: Sequence[Change],
    again: bool,
    execute: Execute,
    watch: Watch,
    budget: Budget | None = None,
    *,
    keep: bool = False,
) -> Run:
    """Score unscored samples; rescore all if `again`, or if `changes` name other rewards or another detector.

    The same changes once more go on where that ended.
    Otherwise a scorer whose module changed is refused unless `keep`, since half of the scores would come from each
    version. Old scores are deleted before the new recipe is noted: a kill in between leaves shards to score, never a
    mixture.
    """
    run = open_run(word, changes, allowed=SCORE_KEYS)
    check_plugins(run)
    anew = again or changed_keys(open_run(word).recipe.to_dict(), run.recipe.to_dict()) != []
    if (
        anew
        and changes
        and run.recipe.adapt is not None
        and any(job.draw for job in find_jobs(run, "generate", watch).jobs)
    ):
        hint = f"generate them first: {program.command('generate', run.folder)}"
        raise RunError("with `adapt`, missing samples depend on the current scorers", where=word, hint=hint)
    with run.folder.hold():
        if anew:
            settle_makers(run, ())
            _find_sound(run, "samples", watch)  # raises for foreign samples, before any score is deleted
            for shard in run.folder.list_shards("scores"):
                run.folder.remove_shard("scores", shard)
            for shard in run.folder.list_taken():
                run.folder.remove_taken_scores(shard)
            renew_scores(run)
            note_versions(run, watch, again=True)
        elif keep:
            settle_makers(run, ("scores",), keep=True)
        if changes:
            save_recipe(run)
        run_jobs(run, "score", execute, watch, Account(run, budget))
    return run


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A finished run: its weights, its dataset, and the address of its report.

    `unreached` is a sentence about samples for which a model was not reached, `""` if there are none.
    """

    weighed: Weighed
    dataset: ExportResult
    report: str
    unreached: str


def build_run(
    run: Run, execute: Execute, watch: Watch, budget: Budget | None = None, *, intended: Collection[str] = ()
) -> BuildResult:
    """Finish a run from any state; `execute` is the runner that makes the shards.

    The caller is not warned of keys of the recipe that are `intended` to be as they are.
    On a finished run it only makes the views again. Raises DatagenError, among them Paused when the budget of this call
    is spent; every finished shard is kept.
    """
    with track_run(run, watch) as tracked:
        return _build(run, execute, tracked, budget, intended)


def answer_run(run: Run, execute: Execute, watch: Watch, budget: Budget | None = None) -> None:
    """Make and judge all samples of a run from any state, without the views. Raises as `run_jobs` does."""
    account = Account(run, budget)
    plan_stage(run, watch, account)
    run_jobs(run, "both", execute, watch, account)


def _build(run: Run, execute: Execute, watch: Tracked, budget: Budget | None, intended: Collection[str]) -> BuildResult:
    for key, what in list_warnings(run, load=not _is_scored(run)):
        if key not in intended:
            watch.say(f"warning: {what}")
    answer_run(run, execute, watch, budget)
    weighed = weigh_run(run, watch)
    watch.finish(weighed)
    dataset = export_run(run, weighed, watch)
    report = report_run(run, weighed, watch)
    run.folder.log(f"finished: {len(weighed.rows)} samples, {dataset.kept} with weight")
    return BuildResult(weighed, dataset, report, find_unreached(run).describe())


def _is_scored(run: Run) -> bool:
    """Return whether every shard has scores, so that no detector needs to be loaded."""
    plan = run.folder.read_notes().get("plan")
    return isinstance(plan, dict) and len(run.folder.list_shards("scores")) >= plan["shards"]
