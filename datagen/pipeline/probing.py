"""Where a model fails, from a probe run made here, from a run that is there, or from a benchmark's results."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from datagen.config import Recipe
from datagen.diagnose import Diagnosis, read_results
from datagen.errors import RunError
from datagen.pipeline.probe import FILE, diagnose_run, probe_recipe
from datagen.pipeline.prompts import plan_stage
from datagen.pipeline.run import create_run, find_run, open_run
from datagen.pipeline.watch import Watch
from datagen.pipeline.work import Execute, run_jobs


def probe_run(
    recipe: Recipe,
    execute: Execute,
    watch: Watch,
    prompts: int,
    candidates: int | None = None,
    folder: str | None = None,
    *,
    command: str = "datagen diagnose",
    keep: bool = False,
) -> tuple[Diagnosis, str]:
    """Make or resume the probe of a recipe, `prompts` per level, and return its diagnosis and the file for it.

    `folder` is outputs/<name>-diagnosis by default; `command` is named in errors. Raises what `create_run` and
    `run_jobs` raise.
    """
    probe = probe_recipe(recipe, prompts, candidates)
    run = create_run(probe, folder or f"outputs/{probe.name}", command, keep=keep)
    with run.folder.hold():
        plan_stage(run, watch)
        run_jobs(run, "both", execute, watch)
    return diagnose_run(run, is_probe=True), f"{run.folder}/{FILE}"


def read_diagnosis(results: str, category: str = "", model: str = "") -> tuple[Diagnosis, str]:
    """Return the diagnosis of a benchmark's result file or of a scored run, and the file for it; generates nothing.

    `category` and `model` are those of a result file. Raises RunError for what is neither.
    """
    if Path(results).is_file():
        return read_results(results, category=category, model=model, version=version("datagen")), FILE
    if Path(results).suffix in (".csv", ".json", ".jsonl"):
        raise RunError("no such file", where=results, hint="give a benchmark's result file, or a run")
    try:
        address = find_run(results)
    except RunError as error:
        raise RunError("no such file, and no such run", where=results, hint=error.hint) from error
    return diagnose_run(open_run(address)), f"{address}/{FILE}"
