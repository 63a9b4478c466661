"""The pipeline from a recipe to a dataset, from prompts to the report. The only package that knows every plugin family.

    prompts ──▶ generate ──▶ score ──▶ weigh ──▶ export ──▶ report

The first three stages write shards; a shard's content depends only on the plan, never on who made it, when or in which
order. The others are views on all shards, made again on every call. A runner needs `generate_shards` and
`finish_shard`.
"""

from __future__ import annotations

from datagen.export import MADE
from datagen.pipeline.adopting import adopt_shards
from datagen.pipeline.checks import check_recipe, list_warnings
from datagen.pipeline.comparing import list_taught_changes
from datagen.pipeline.flow import generate_shards, run_shard
from datagen.pipeline.growing import open_build
from datagen.pipeline.inspect import (
    Estimate,
    Finding,
    Found,
    RunProgress,
    RunStatus,
    estimate_run,
    examine_recipe,
    find_sample,
    make_again,
    mark_sample,
    read_progress,
    read_status,
    save_image,
)
from datagen.pipeline.made import find_stale, require_current
from datagen.pipeline.makers import list_code, list_here, read_versions
from datagen.pipeline.needs import check_plugins
from datagen.pipeline.probe import FILE as DIAGNOSIS_FILE
from datagen.pipeline.probe import diagnose_run, probe_recipe, probe_run, read_diagnosis, read_groups
from datagen.pipeline.prompts import plan_sources, plan_stage, read_texts
from datagen.pipeline.review import count_reviews, describe_reviews, read_reviews
from datagen.pipeline.run import Run, create_run, find_run, list_scorable, note_recipe, open_run, settle_makers
from datagen.pipeline.shards import Job, ShardResult, finish_shard, finish_shards, score_by, score_group_by, tools_for
from datagen.pipeline.spending import Account, Budget, Meter, cost_of, read_spent
from datagen.pipeline.unreached import insist, is_built
from datagen.pipeline.views import (
    Weighed,
    drop_views,
    export_run,
    name_export,
    publish_recipe,
    read_items,
    read_weights,
    reexport_run,
    report_run,
    reweigh_run,
    weigh_run,
)
from datagen.pipeline.waiting import give_up_by
from datagen.pipeline.watch import SILENT, Progress, Silent, Watch, follow
from datagen.pipeline.work import BuildResult, Execute, Ledger, answer_run, build_run, find_jobs, rescore_run, run_jobs

__all__ = [
    "DIAGNOSIS_FILE",
    "MADE",
    "SILENT",
    "Account",
    "Budget",
    "BuildResult",
    "Estimate",
    "Execute",
    "Finding",
    "Found",
    "Job",
    "Ledger",
    "Meter",
    "Progress",
    "Run",
    "RunProgress",
    "RunStatus",
    "ShardResult",
    "Silent",
    "Watch",
    "Weighed",
    "adopt_shards",
    "answer_run",
    "build_run",
    "check_plugins",
    "check_recipe",
    "cost_of",
    "count_reviews",
    "create_run",
    "describe_reviews",
    "diagnose_run",
    "drop_views",
    "estimate_run",
    "examine_recipe",
    "export_run",
    "find_jobs",
    "find_run",
    "find_sample",
    "find_stale",
    "finish_shard",
    "finish_shards",
    "follow",
    "generate_shards",
    "give_up_by",
    "insist",
    "is_built",
    "list_code",
    "list_here",
    "list_scorable",
    "list_taught_changes",
    "list_warnings",
    "make_again",
    "mark_sample",
    "name_export",
    "note_recipe",
    "open_build",
    "open_run",
    "plan_sources",
    "plan_stage",
    "probe_recipe",
    "probe_run",
    "publish_recipe",
    "read_diagnosis",
    "read_groups",
    "read_items",
    "read_progress",
    "read_reviews",
    "read_spent",
    "read_status",
    "read_texts",
    "read_versions",
    "read_weights",
    "reexport_run",
    "report_run",
    "require_current",
    "rescore_run",
    "reweigh_run",
    "run_jobs",
    "run_shard",
    "save_image",
    "score_by",
    "score_group_by",
    "settle_makers",
    "tools_for",
    "weigh_run",
]
