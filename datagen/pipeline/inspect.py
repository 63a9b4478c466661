"""Inspection of a run and of a recipe: `datagen status`, `sample`, `regen`, `mark`, `plan` and `doctor`.

A run: its progress, one of its samples, the sample regenerated from its seed or marked by a person. A recipe: an
estimate of counts (by arithmetic), disk and time (from a small probe), and an examination of its models.

The examination finds servers that answer 200 but ignore the prompt, the seed or the schema: each would cost a night,
and none shows in a log. The judge is asked about a picture of a red star, and a rewriter for a JSON document. The model
gets a few prompts of the recipe's taxonomy three times: with one seed for all, with the same again, and with another.

Not covered: how good the images are, which the run itself measures.
"""

from __future__ import annotations

import json
import math
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple

from datagen.addresses import without_addresses
from datagen.amounts import count_of, format_seconds
from datagen.chat import ChatRequest, Message, Sampling
from datagen.config import Recipe, make_recipe
from datagen.diagnose import Allotment
from datagen.errors import BackendError, ConfigError, RunError
from datagen.picture_files import find_kind, name_ending
from datagen.pictures import encode_picture, hash_image, read_image
from datagen.pipeline.border import accept_answer
from datagen.pipeline.checks import NOT_SHOWN, SHOWN, is_bound, list_warnings, tell_yes_from_no, try_judge
from datagen.pipeline.flow import ask_backend
from datagen.pipeline.made import find_stale
from datagen.pipeline.makers import find_changes
from datagen.pipeline.needs import name_model
from datagen.pipeline.prompts import draw_prompts, plan_sources
from datagen.pipeline.review import count_reviews, read_reviews
from datagen.pipeline.run import STAGES, Run
from datagen.pipeline.shards import count_candidates, list_requests, score_sample
from datagen.pipeline.spending import Account, Spent, cost_of, describe_spent, read_spent
from datagen.pipeline.unreached import Unreached
from datagen.pipeline.views import read_rows
from datagen.pipeline.watch import SILENT, Progress, Watch, follow
from datagen.pipeline.work import count_planned
from datagen.prompts.expanded import ExpandStats
from datagen.prompts.templated import PromptStats, count_places, share_out
from datagen.records import Failure, Prompt, Request, Sample, Score, seed_of
from datagen.store import MARKED_AS, SUFFIXES, Damage, RunFolder
from datagen.usage import Usage, add_usage

MOST_LISTED = 8
"""How many ids a message lists."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The progress of a run. `shards` counts finished files by stage; `rewards` are means by (weakness, modality).

    `kept` counts the answers in the parts of unfinished shards.

    `is_bound` says that `planned_samples` is an upper bound: with `adapt`, until every shard is generated. `unreached`
    is a sentence about the samples for which a model must be asked again, `""` if there are none. `stale` gives the
    reason why dataset, exports or report are stale, `""` if they are not. `changed` names modules and model files that
    differ from those of the run, and packages that were used in two versions. `spent` says in words what models were
    asked for in all calls, `""` if that is not known. `review` counts the samples that a person accepted, rejected
    and commented.
    """

    planned_shards: int
    planned_samples: int
    shards: dict[str, int]
    samples: int
    failed: int
    kept: int
    damaged: list[str]
    rewards: dict[tuple[str, str], float]
    dataset: bool
    report: bool
    is_bound: bool
    unreached: str
    stale: dict[str, str]
    changed: list[str]
    spent: str
    review: dict[str, int]


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run is, as `RunStatus` says it, from the names of its files and its parts alone."""

    planned_shards: int
    planned_samples: int
    shards: dict[str, int]
    kept: int


@dataclass(frozen=True, slots=True)
class Found:
    """One sample with its prompt and scores; a sample that could not be generated has a failure instead."""

    shard: int
    prompt: Prompt
    candidate: int
    sample: Sample | None
    scores: list[Score]
    failures: list[Failure]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; of an image its kind and its size in bytes."""
        sample = self.sample
        parts = [
            {
                "kind": part.kind,
                "role": part.role,
                "text": part.text,
                "bytes": len(part.image),
                "format": find_kind(part.image),
            }
            for part in (sample.segments if sample else ())
        ]
        about = ("engine", "seed", "mode", "switch", "finish", "settings")
        return {
            "id": f"{self.prompt.id}-{self.candidate:02d}",
            "shard": self.shard,
            "prompt": self.prompt.to_dict(),
            "made": {name: getattr(sample, name) for name in about} if sample else None,
            "segments": parts,
            "scores": [score.to_dict() for score in self.scores],
            "failures": [failure.to_dict() for failure in self.failures],
        }


