"""Samples and scores of one run taken into another that would make the same: what was paid for is not paid for twice.

    datagen build RECIPE --reuse outputs/before

A sample is taken if prompt (by its id: text, claims and skill), candidate, seed, mode, model with its options and code,
and `images` are the same; its scores too if the scorers and what they use are. Shards that are equal as a whole are
hard links (`adopting`); of others the rows are copied, since a file names the recipe that made it. The other run is
only read. What is taken lies where the run's own work would lie, in shards and in parts, so that a kill, a limit or
another machine changes nothing, and the dataset is byte for byte that of a build from nothing.

Rows of a dataset that exists cost nothing, so all are read again, and the scores of those that are the same are taken.

`run.yaml` notes under `reuse` the other run, and later what came of it, so that each command that generates goes on.

The other run may be at work meanwhile: what it has when a shard is taken comes along, and the rest is generated. A
shard that changes while it is read is looked at again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datagen.config import make_recipe
from datagen.errors import ConfigError, RunError
from datagen.pipeline.adopting import adopt_shards
from datagen.pipeline.comparing import find_other_rewriting, find_other_sampling, find_other_scoring
from datagen.pipeline.flow import ask_backend, settle_answer
from datagen.pipeline.run import Run, find_run, refuse_growing
from datagen.pipeline.shards import group_scores, list_requests
from datagen.pipeline.watch import Progress, Watch
from datagen.records import Failure, Request, Rewrite, Sample, Score
from datagen.sample_files import Rows, to_samples
from datagen.store import RunFolder, Stage

NOTE = "reuse"
"""The key of run.yaml that names the run to take from, and what was taken."""


def note_reuse(run: Run, word: str) -> None:
    """Note that a run takes what it can from the run of an address or a name, before it generates.

    Raises RunError when nothing could be taken: the first thing by which every sample would be another one is named.
    """
    address = find_run(word)
    if _is_same(address, run.folder.address):
        raise RunError(
            "is the run itself", where=address, hint="`datagen build` of a recipe that asks for more grows it"
        )
    other, makers = open_other(address)
    if differ := find_other_sampling(other.recipe, run.recipe, makers, run.makers):
        what = f"none of its samples can be taken; other: {', '.join(differ)}"
        raise RunError(what, where=address, hint="without --reuse everything is generated anew")
    notes = run.folder.read_notes()
    if (notes.get(NOTE) or {}).get("run") != address:
        run.folder.write_notes({**notes, NOTE: {"run": address}})


def _is_same(one: str, other: str) -> bool:
    first, second = RunFolder(one), RunFolder(other)
    are_local = first.is_local and second.is_local
    return one.rstrip("/") == other.rstrip("/") or (
        are_local and first.local_path.resolve() == second.local_path.resolve()
    )


def open_other(address: str) -> tuple[Run, Mapping[str, Mapping[str, str]]]:
    """Return a run to take from, of which only files of its last makers count, and these makers.

    Raises RunError in one line for a run that this version of datagen cannot compare, and for one that is being grown.
    """
    notes = RunFolder(address).read_notes()
    refuse_growing(address, notes)
    recipe, hint = notes["recipe"], "without --reuse everything is generated anew"
    if recipe.get("version") != 1:
        what = f"its recipe has version {recipe.get('version')!r}, and this datagen compares version 1"
        raise RunError(what, where=address, hint=hint)
    if "marks" not in notes or "makers" not in notes:
        raise RunError("does not say which modules and models made it", where=address, hint=hint)
    try:
        made = make_recipe(recipe, where=f"{address}/run.yaml")
    except ConfigError as error:
        raise RunError(f"its recipe cannot be compared: {error.what}", where=address, hint=hint) from error
    return Run(made, address, {stage: marks[-1:] for stage, marks in notes["marks"].items()}), notes["makers"]


def take_along(run: Run, watch: Watch) -> int:
    """Take into the planned shards of a run what the run that it notes under `reuse` has, once.

    Returns how many samples were not taken since the dataset that they are rows of has others there now.
    Raises RunError when that run is gone.
    """
    notes = run.folder.read_notes()
    note = notes.get(NOTE)
    if not isinstance(note, dict) or "samples" in note or not isinstance(notes.get("plan"), dict):
        return 0
    address = note["run"]
    if not RunFolder(address).exists():
        what = "is gone, and samples were to be taken from it"
        raise RunError(what, where=address, hint=f"put it back, or delete `{NOTE}` in {run.folder}/run.yaml")
    other, makers = open_other(address)
    if find_other_sampling(other.recipe, run.recipe, makers, run.makers):
        return 0  # a module changed since, which --keep accepted
    if run.folder.is_local and other.folder.is_local:
        adopt_shards(run, other)
    takes_scores = not find_other_scoring(other.recipe, run.recipe, makers, run.makers)
    taking = _Taking(run, other, takes_scores=takes_scores)
    shards = notes["plan"]["shards"]
    for shard in range(shards):
        taking.take(shard)
        watch.show(Progress("reuse", shard + 1, shards))
    told = f"{taking.samples:,} of {taking.asked:,} samples from {address}"
    if taking.samples:
        told += f", {taking.scored:,} of them with their scores"
    watch.say(told)
    run.folder.log(told)
    versions = _join_versions(other.folder.read_notes().get("versions") or {}, notes.get("versions") or {})
    noted = {"run": address, "samples": taking.samples, "scored": taking.scored}
    run.folder.write_notes({**notes, NOTE: noted, "versions": versions if taking.samples else notes.get("versions")})
    return taking.changed


def read_rewrites(run: Run) -> dict[str, Rewrite]:
    """Return the rewriting model's answers in the run to take from, by the hashes of their requests."""
    note = run.folder.read_notes().get(NOTE) if run.folder.exists() else None  # a plan alone has no folder
    if not isinstance(note, dict) or run.expansion is None or not RunFolder(note["run"]).exists():
        return {}
    other, makers = open_other(note["run"])
    if other.expansion is None or find_other_rewriting(other.recipe, run.recipe, makers, run.makers):
        return {}
    folder = other.folder
    return {each.key: each for batch in folder.list_sound("rewrites") for each in folder.read_rewrites(batch)}


