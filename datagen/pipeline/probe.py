"""Probe runs for every level of every skill, and the diagnosis of any scored run. Try `datagen diagnose`.

A probe is a normal run: the recipe with equal shares for all levels, its own seed, no rewriting, and only the scorers
that make weights. So it resumes after a kill, does not depend on who makes its shards, and works with `datagen sample`
and `report`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datagen.config import MAX_SHARD_SAMPLES, Recipe, make_recipe
from datagen.diagnose import Diagnosis, Group, Receipt, fail_unfinished, list_rows, read_results
from datagen.errors import ConfigError, RunError
from datagen.pipeline.needs import NEEDS
from datagen.pipeline.run import Run, create_run, find_run, list_levels, open_run
from datagen.pipeline.shards import group_scores
from datagen.pipeline.views import list_scored, make_row, weighing
from datagen.pipeline.watch import Watch
from datagen.pipeline.work import Execute, answer_run
from datagen.records import Prompt, Score, seed_of
from datagen.scoring.scorers import Scorer, load_scorer
from datagen.scoring.verdicts import find_causes

FILE = "diagnosis.yaml"


def probe_recipe(recipe: Recipe, prompts: int, candidates: int | None = None, *, held_out: bool = False) -> Recipe:
    """Return the probe recipe of a recipe: `prompts` per level, with `candidates` each (default: the recipe's).

    With `held_out` it is judged by what makes no weights: the scorers under `evaluate`, and the detector of `train`.
    Its seed is derived from the recipe's, so that diagnosis and training use different samples. Raises ConfigError for
    a taxonomy that does not load, for sizes that a run cannot have, and with `held_out` if there is no such judge.
    """
    if recipe.takes_rows:
        hint = "diagnose its run: datagen diagnose RUN"
        if held_out:
            hint = "rounds and arms are measured on prompts of a taxonomy: name one, without `source:`"
        what = "a probe asks equally many prompts of each level of a taxonomy, and the prompts of this recipe are rows"
        raise ConfigError(what, where="source", hint=hint)
    tries = candidates or recipe.candidates
    if tries < 2:
        hint = "add --candidates 4: pass@n is what n candidates of a prompt reach"
        raise ConfigError("pass@n needs at least two candidates per prompt", where="candidates", hint=hint)
    changes = {
        "name": f"{recipe.name[:88]}-diagnosis",
        "prompts": prompts * len(list_levels(Run(recipe, "diagnose").taxonomy)),  # only a name: nothing is written
        "candidates": tries,
        "seed": seed_of(recipe.seed, "diagnose"),
        "shard_prompts": max(1, min(recipe.shard_prompts, MAX_SHARD_SAMPLES // tries)),
        "adapt": None,
        "evaluate": None,
        "expand": None,
        "allocate": {"policy": "uniform"},
        "train": None,
    }
    if held_out:
        changes |= _held_out_judge(recipe)
    return make_recipe({**recipe.to_dict(), **changes}, where=f"probe of {recipe.name}")


def _held_out_judge(recipe: Recipe) -> dict[str, Any]:
    """Return the keys of a recipe's held-out judge; those that name the scorers of the weights are left out.

    Without scorers of its own it has those of the weights that another detector decides: a judge, a service or an
    encoder would be the same one again.
    """
    detector = recipe.train.detector if recipe.train else None
    values = recipe.to_dict()
    chosen = values["evaluate"]
    if chosen is None and detector not in (None, recipe.detector):
        modules = {name: load_scorer(recipe.scorers[name]) for name in recipe.selecting}
        seen = [name for name, module in modules.items() if not _asks_another(module)]
        if any(modules[name].TARGET == "image" for name in seen):
            chosen = [recipe.scorers[name].model_dump() for name in seen]
    if chosen is None:
        what = "names no judge that is independent of the weights, so no round could be measured"
        hint = (
            "name a scorer under `evaluate:`, or another detector under `train: {detector: …}` if scorers of the image "
            "use one"
        )
        raise ConfigError(what, where=f"recipe {recipe.name}", hint=hint)
    judges = {"rewards": chosen}
    detectors = {"detector": values["train"]["detector"]} if detector else {}
    freed: dict[str, Any] = {
        "limits": {},
        "canaries": None,
        "least": None,
        "exports": {},
        "aggregate": {},
        "weights": {},
    }
    return {**freed, **judges, **detectors}


def _asks_another(scorer: Scorer) -> bool:
    """Return whether a scorer asks a judge, a service or a model of its own, whatever the detector."""
    return any(getattr(scorer, mark, False) for mark in (*NEEDS, "NEEDS_MATCHER", "NEEDS_LIKELIHOOD", "REACHED_BY"))


def read_groups(run: Run) -> dict[str, list[Group]]:
    """Return the results of each prompt of a scored run, by level, in the order of the taxonomy.

    With `adapt`, only the candidates that every prompt has count: the others were made depending on how these did.
    Raises RunError when a shard has no scores or is damaged.
    """
    n = run.recipe.least_candidates
    groups: dict[str, list[Group]] = defaultdict(list)
    for shard in list_scored(run):
        scores = group_scores(run.folder.read_scores(shard))
        faults = [fault for fault in run.folder.read_failures(shard) if fault.stage != "score"]
        lost = [fault for fault in faults if fault.candidate < n]
        unmade = Counter(fault.prompt_id for fault in lost)
        unfinished = Counter(fault.prompt_id for fault in lost if not fault.unreached)
        by_prompt: dict[str, list[list[Score]]] = defaultdict(list)
        for sample_id, given in scores.items():
            prompt_id, _, candidate = sample_id.rpartition("-")
            if int(candidate) < n:
                by_prompt[prompt_id].append(given)
        for prompt in run.folder.read_prompts(shard):
            path = f"{prompt.path}/{prompt.level}"
            group = _group(run, prompt, by_prompt[prompt.id], unmade[prompt.id])
            groups[path].append(replace(group, unfinished=unfinished[prompt.id]))
    # Levels in the order of the taxonomy where it can tell, so that a skill's levels stand together.
    order = {path: place for place, path in enumerate(list_levels(run.taxonomy))}
    return {path: groups[path] for path in sorted(groups, key=lambda path: (order.get(path, len(order)), path))}


def diagnose_run(run: Run, *, is_probe: bool = False, unfinished_fail: bool = False) -> Diagnosis:
    """Return the diagnosis of a scored run; with `unfinished_fail` as `fail_unfinished` counts.

    Raises as `read_groups` does, and ConfigError if nothing was judged.
    """
    groups: Mapping[str, Sequence[Group]] = read_groups(run)
    if unfinished_fail:
        groups = fail_unfinished(groups)
    rows = list_rows(groups, run.recipe.least_candidates)
    if not rows:
        raise ConfigError("no sample of the run was judged", where=str(run.folder), hint="see failures/ there")
    return Diagnosis(made=_sign(run, sum(map(len, groups.values())), is_probe), rows=rows)


def _group(run: Run, prompt: Prompt, samples: list[list[Score]], unmade: int) -> Group:
    rows = [make_row(run, prompt, "", scores) for scores in samples]
    verdicts, rewards = [row.passed for row in rows], [row.image for row in rows]
    judged = [row.passed is not None or row.image is not None for row in rows]
    # What fails for one scorer and was not judged by another has no verdict, so why it fails is no share of a rate.
    causes = [find_causes(weighing(run, scores)) for scores, counts in zip(samples, judged, strict=True) if counts]
    named = Counter(cause for each in causes for cause in each or ())
    return Group(
        prompt.id,
        tries=sum(verdict is not None for verdict in verdicts),
        passes=sum(verdict is True for verdict in verdicts),
        rewards=tuple(reward for reward in rewards if reward is not None),
        unjudged=unmade + judged.count(False),
        causes=named if named or None not in causes else None,
        judged=judged.count(True),
    )


def _sign(run: Run, prompts: int, is_probe: bool) -> Receipt:
    recipe = run.recipe
    return Receipt(
        source="probe" if is_probe else "run",
        datagen=version("datagen"),
        model=recipe.backend.model_dump(mode="json"),
        recipe=recipe.name,
        fingerprint=str(run.folder.read_notes().get("fingerprint", "")),
        mode=recipe.mode,
        rewards=recipe.selecting,
        seed=recipe.seed,
        prompts=prompts,
        candidates=recipe.least_candidates,
        run=str(run.folder),
    )


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
        answer_run(run, execute, watch)
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