def read_status(run: Run) -> RunStatus:
    """Read the progress of a run; reads no images."""
    folder = run.folder
    plan: dict[str, Any] = folder.read_notes().get("plan") or {}
    sizes = {stage: folder.list_sizes(stage) for stage in SUFFIXES}
    there = {stage: list(each) for stage, each in sizes.items()}
    damage = [found for stage in SUFFIXES if stage != "failures" for found in folder.find_damage(stage, there[stage])]
    failed: set[tuple[str, int]] = set()
    undrawn = dict[int, int]()
    unreached = Unreached()
    for shard, faults in zip(
        there["failures"], folder.look_at_failures(sizes["failures"], there["failures"]), strict=True
    ):
        if isinstance(faults, Damage):
            damage.append(faults)
        elif faults is not None:
            failed |= {(fault.prompt_id, fault.candidate) for fault in faults}
            undrawn[shard] = sum(fault.stage != "score" for fault in faults)
            unreached.add(faults)
    bad = {(found.stage, found.shard) for found in damage}
    values: dict[tuple[str, str], list[float]] = {}
    for shard in there["scores"]:
        if {("scores", shard), ("prompts", shard)} & bad or shard not in there["prompts"]:
            continue
        for row in read_rows(run, shard):
            for modality, value in (("text", row.text), ("image", row.image)):
                if value is not None:
                    values.setdefault((row.weakness, modality), []).append(value)
    shards = range(int(plan.get("shards", 0)))
    drawn = (
        {*there["samples"]} & undrawn.keys() & {*shards} - {found.shard for found in damage if found.stage == "samples"}
    )
    return RunStatus(
        planned_shards=len(shards),
        planned_samples=sum(
            count_planned(run, plan, shard, undrawn[shard] if shard in drawn else None) for shard in shards
        ),
        shards={
            stage: sum((stage, shard) not in bad for shard in shards)
            for stage, shards in there.items()
            if stage != "rewrites" or run.expansion is not None
        },
        samples=sum(folder.count_samples(shard) for shard in there["samples"] if ("samples", shard) not in bad),
        failed=len(failed),
        kept=_count_kept(folder, there["samples"]),
        damaged=[f"{found.where}: {found.what}" for found in damage],
        rewards={key: math.fsum(some) / len(some) for key, some in sorted(values.items())},
        dataset=folder.has("dataset/README.md"),
        report=folder.has("report.html"),
        is_bound=run.recipe.adapt is not None and len(drawn) < len(shards),
        unreached=unreached.describe(),
        stale=find_stale(run),
        changed=_list_changed(run),
        spent=describe_spent(read_spent(run), run.recipe.prices),
        review=count_reviews(read_reviews(run).values()),
    )


def read_progress(run: Run) -> RunProgress:
    """Read how far a run is while it is made: no file is checked, and `planned_samples` is an upper bound."""
    folder = run.folder
    plan: dict[str, Any] = folder.read_notes().get("plan") or {}
    shards = range(int(plan.get("shards", 0)))
    there = {stage: folder.list_shards(stage) for stage in MARKED_AS if stage in STAGES}
    return RunProgress(
        planned_shards=len(shards),
        planned_samples=sum(count_planned(run, plan, shard, None) for shard in shards),
        shards={stage: len(some) for stage, some in there.items()},
        kept=_count_kept(folder, there["samples"]),
    )


def _count_kept(folder: RunFolder, drawn: Sequence[int]) -> int:
    """Return the number of answers in the parts of shards that are not among those drawn."""
    parts = (folder.read_parts(shard, keep=False) for shard in folder.list_open() if shard not in drawn)
    return sum(len(rows) + len(failures) for rows, failures in parts)