def index_prompts(folder: RunFolder) -> dict[int, int]:
    """Return the shard of every prompt of a run by its id as a number: about 100 bytes a prompt."""
    shards = sorted(folder.list_sound("prompts"))
    return {int(prompt.id, 16): shard for shard in shards for prompt in folder.read_prompts(shard)}


@dataclass(slots=True)
class _Taking:
    """What one run takes from another, shard by shard.

    Of the samples `asked` for, `samples` and `scored` count what is there afterwards; `changed` were rows of a dataset.
    """

    run: Run
    other: Run
    takes_scores: bool
    samples: int = 0
    scored: int = 0
    asked: int = 0
    changed: int = 0
    _shards: dict[int, int] = field(init=False)
    _sound: dict[Stage, set[int]] = field(init=False)
    _open: set[int] = field(init=False)
    _done: dict[Stage, set[int]] = field(init=False)
    _keeps_later: bool = field(init=False)
    _compares: bool = field(init=False)

    def __post_init__(self) -> None:
        run, folder = self.run, self.other.folder
        stages: tuple[Stage, ...] = ("samples", "failures", "scores")
        self._shards = index_prompts(folder)
        self._open = set(folder.list_open())  # before files: what is joined meanwhile is then in both
        self._sound = {stage: folder.list_sound(stage) for stage in stages}
        self._done = {stage: set(run.folder.list_shards(stage)) for stage in stages}
        adapt = run.recipe.adapt
        # Whether later candidates are asked for follows from `adapt` and from the detector that decides.
        same = adapt == self.other.recipe.adapt and run.recipe.detector == self.other.recipe.detector
        self._keeps_later = adapt is None or same
        self._compares = any(hasattr(module, "score_group") for module in run.scorers.values())

    def take(self, shard: int) -> None:
        """Take what there is for one shard, unless it is done already."""
        folder = self.run.folder
        requests = list_requests(self.run, folder.read_prompts(shard))
        self.asked += len(requests)
        if shard in self._done["samples"] & self._done["scores"]:
            count = folder.count_samples(shard)
            self.samples += count
            self.scored += count
            return
        least = self.run.recipe.candidates if self._keeps_later else self.run.recipe.least_candidates
        known = [r for r in requests if r.candidate < least and int(r.prompt.id, 16) in self._shards]
        sources = self._list_sources(known)
        unfinished = (source for source in sources if any(source not in there for there in self._sound.values()))
        self._look(list(unfinished))
        seen = None
        while True:
            try:
                return self._take(shard, known, len(requests))
            except RunError:
                now = self._look(sources)
                if now == seen:
                    raise
                seen = now

    def _look(self, sources: Sequence[int]) -> list[tuple[bool, ...]]:
        """Look again at what some shards of the other run have: parts, and files of each stage."""
        folder = self.other.folder
        found = [(bool(folder.list_parts(k)), *(folder.is_sound(stage, k) for stage in self._sound)) for k in sources]
        for source, has in zip(sources, found, strict=True):
            for there, is_there in zip((self._open, *self._sound.values()), has, strict=True):
                (there.add if is_there else there.discard)(source)
        return found

    def _take(self, shard: int, known: Sequence[Request], asked: int) -> None:
        """Take the samples of some requests of a shard, which has `asked`, with their scores and failures."""
        folder, changed = self.run.folder, 0
        rows, failed = self._read(known)
        if self.run.recipe.takes_pictures:
            drawn = len([request for request in known if request.sample_id in rows])
            known, failed = self._list_unchanged(known, rows), {}
            changed = drawn - len(known)
        is_drawn = shard in self._done["samples"]
        taken = [request for request in known if request.sample_id in rows]
        if is_drawn:  # by this run, perhaps otherwise: then scores of the other's samples say nothing of them
            ours = {sample.id: _digest(sample) for sample in folder.iter_samples(shard)}
            theirs = _digest_rows(rows, [request.sample_id for request in taken])
            taken = [request for request in taken if ours.get(request.sample_id) == theirs[request.sample_id]]
        lasting = [f for r in known if r.sample_id not in rows and (f := failed.get((r.prompt.id, r.candidate)))]
        scores = self._find_scores(taken, lasting)
        scored = len({score.sample_id for score in scores})
        if scores:
            folder.write_taken_scores(shard, scores)
        order = [request.sample_id for request in taken]
        if not is_drawn and self.run.recipe.adapt is None and len(taken) + len(lasting) == asked:
            # As when parts are joined: samples mark the shard as generated.
            folder.write_failures(shard, lasting)
            folder.join_parts(shard, rows, order)
            is_drawn = True
        elif not is_drawn and (taken or lasting):
            folder.take_part(shard, rows.group(order), lasting)
        samples = folder.count_samples(shard) if is_drawn else len(taken)
        if is_drawn and scored == samples:
            folder.write_scores(shard, scores)
            folder.remove_taken_scores(shard)
        self.samples += samples
        self.scored += scored
        self.changed += changed

    def _read(self, requests: Iterable[Request]) -> tuple[Rows, dict[tuple[str, int], Failure]]:
        """Return the rows of the shards in which the prompts of some requests stand, and their lasting failures."""
        folder, rows, failures = self.other.folder, Rows(), list[Failure]()
        for source in self._list_sources(requests):
            if source in self._sound["samples"] or source in self._open:
                failures += folder.add_rows(rows, source, keep=source in self._sound["samples"])
            if source in self._sound["samples"] and source in self._sound["failures"]:
                failures += folder.read_failures(source)
        lasting = [each for each in failures if each.stage != "score" and not each.unreached]
        return rows, {(each.prompt_id, each.candidate): each for each in lasting}

    def _list_unchanged(self, requests: Sequence[Request], rows: Rows) -> list[Request]:
        """Return the requests whose samples are what the dataset has there now."""
        before = _digest_rows(rows, [request.sample_id for request in requests])
        asked = {(r.prompt.id, r.candidate): r for r in requests if r.sample_id in before}
        same = set[str]()
        for answer in ask_backend(self.run, list(asked.values())):
            kept = settle_answer(self.run, asked[answer.prompt_id, answer.candidate], answer)
            if isinstance(kept, Sample) and _digest(kept) == before[kept.id]:
                same.add(kept.id)
        return [request for request in asked.values() if request.sample_id in same]

    def _list_sources(self, requests: Iterable[Request]) -> list[int]:
        return sorted({self._shards[int(request.prompt.id, 16)] for request in requests})

    def _find_scores(self, taken: Sequence[Request], lasting: Sequence[Failure]) -> list[Score]:
        """Return the scores of those samples that every scorer of the recipe has judged, in order.

        Where a scorer compares candidates, those of prompts that have the same candidates in both runs.
        """
        if not self.takes_scores or (self._compares and self.run.recipe.adapt is not None):
            return []
        folder, names = self.other.folder, list(self.run.recipe.scorers)
        given: dict[str, list[Score]] = {}
        faults = set[str]()
        for source in self._list_sources(taken):
            if source in self._sound["scores"] and source in self._sound["failures"]:
                given |= group_scores(folder.read_scores(source))
                noted = folder.read_failures(source)
                faults |= {f"{each.prompt_id}-{each.candidate:02d}" for each in noted if each.stage == "score"}
        ids = [request.sample_id for request in taken]
        good = {name for name in ids if name not in faults and [each.name for each in given.get(name, ())] == names}
        if self._compares:
            good = self._keep_whole(good, given, taken, lasting)
        return [score for name in ids if name in good for score in given[name]]

    def _keep_whole(
        self, good: set[str], given: Mapping[str, Any], taken: Sequence[Request], lasting: Sequence[Failure]
    ) -> set[str]:
        ours, theirs, lost = dict[str, set[str]](), dict[str, set[str]](), dict[str, int]()
        for request in taken:
            ours.setdefault(request.prompt.id, set()).add(request.sample_id)
        for name in given:
            theirs.setdefault(name.rpartition("-")[0], set()).add(name)
        for failure in lasting:
            lost[failure.prompt_id] = lost.get(failure.prompt_id, 0) + 1
        every = self.run.recipe.candidates
        return {
            name
            for prompt, names in ours.items()
            if names == theirs.get(prompt) and names <= good and len(names) + lost.get(prompt, 0) == every
            for name in names
        }


def _digest_rows(rows: Rows, ids: Iterable[str]) -> dict[str, bytes]:
    """Return a hash of what each of those samples holds that are among some rows, by id."""
    return {sample.id: _digest(sample) for table in rows.group(ids) for sample in to_samples(table)}


def _digest(sample: Sample) -> bytes:
    """Return a hash of what a sample holds."""
    words = [(part.kind, part.role, part.text) for part in sample.segments]
    digest = hashlib.sha256(repr((sample.engine, sorted(sample.settings.items()), words)).encode())
    for part in sample.segments:
        digest.update(part.image)
    return digest.digest()


def _join_versions(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of packages by which some samples were made and others are, as a run notes them."""
    joined = dict(now)
    for name, versions in before.items():
        said = [each for each in versions.split(", ") if each not in now.get(name, "").split(", ")]
        joined[name] = ", ".join([*said, *([now[name]] if name in now else [])])
    return joined
