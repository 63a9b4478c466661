"""What a recipe comes to before anything is spent: counts by arithmetic, disk and time from a small probe."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from datagen.config import Recipe
from datagen.diagnose import Allotment
from datagen.errors import BackendError
from datagen.pipeline._run import Run
from datagen.pipeline._shards import ask_backend, list_requests, score_sample
from datagen.pipeline._warnings import list_warnings
from datagen.prompts.templated import plan_prompts, share_out
from datagen.records import Request, Sample
from datagen.store import RunFolder

PROBE_SAMPLES = 64
VIEW_FACTOR = 2.4
"""Disk of a finished run over that of its samples: the dataset holds each picture again, the report the first few."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run comes to. Times and bytes are None without a probe; `probed` is how many samples it measured.

    With `adapt`, `samples`, times and bytes are the most that there can be, and `least_samples` the least.

    `skills` holds the share of each skill by path; with `allocate:`, `allotment` holds those of the levels instead.
    """

    prompts: int
    samples: int
    least_samples: int
    shards: int
    skills: dict[str, float]
    skipped: tuple[tuple[str, str], ...]
    allotment: Allotment | None = None
    warnings: tuple[str, ...] = ()
    probed: int = 0
    samples_per_second: float | None = None
    scores_per_second: float | None = None
    disk_bytes: int | None = None
    seconds: float | None = None


def estimate_run(recipe: Recipe, *, probe: bool, workers: int) -> Estimate:
    """Return what a recipe comes to; with `probe`, load the model and time a few samples and their scores.

    `workers` is how many processes will score. Raises ConfigError, PluginError or BackendError as the run would.
    """
    with tempfile.TemporaryDirectory() as away:
        run = Run(recipe, away)
        parts = share_out(run.taxonomy)
        plain = Estimate(
            prompts=recipe.prompts,
            samples=recipe.prompts * recipe.candidates,
            least_samples=recipe.prompts * recipe.least_candidates,
            shards=-(-recipe.prompts // recipe.shard_prompts),
            skills={path: part / sum(parts.values()) for path, part in parts.items()},
            skipped=run.taxonomy.skipped,
            allotment=run.allotment,
            warnings=tuple(what for _, what in list_warnings(run, load=probe)),
        )
        return _probe(run, plain, workers) if probe else plain


def _probe(run: Run, plain: Estimate, workers: int) -> Estimate:
    recipe = run.recipe
    wanted = min(PROBE_SAMPLES, plain.samples)
    first = -(-wanted // recipe.candidates)
    prompts = list(plan_prompts(run.taxonomy, first, recipe.seed, run.blocked, shares=run.shares, screen=run.screen))
    requests = list_requests(run, prompts)[:wanted]
    next(ask_backend(run, requests[:1]), None)  # the first call loads the model and warms up
    drawn, samples = _time_drawing(run, requests)
    if not samples:
        raise BackendError("not one sample of the probe succeeded", hint="`datagen build` records why, in failures/")
    by_id = {prompt.id: prompt for prompt in prompts}
    score_sample(run, by_id[samples[0].prompt_id], samples[0])
    started = time.perf_counter()
    for sample in samples:
        score_sample(run, by_id[sample.prompt_id], sample)
    scored = len(samples) / (time.perf_counter() - started)
    RunFolder(run.folder.address).write_samples(0, samples)
    size = (run.folder.local_path / "samples/00000.parquet").stat().st_size / len(samples)
    return replace(
        plain,
        probed=len(requests),
        samples_per_second=drawn,
        scores_per_second=scored,
        disk_bytes=round(size * VIEW_FACTOR * plain.samples),
        seconds=plain.samples / min(drawn, scored * max(1, workers)),
    )


def _time_drawing(run: Run, requests: Sequence[Request]) -> tuple[float, list[Sample]]:
    started = time.perf_counter()
    answers = list(ask_backend(run, requests))
    return len(answers) / (time.perf_counter() - started), [a for a in answers if isinstance(a, Sample)]