def _list_changed(run: Run) -> list[str]:
    notes = run.folder.read_notes()
    mixed = [f"{name} {versions}" for name, versions in (notes.get("versions") or {}).items() if ", " in versions]
    return [*find_changes(notes.get("makers") or run.makers, run.makers, STAGES), *mixed]


def find_sample(run: Run, word: str) -> Found:
    """Find one sample by its id or by a unique beginning of it.

    With one candidate, the prompt's id is enough. Raises RunError if no sample matches, or several do; the message
    lists them.
    """
    start, dash, number = word.partition("-")
    if dash and not number.isdigit():
        raise RunError(f"no sample id: {word!r}", where=str(run.folder), hint="ids look like 0123456789abcdef-02")
    hits = [
        (shard, prompt)
        for shard in run.folder.list_shards("prompts")
        for prompt in run.folder.read_prompts(shard)
        if prompt.id.startswith(start)
    ]
    candidates = range(max((count_candidates(run, prompt) for _, prompt in hits), default=1))
    matches = [
        (shard, prompt, k)
        for shard, prompt in hits
        for k in range(count_candidates(run, prompt))
        if not dash or f"{k:02d}".startswith(number) or k == int(number)
    ]
    if hits and not matches:
        hint = f"candidates of this run: 00 to {candidates[-1]:02d}"
        raise RunError(f"no sample {word!r}", where=str(run.folder), hint=hint)
    if len(matches) != 1:
        ids = [f"{prompt.id}-{k:02d}" for _, prompt, k in matches]
        listed = ", ".join(ids[:MOST_LISTED]) + (
            f" and {len(ids) - MOST_LISTED} more" if len(ids) > MOST_LISTED else ""
        )
        what = f"{len(ids)} samples begin with {word!r}" if ids else f"no sample {word!r}"
        hint = f"choose one: {listed}" if ids else f"ids are in {run.folder}/prompts/ and in the report"
        raise RunError(what, where=str(run.folder), hint=hint)
    shard, prompt, candidate = matches[0]
    failures = [f for f in run.folder.read_failures(shard) if (f.prompt_id, f.candidate) == (prompt.id, candidate)]
    sample_id = f"{prompt.id}-{candidate:02d}"
    sample = next((some for some in run.folder.read_samples(shard) if some.id == sample_id), None)
    if sample is None and not failures and shard in run.folder.list_shards("samples"):
        what = f"the first {run.recipe.least_candidates} candidates were judged alike, so this one was not generated"
        raise RunError(what, where=sample_id, hint="see `adapt` in the recipe")
    scored = shard in run.folder.list_shards("scores")
    scores = [s for s in run.folder.read_scores(shard) if s.sample_id == sample_id] if scored else []
    return Found(shard, prompt, candidate, sample, scores, failures)


def make_again(run: Run, found: Found) -> list[str]:
    """Regenerate a sample from its seed and return the differences to the stored one; [] if they are bit-identical.

    Raises BackendError when the model cannot be loaded, RunError when there is no stored sample to compare with.
    """
    if found.sample is None:
        what = found.failures[0].error if found.failures else "it was not generated yet"
        raise RunError(f"there is no such sample: {what}", where=f"{found.prompt.id}-{found.candidate:02d}")
    request = list_requests(run, [found.prompt])[found.candidate]
    answer = next(ask_backend(run, [request]), None)
    if answer is not None:
        answer = accept_answer(run.recipe.backend.name, run.recipe.images, request, answer)
    if not isinstance(answer, Sample):
        return [f"it failed this time: {answer.error if answer else 'no answer'}"]
    different = []
    for name in Sample.__dataclass_fields__:
        before, after = getattr(found.sample, name), getattr(answer, name)
        if name == "settings":  # earlier versions stored the server's address, which does not affect the sample
            before, after = without_addresses(before), without_addresses(after)
        if before != after and name != "segments":
            different.append(f"{name}: {before!r} -> {after!r}")
    for number, (old, new) in enumerate(zip(found.sample.segments, answer.segments, strict=False)):
        if old != new:
            different.append(f"segment {number} ({old.role}) has other {'pixels' if old.kind == 'image' else 'words'}")
    if len(found.sample.segments) != len(answer.segments):
        different.append(f"{len(found.sample.segments)} segments -> {len(answer.segments)}")
    return different


