"""`build_run`: all stages in order, each doing only what is missing."""

from __future__ import annotations

from dataclasses import dataclass

from datagen.export import ExportResult
from datagen.pipeline._prompts import plan_stage
from datagen.pipeline._run import Run
from datagen.pipeline._unreached import find_unreached
from datagen.pipeline._views import Weighed, export_run, report_run, weigh_run
from datagen.pipeline._warnings import list_warnings
from datagen.pipeline._watch import Watch
from datagen.pipeline._work import Execute, run_jobs


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
