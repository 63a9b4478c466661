"""Looking at a run: how far it is, one sample of it, made again from its seed or marked by a person."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.addresses import without_addresses
from datagen.errors import ConfigError, RunError
from datagen.pipeline._made import find_stale
from datagen.pipeline._makers import find_changes
from datagen.pipeline._run import STAGES, Run
from datagen.pipeline._shards import accept_sample, ask_backend, list_requests
from datagen.pipeline._unreached import Unreached
from datagen.pipeline._views import read_rows
from datagen.pipeline._work import count_planned
from datagen.records import Failure, Prompt, Sample, Score
from datagen.store import SUFFIXES

MOST_LISTED = 8
"""Ids that a message about too many of them lists."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run is. `shards` counts finished files by stage; `rewards` are means by (weakness, modality).

    `is_bound` says that `planned_samples` is the most that there may be: with `adapt`, until every shard is drawn.
    `unreached` says in a sentence about which samples a model is still to be asked again, `""` for none.
    `stale` says of the dataset, of each further form of it and of the report why it is stale, `""` if it is not;
    `changed` names modules and model files that are not those of the run, and packages that it knew in two versions.
    """

    planned_shards: int
    planned_samples: int
    shards: dict[str, int]
    samples: int
    failed: int
    damaged: list[str]
    rewards: dict[tuple[str, str], float]
    dataset: bool
    report: bool
    is_bound: bool
    unreached: str
    stale: dict[str, str]
    changed: list[str]


@dataclass(frozen=True, slots=True)
class Found:
    """One sample with its prompt and scores; a sample that could not be made has a failure instead."""

    shard: int
    prompt: Prompt
    candidate: int
    sample: Sample | None
    scores: list[Score]
    failures: list[Failure]


def read_status(run: Run) -> RunStatus:
    """Count what is there; reads no picture."""
    folder = run.folder
    plan: dict[str, Any] = folder.read_notes().get("plan") or {}
    there = {stage: folder.list_shards(stage) for stage in SUFFIXES}
    damage = [found for stage, shards in there.items() for found in folder.find_damage(stage, shards)]
    bad = {(found.stage, found.shard) for found in damage}
    failed: set[tuple[str, int]] = set()
    unreached = Unreached()
    for shard in there["failures"]:
        if ("failures", shard) not in bad:
            faults = folder.read_failures(shard)
            failed |= {(fault.prompt_id, fault.candidate) for fault in faults}
            unreached.add(faults)
    values: dict[tuple[str, str], list[float]] = {}
    for shard in there["scores"]:
        if {("scores", shard), ("prompts", shard)} & bad or shard not in there["prompts"]:
            continue
        for row in read_rows(run, shard):
            for modality, value in (("text", row.text), ("image", row.image)):
                if value is not None:
                    values.setdefault((row.weakness, modality), []).append(value)
    shards = range(int(plan.get("shards", 0)))
    broken = {found.shard for found in damage if found.stage in ("samples", "failures")}
    drawn = ({*there["samples"]} & {*there["failures"]} & {*shards}) - broken
    return RunStatus(
        planned_shards=len(shards),
        planned_samples=sum(count_planned(run, plan, shard, is_drawn=shard in drawn) for shard in shards),
        shards={stage: len(shards) for stage, shards in there.items()},
        samples=sum(folder.count_samples(shard) for shard in there["samples"] if ("samples", shard) not in bad),
        failed=len(failed),
        damaged=[f"{found.where}: {found.what}" for found in damage],
        rewards={key: math.fsum(some) / len(some) for key, some in sorted(values.items())},
        dataset=folder.has("dataset/README.md"),
        report=folder.has("report.html"),
        is_bound=run.recipe.adapt is not None and len(drawn) < len(shards),
        unreached=unreached.describe(),
        stale=find_stale(run),
        changed=_list_changed(run),
    )


def _list_changed(run: Run) -> list[str]:
    notes = run.folder.read_notes()
    mixed = [f"{name} {versions}" for name, versions in (notes.get("versions") or {}).items() if ", " in versions]
    return [*find_changes(notes.get("makers") or run.makers, run.makers, STAGES), *mixed]


def find_sample(run: Run, word: str) -> Found:
    """Find one sample by its id, or by the beginning of one that no other has.

    A prompt's id alone will do where there is one candidate. Raises RunError when nothing begins like that, or more
    than one sample does: the message lists them.
    """
    start, dash, number = word.partition("-")
    if dash and not number.isdigit():
        raise RunError(f"{word!r} is no sample id", where=str(run.folder), hint="ids look like 0123456789abcdef-02")
    hits = [
        (shard, prompt)
        for shard in run.folder.list_shards("prompts")
        for prompt in run.folder.read_prompts(shard)
        if prompt.id.startswith(start)
    ]
    candidates = range(run.recipe.candidates)
    matches = [
        (shard, prompt, k)
        for shard, prompt in hits
        for k in candidates
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
        hint = f"say which: {listed}" if ids else f"ids stand in {run.folder}/prompts/ and in the report"
        raise RunError(what, where=str(run.folder), hint=hint)
    shard, prompt, candidate = matches[0]
    failures = [f for f in run.folder.read_failures(shard) if (f.prompt_id, f.candidate) == (prompt.id, candidate)]
    sample_id = f"{prompt.id}-{candidate:02d}"
    sample = next((some for some in run.folder.read_samples(shard) if some.id == sample_id), None)
    if sample is None and not failures and shard in run.folder.list_shards("samples"):
        what = f"the first {run.recipe.least_candidates} candidates were judged alike, so this one was not drawn"
        raise RunError(what, where=sample_id, hint="see `adapt` in the recipe")
    scored = shard in run.folder.list_shards("scores")
    scores = [s for s in run.folder.read_scores(shard) if s.sample_id == sample_id] if scored else []
    return Found(shard, prompt, candidate, sample, scores, failures)


def make_again(run: Run, found: Found) -> list[str]:
    """Make a sample again from its seed and return how it differs from the stored one, bit for bit: [] if in nothing.

    Raises BackendError when the model cannot be loaded, RunError when there is no stored sample to compare with.
    """
    if found.sample is None:
        what = found.failures[0].error if found.failures else "it was not made yet"
        raise RunError(f"there is no such sample: {what}", where=f"{found.prompt.id}-{found.candidate:02d}")
    request = list_requests(run, [found.prompt])[found.candidate]
    answer = next(ask_backend(run, [request]), None)
    if isinstance(answer, Sample):
        answer = accept_sample(request, answer)
    if not isinstance(answer, Sample):
        return [f"it failed this time: {answer.error if answer else 'no answer'}"]
    different = []
    for name in Sample.__dataclass_fields__:
        before, after = getattr(found.sample, name), getattr(answer, name)
        if name == "settings":  # samples of earlier versions say where the server was, which decides no sample
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
    """Write the last image of a sample as a PNG file. Raises RunError when there is none, or no place for it."""
    name = f"{found.prompt.id}-{found.candidate:02d}"
    image = found.sample.image if found.sample else None
    if image is None:
        raise RunError("the sample has no image", where=name)
    try:
        path.write_bytes(image)
    except OSError as error:
        raise RunError(f"cannot be written: {error.strerror}", where=str(path)) from error
    return path


def mark_sample(found: Found, wrong: Sequence[int], into: Path) -> int | None:
    """Add a sample to a file of canaries (see `_canaries`), its image beside it.

    `wrong` numbers the claims, from 1, that do not hold. What was said of the same image and prompt before is replaced:
    returns the number of that line, None if there is none. Raises ConfigError for a number that no claim has, or a file
    that is none of canaries; RunError when the sample has no image or there is no place for it.
    """
    claims = found.prompt.claims
    if strange := [number for number in wrong if not 1 <= number <= len(claims)]:
        hint = "; ".join(f"{k}: {claim}" for k, claim in enumerate(claims, 1))
        raise ConfigError(f"no claim number {strange[0]}", where="--wrong", hint=hint)
    before = into.read_text(encoding="utf-8").splitlines() if into.exists() else []
    drawn = hashlib.sha256((found.sample and found.sample.image) or b"").hexdigest()[:8]  # another run has the same ids
    into.parent.mkdir(parents=True, exist_ok=True)
    image = save_image(found, into.parent / f"{found.prompt.id}-{found.candidate:02d}-{drawn}.png")
    marks = [{**claim.to_dict(), "holds": k not in wrong} for k, claim in enumerate(claims, 1)]
    line = {"image": image.name, "prompt": found.prompt.text, "claims": marks}
    old = [k for k, text in enumerate(before, 1) if _is_about(text, f"{into}:{k}", line)]
    kept = [text for k, text in enumerate(before, 1) if k not in old]
    partial = into.with_name(f".{into.name}.part")
    partial.write_text("\n".join([*kept, json.dumps(line, ensure_ascii=False)]) + "\n", encoding="utf-8")
    partial.replace(into)
    return old[0] if old else None


def _is_about(text: str, where: str, line: dict[str, Any]) -> bool:
    """Say whether a line of a file of canaries is about the image and the prompt of another one."""
    if not text.strip():
        return False
    try:
        there = json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"not JSON: {text[:60]!r}", where=where, hint="mend that line, or name another file"
        ) from error
    return isinstance(there, dict) and all(there.get(key) == line[key] for key in ("image", "prompt"))