def save_image(found: Found, path: Path) -> Path:
    """Write the last image of a sample to a file: as it is stored if the name ends so, else as PNG.

    Raises RunError when there is none or no place for it, ConfigError for a name that ends otherwise.
    """
    name = f"{found.prompt.id}-{found.candidate:02d}"
    image = found.sample.image if found.sample else None
    if image is None:
        raise RunError("the sample has no image", where=name)
    ending = name_ending(image)
    if path.suffix.lower().replace("jpeg", "jpg") != f".{ending}":
        if path.suffix.lower() != ".png":
            raise ConfigError(f"the image is stored as {ending}", where=str(path), hint=f"end the name with .{ending}")
        image = encode_picture(read_image(image))
    try:
        path.write_bytes(image)
    except OSError as error:
        raise RunError(f"cannot be written: {error.strerror}", where=str(path)) from error
    return path


def mark_sample(found: Found, wrong: Sequence[int], into: Path) -> int | None:
    """Add a sample to a file of canaries (see `marks`), with its image beside the file.

    `wrong` lists the numbers, from 1, of the claims that do not hold. An earlier line about the same image and prompt
    is replaced; returns its number, or None. Raises ConfigError for a number without a claim or a file that does not
    hold canaries, RunError when the sample has no image or the image cannot be written.
    """
    claims = found.prompt.claims
    if strange := [number for number in wrong if not 1 <= number <= len(claims)]:
        hint = "; ".join(f"{k}: {claim}" for k, claim in enumerate(claims, 1))
        raise ConfigError(f"no claim number {strange[0]}", where="--wrong", hint=hint)
    before = into.read_text(encoding="utf-8").splitlines() if into.exists() else []
    # Part of the file name, since another run can have the same ids.
    seen = (found.sample and found.sample.image) or b""
    drawn = hash_image(seen)[:8]
    into.parent.mkdir(parents=True, exist_ok=True)
    image = save_image(found, into.parent / f"{found.prompt.id}-{found.candidate:02d}-{drawn}.{name_ending(seen)}")
    marks = [{**claim.to_dict(), "holds": k not in wrong} for k, claim in enumerate(claims, 1)]
    line = {"image": image.name, "prompt": found.prompt.text, "claims": marks}

    old = [k for k, text in enumerate(before, 1) if _is_about(text, f"{into}:{k}", line)]
    kept = [text for k, text in enumerate(before, 1) if k not in old]
    # Written whole and renamed, so that a kill never loses earlier marks.
    partial = into.with_name(f".{into.name}.part")
    partial.write_text("\n".join([*kept, json.dumps(line, ensure_ascii=False)]) + "\n", encoding="utf-8")
    partial.replace(into)
    return old[0] if old else None


def _is_about(text: str, where: str, line: dict[str, Any]) -> bool:
    """Return whether a line of a canary file is about the same image and prompt as `line`."""
    if not text.strip():
        return False
    try:
        there = json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"not JSON: {text[:60]!r}", where=where, hint="fix that line, or name another file"
        ) from error
    return isinstance(there, dict) and all(there.get(key) == line[key] for key in ("image", "prompt"))


PROBE_SAMPLES = 64
VIEW_FACTOR = 2.4
"""Disk of a finished run relative to its samples: the dataset repeats each image, the report the first few."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of a run. Times and bytes are None without a probe; `probed` is the number of samples measured.

    With `adapt`, `samples`, times, bytes and what is `spent` are upper bounds, and `least_samples` is the lower bound.
    `spent` is what models are asked for, rewriting included, in tokens as their servers count them; its hours are those
    of the model that generates, and `cost` is the money by the recipe's prices, None without.

    `filter` is the recipe's condition on rows: how many pass is known once they are scored. `guard` says in words how
    samples are compared with `contamination_images`, and with a probe how near its samples come; None without the key.

    `places` holds the number of prompts of each skill by path; with `allocate:`, of each level, whose shares are in
    `allotment`.
    """

    prompts: int
    samples: int
    least_samples: int
    shards: int
    places: dict[str, int]
    skipped: tuple[tuple[str, str], ...]
    allotment: Allotment | None = None
    warnings: tuple[str, ...] = ()
    probed: int = 0
    samples_per_second: float | None = None
    scores_per_second: float | None = None
    disk_bytes: int | None = None
    seconds: float | None = None
    spent: Spent | None = None
    cost: float | None = None
    filter: str | None = None
    guard: str | None = None


def estimate_run(recipe: Recipe, *, probe: bool, workers: int, watch: Watch = SILENT) -> Estimate:
    """Estimate a recipe; with `probe`, load the model and time a few samples and their scores.

    `workers` is the number of scoring processes. Raises ConfigError, PluginError or BackendError as the run would.
    """
    with tempfile.TemporaryDirectory() as away:
        run = Run(recipe, away)
        if run.rows is not None:
            plain = _count_rows(run, load=probe)
            return _probe(run, plain, workers, watch) if probe else plain
        places = count_places(run.shares or share_out(run.taxonomy), recipe.prompts)
        sizes = {skill.path: skill.size for skill in run.taxonomy.skills}
        few = [
            f"{path} has at most {sizes[path]:,} prompts, and the plan asks for {asked:,}; add words or wordings"
            for path, asked in places.items()
            if asked > sizes.get(path, asked)
        ]
        plain = Estimate(
            prompts=recipe.prompts,
            samples=recipe.prompts * recipe.candidates,
            least_samples=recipe.prompts * recipe.least_candidates,
            shards=-(-recipe.prompts // recipe.shard_prompts),
            places=places,
            skipped=run.taxonomy.skipped,
            allotment=run.allotment,
            warnings=(*few, *(what for _, what in list_warnings(run, load=probe))),
            filter=recipe.filter,
            guard=_describe_guard(run),
        )
        return _probe(run, plain, workers, watch) if probe else plain


def _count_rows(run: Run, *, load: bool) -> Estimate:
    """Return the counts of a recipe whose prompts are rows, all of which are read, without their pictures."""
    recipe, stats = run.recipe, PromptStats()
    places: Counter[str] = Counter()
    samples = 0
    for prompt in plan_sources(run, recipe.prompts, stats):
        places[prompt.path] += 1
        samples += count_candidates(run, prompt)
    prompts = places.total()
    if not prompts:
        raise ConfigError(
            "the source has no prompt", where=run.rows.files.address if run.rows else "", hint="\n".join(stats.notes())
        )
    return Estimate(
        prompts=prompts,
        samples=samples,
        least_samples=prompts * recipe.least_candidates if recipe.adapt else samples,
        shards=-(-prompts // recipe.shard_prompts),
        places=dict(places),
        skipped=(),
        warnings=(*stats.notes(), *(what for _, what in list_warnings(run, load=load))),
        filter=recipe.filter,
        guard=_describe_guard(run),
    )


def _probe(run: Run, plain: Estimate, workers: int, watch: Watch) -> Estimate:
    recipe = run.recipe
    wanted = min(PROBE_SAMPLES, plain.samples)
    prompts, rewriting = _probe_prompts(run, -(-wanted * plain.prompts // plain.samples))
    requests = list_requests(run, prompts)[:wanted]
    watch.show(Progress("generate", 0, len(requests)))
    next(ask_backend(run, requests[:1]), None)  # the first call loads the model and warms up
    run.take_usage()
    drawn, samples = _time_generation(run, requests, watch)
    if not samples:
        raise BackendError("no sample of the probe succeeded", hint="`datagen build` records why, in failures/")
    by_id = {prompt.id: prompt for prompt in prompts}
    # Scored once before the clock starts: the first call loads detector, OCR and encoders.
    usage = run.take_usage()
    score_sample(run, by_id[samples[0].prompt_id], samples[0])
    started = time.perf_counter()
    for sample in follow(samples, "score", watch, len(samples)):
        score_sample(run, by_id[sample.prompt_id], sample)
    scored = len(samples) / (time.perf_counter() - started)
    usage = add_usage(usage, run.take_usage())
    asked = {name: each.scaled(plain.samples / len(requests)) for name, each in usage.items()}
    rewritten = {name: each.scaled(plain.prompts / len(prompts)) for name, each in rewriting.items()}
    spent = Spent(add_usage(asked, rewritten), plain.samples / drawn / 3600)
    RunFolder(run.folder.address).write_samples(0, samples)
    size = (run.folder.local_path / "samples/00000.parquet").stat().st_size / len(samples)
    return replace(
        plain,
        probed=len(requests),
        samples_per_second=drawn,
        scores_per_second=scored,
        disk_bytes=round(size * VIEW_FACTOR * plain.samples),
        seconds=plain.samples / min(drawn, scored * max(1, workers)),
        spent=spent,
        cost=cost_of(spent, recipe.prices),
        guard=_describe_guard(run, samples),
    )


def _describe_guard(run: Run, samples: Sequence[Sample] = ()) -> str | None:
    """Return in words how samples are compared with the pictures of a benchmark, and how near some samples come."""
    chosen, known = run.recipe.contamination_images, run.known
    if chosen is None or known is None:
        return None
    said = f"{count_of(len(known.places), 'picture')} read; refused: a difference up to {known.near:g} by hash"
    if chosen.features is not None:
        said += f", a cosine from {chosen.features.above:g} by {name_model(chosen.features.encoder)}"
    images = [sample.image for sample in samples if sample.image]
    if images:
        least, middle = _find_extremes([known.find_nearest(image)[1] for image in images])
        said += f"; of {count_of(len(images), 'picture')} of the probe to the nearest: difference {least:.3f} and more"
        said += f", half up to {middle:.3f}"
    if images and run.known_features is not None:
        most, middle = _find_extremes([-run.known_features.find_nearest(image)[1] for image in images])
        said += f"; cosine {-most:.3f} and less, half from {-middle:.3f}"
    return said


def _find_extremes(values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the median of some values, but for NaN."""
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), median(finite)) if finite else (math.nan, math.nan)


def _probe_prompts(run: Run, count: int) -> tuple[list[Prompt], dict[str, Usage]]:
    """Return a few prompts of the plan, rewritten if the recipe says so, and what rewriting them asked for.

    Rewrites go into the folder of the run.
    """
    few = Run(make_recipe({**run.recipe.to_dict(), "prompts": count}), run.folder.address)
    account = Account(few)
    prompts = list(draw_prompts(few, account, SILENT, PromptStats(), ExpandStats()))
    return prompts, dict(account.spent.usage)


def _time_generation(run: Run, requests: Sequence[Request], watch: Watch) -> tuple[float, list[Sample]]:
    started = time.perf_counter()
    answers = list(follow(ask_backend(run, requests), "generate", watch, len(requests)))
    return len(answers) / (time.perf_counter() - started), [a for a in answers if isinstance(a, Sample)]


CANARIES = 16
"""Number of test prompts; fewer if the taxonomy has fewer."""
SHUFFLES = 999
CHANCE = 0.05
"""Greatest share of random pairings that may score as well as the true pairing of pictures and prompts."""
_QUESTION = "Is a cat an animal? How many letters has its name?"
_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


class Finding(NamedTuple):
    """The result of one check: its name, the verdict, and what was seen."""

    check: str
    verdict: Literal["ok", "warning", "failed"]
    seen: str


Answers = list[Sample | Failure]


def examine_recipe(recipe: Recipe, watch: Watch = SILENT) -> Iterator[Finding]:
    """Load the model of a recipe, give it a few prompts, and yield the finding of each check.

    Of pictures that exist, only what scorers make of a few is checked.

    Raises what a run would: ConfigError, PluginError, BackendError.
    """
    run = Run(recipe, "doctor")  # only a name: nothing is written
    yield from _check_judge(run)
    yield from _check_rewriter(run)
    prompts = list(plan_sources(run, CANARIES))
    first, second = seed_of(recipe.seed, "doctor"), seed_of(recipe.seed, "doctor", 2)
    drawn = _ask(run, prompts, first, watch, 0)
    if recipe.takes_pictures:
        yield _check_made(drawn, recipe.failure_limit)
        yield _check_fit(run, prompts, drawn)
        return
    started = time.perf_counter()
    again = _ask(run, prompts, first, watch, 1)
    seconds = time.perf_counter() - started
    yield _check_made([*drawn, *again], recipe.failure_limit)
    if not any(isinstance(answer, Sample) for answer in drawn):
        return
    yield _check_distinct(drawn)
    yield _check_fit(run, prompts, drawn)
    yield _check_repeat(drawn, again)
    yield _check_seeds(drawn, _ask(run, prompts, second, watch, 2))
    yield _check_switch(drawn)
    yield from _check_chat(run)
    rate, samples = len(prompts) / seconds, recipe.prompts * recipe.candidates
    seen = f"{rate:,.2f} samples/s"
    if not recipe.takes_rows:  # of which `prompts` is only the most that are taken
        seen += f": {count_of(samples, 'sample')} in about {format_seconds(samples / rate)}"
    yield Finding("speed", "ok", seen)


def _ask(run: Run, prompts: Sequence[Prompt], seed: int, watch: Watch, turn: int) -> Answers:
    """Return the answers to some prompts in their order; it is turn 0, 1 or 2 of three."""
    requests = {prompt.id: Request(prompt, 0, seed, run.recipe.mode) for prompt in prompts}
    answers: dict[str, Sample | Failure] = {}
    asked, many = list(requests.values()), len(requests)
    for answer in follow(ask_backend(run, asked), "examine", watch, 3 * many, before=turn * many):  # in any order
        if (request := requests.get(answer.prompt_id)) is not None:
            answer = accept_answer(run.recipe.backend.name, run.recipe.images, request, answer)
        answers[answer.prompt_id] = answer
    return [answers.get(p.id) or Failure("generate", p.id, 0, "the backend gave no answer") for p in prompts]


def _check_made(answers: Answers, limit: float) -> Finding:
    failed = [answer.error for answer in answers if isinstance(answer, Failure)]
    seen = f"{len(answers) - len(failed)} of {len(answers)} samples were made"
    verdict: Any = (
        "failed" if len(failed) == len(answers) else "warning" if len(failed) > limit * len(answers) else "ok"
    )
    return Finding("samples", verdict, f"{seen}; the first failure: {failed[0]}" if failed else seen)


def _check_distinct(drawn: Answers) -> Finding:
    """Check that prompts matter: with one seed, equal pictures for different prompts mean the prompt is ignored."""
    images = [answer.image for answer in drawn if isinstance(answer, Sample)]
    same = len(images) - len(set(images))
    if same:
        return Finding("prompt", "failed", f"{same} of {len(images)} pictures of other prompts are the same picture")
    return Finding("prompt", "ok", f"{len(images)} prompts gave {len(images)} different pictures from one seed")


def _check_fit(run: Run, prompts: Sequence[Prompt], drawn: Answers) -> Finding:
    """Check that pictures score better with their own prompts than with others: a permutation test of the pairing."""
    samples = [answer for answer in drawn if isinstance(answer, Sample)]
    asked = {prompt.id: prompt for prompt in prompts}
    own = [asked[sample.prompt_id] for sample in samples]
    table = [[_reward(run, prompt, sample) for prompt in own] for sample in samples]
    known = [k for k, row in enumerate(table) if row[k] is not None]
    if len(known) < 4:
        return Finding("fit", "warning", "the scorers of the recipe judge too few of these pictures to say")
    rng = random.Random(0)

    def total(order: Sequence[int]) -> float:
        return sum(table[k][j] or 0.0 for k, j in zip(known, order, strict=True))

    matched = total(known)
    better = sum(total(rng.sample(known, len(known))) >= matched for _ in range(SHUFFLES))
    # The true pairing counts as one of the permutations, so the share is never 0.
    chance = (better + 1) / (SHUFFLES + 1)
    seen = f"mean reward {matched / len(known):.2f} under the own prompt; {chance:.1%} of random pairings do as well"
    return Finding("fit", "ok" if chance <= CHANCE else "failed", seen)


def _reward(run: Run, prompt: Prompt, sample: Sample) -> float | None:
    scores, _ = score_sample(run, prompt, sample)
    return run.rewarder.reward(prompt, scores, "image")


def _check_repeat(drawn: Answers, again: Answers) -> Finding:
    same = sum(a == b for a, b in zip(drawn, again, strict=True))
    seen = f"{same} of {len(drawn)} samples came out the same, bit for bit, from the same seed"
    hint = "" if same == len(drawn) else "; regen cannot prove where a sample came from"
    return Finding("seeds repeat", "ok" if same == len(drawn) else "warning", seen + hint)


def _check_seeds(drawn: Answers, other: Answers) -> Finding:
    pairs = [
        (a.image, b.image) for a, b in zip(drawn, other, strict=True) if isinstance(a, Sample) and isinstance(b, Sample)
    ]
    same = sum(a == b for a, b in pairs)
    seen = f"{same} of {len(pairs)} pictures are the same from another seed"
    return Finding("seeds matter", "failed" if pairs and same == len(pairs) else "warning" if same else "ok", seen)


def _check_switch(drawn: Answers) -> Finding:
    samples = [answer for answer in drawn if isinstance(answer, Sample)]
    kinds = {kind: sum(sample.switch == kind for sample in samples) for kind in ("autonomous", "forced", "none")}
    shown = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    return Finding("switch", "ok", f"from text to image: {shown}; {len(samples)} of {len(drawn)} well formed")


def _check_judge(run: Run) -> Iterator[Finding]:
    """Check that the scorers can read the judge's answers about one picture."""
    read = False
    for trial in try_judge(run):
        if trial.asked:
            read |= "questions" in trial.score.evidence and trial.score.value is not None
            verdict: Any = "failed" if trial.score.value is None else "ok"
            yield Finding(f"judge: {trial.scorer}", verdict, trial.score.reason + _tell_answer(trial.score.evidence))
    if not read:
        return
    right, wrong = tell_yes_from_no(run)
    if right is not None and wrong is not None:
        seen = f"P(yes) {right:.2f} to {SHOWN!r}, which the picture shows, and {wrong:.2f} to {NOT_SHOWN!r}"
        yield Finding("judge: sees", "ok" if right > wrong else "warning", seen)
    if is_bound(run):
        hint = "its engine allows only yes or no, so their probabilities always sum to 1; remove that restriction"
        yield Finding("judge: bound", "warning", hint)


def _tell_answer(evidence: Mapping[str, Any]) -> str:
    """Return how the first question was answered: the likeliest tokens or words, and the text before them."""
    first = next(iter(evidence.get("questions", ())), None)
    if first is None or not first["tokens"]:
        return ""
    said = ", ".join(f"{token!r} {p:.3f}" for token, p in first["tokens"].items())
    behind = f" behind {first['behind']!r}" if "behind" in first else ""
    return f"; read from the {evidence['method']}{behind}: {said}"


def _check_rewriter(run: Run) -> Iterator[Finding]:
    """Check that the rewriting model writes a JSON document, without which it rewrites nothing."""
    if run.expansion is None or run.expansion.backend is None:
        return
    question = (Message.say("user", f'{_QUESTION} Answer in JSON, such as {{"n": 5}}.'),)
    sampling = Sampling(max_tokens=run.expansion.max_tokens, schema=_SCHEMA)
    (reply,) = run.open_chat(run.expansion.backend).chat([ChatRequest(question, sampling)])
    yield Finding("rewriter: schema", "failed" if reply.error else "ok", reply.error or f"obeyed: {reply.text[:40]!r}")


def _check_chat(run: Run) -> Iterator[Finding]:
    """Check that the model of a run supports what it is asked for beside samples: to rewrite prompts, to judge."""
    cases: dict[str, Sampling] = {}
    if run.expansion is not None and run.expansion.backend in (None, run.recipe.backend):
        cases["chat: schema"] = Sampling(max_tokens=64, schema=_SCHEMA)
    if run.judges_itself:
        cases["chat: choices"] = Sampling(max_tokens=8, choices=("yes", "no"))
        cases["chat: log-probabilities"] = Sampling(max_tokens=1, top_logprobs=5)
    if not cases or not hasattr(run.backend, "chat"):
        return
    question = (Message.say("user", _QUESTION),)
    try:
        replies = list(run.backend.chat([ChatRequest(question, sampling) for sampling in cases.values()]))
    except BackendError as error:  # a model that only generates images
        yield Finding("chat", "warning", error.what)
        return
    for name, reply in zip(cases, replies, strict=True):
        yield Finding(name, "warning" if reply.error else "ok", reply.error or f"obeyed: {reply.text[:40]!r}")
