"""Plan a push or an append to any destination, and carry it out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from datagen.errors import PushError
from datagen.push.dataset import Card, Dataset, join, matches
from datagen.push.destination import Destination, Remote, count_folders
from datagen.push.files import CARD, MANIFEST, NAME_DIGITS, File, Manifest, RunNote
from datagen.records import hash_of

OWN_NAME = re.compile(rf"-[0-9a-f]{{{NAME_DIGITS}}}\.\w+$")
KEYS = ["prompt", "seed"]


@dataclass(frozen=True, slots=True)
class Plan:
    """The result of a push at a destination, and the files to send.

    `files` are all files with card and manifest; `missing` are those that are not there, by name and content; `removed`
    are paths of earlier pushes that no longer belong to the dataset.
    """

    seen: Remote
    manifest: Manifest
    files: tuple[File, ...]
    missing: tuple[File, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pushed:
    """A completed push: the destination, its revision, and the manifest that was verified there."""

    destination: str
    revision: str
    manifest: Manifest


def plan_push(dataset: Dataset, note: RunNote, destination: Destination, *, public: bool, replace: bool) -> Plan:
    """Compare a dataset with the destination. Raises PushError if it must not be pushed there.

    Edits of the card at the destination are never overwritten: they stay if the dataset is unchanged.
    """
    seen = destination.look()
    _check_visibility(seen, destination, public)
    named = dataset.named_by_content() if destination.by_content else dataset
    manifest = Manifest.of([note], named.contents)
    if not replace:
        _check_owner(seen, note, destination)
        if (edited := _find_edit(seen, named.card_file, destination)) is not None:
            if manifest == seen.manifest:
                return _make_plan(seen, manifest, (*named.files, edited), destination)
            hint = "keep a copy of your edits, then push with --replace, which writes the card of this run"
            raise PushError(f"{CARD} was edited there since the last push", where=destination.address, hint=hint)
    return _make_plan(seen, manifest, named.contents, destination)


def plan_append(dataset: Dataset, note: RunNote, destination: Destination, *, public: bool) -> Plan:
    """Compare a run with the dataset to append it to; a run whose files are all there needs nothing.

    Raises PushError if there is no dataset, if a prompt with its seed is there already, or if a prompt is in the other
    split; RunError if configs or columns differ.
    """
    seen = destination.look()
    _check_visibility(seen, destination, public)
    if seen.manifest is None:
        hint = "`datagen push` makes one"
        raise PushError("there is no dataset to append to", where=destination.address, hint=hint)
    named = dataset.named_by_content()
    data = [file for file in named.files if not file.path.startswith("pictures/")]
    there = {file.path: file for file in seen.manifest.files}
    kept = [file for file in seen.manifest.files if file.path != CARD]
    if all(there.get(file.path) == file for file in data):
        return _make_plan(seen, seen.manifest, (*kept, _read_card(seen, destination)), destination)
    old = Card.parse(_read_card(seen, destination).content().decode(errors="replace"), f"{destination.address}/{CARD}")
    runs = [*seen.manifest.runs, note]
    card = join(old, named.card, runs, destination.address)
    _check_rows(named, seen, old, destination)
    new = [file for file in data if there.get(file.path) != file]
    files = (*kept, *new, File.make(CARD, card.text.encode()))
    return _make_plan(seen, Manifest.of(runs, files), files, destination)


def carry_out(plan: Plan, destination: Destination, *, public: bool, message: str) -> Pushed:
    """Send the missing files, make all visible at once, and return the verified push."""
    large = [file for file in plan.missing if file.path not in (CARD, MANIFEST)]
    if plan.missing:
        destination.stage(large, public)
    revision = destination.publish(plan.files, plan.removed, plan.seen, message)
    return Pushed(destination.address, revision, plan.manifest)


def _make_plan(seen: Remote, manifest: Manifest, files: Sequence[File], destination: Destination) -> Plan:
    every = (*files, manifest.file)
    paths = {file.path for file in every}
    if len(paths) < len(every):
        raise PushError("two files would have the same name", where=destination.address, hint="rename a view")
    _check_limits(sorted(paths), destination)
    missing = tuple(file for file in every if not seen.holds(file))
    gone = {file.path for file in seen.manifest.files} if seen.manifest else set()
    if destination.by_content:  # also files that a killed push left, which no manifest names
        gone |= {path for path in seen.paths if OWN_NAME.search(path)}
    return Plan(seen, manifest, every, missing, tuple(sorted((gone - paths) & seen.paths)))


def _check_visibility(seen: Remote, destination: Destination, public: bool) -> None:
    if destination.by_content and public:
        hint = "set the permissions at the bucket or folder itself; push without --public"
        raise PushError("cannot be made public from here", where=destination.address, hint=hint)
    if seen.public is True and not public:
        hint = "push with --public if everybody may see this data, or push to another name"
        raise PushError("exists and is public", where=destination.address, hint=hint)
    if seen.public is False and public:
        hint = "push without --public; to make it public, change its settings on the hub"
        raise PushError("exists and is private", where=destination.address, hint=hint)


def _check_owner(seen: Remote, note: RunNote, destination: Destination) -> None:
    """Raise PushError if a push would replace a dataset of another recipe, of several runs, or foreign files."""
    hint = "push to another name, add to it with `datagen append`, or replace it with --replace"
    if seen.manifest is None:
        data = sorted(path for path in seen.paths if path not in (CARD, ".gitattributes") and not OWN_NAME.search(path))
        if data or CARD in seen.paths:
            what = f"has files that datagen did not push: {(data or [CARD])[0]}"
            raise PushError(what, where=destination.address, hint=hint)
        return
    others = [run for run in seen.manifest.runs if run.fingerprint != note.fingerprint]
    if others:
        what = f"has the run {others[0].name!r} of another recipe ({others[0].fingerprint}; here {note.fingerprint})"
        raise PushError(what, where=destination.address, hint=hint)


def _find_edit(seen: Remote, card: File, destination: Destination) -> File | None:
    """Return the card there if somebody edited it: it is neither of the last push nor `card`, left by a killed push."""
    if seen.manifest is None or CARD not in seen.paths or seen.holds(card):
        return None
    there = _read_card(seen, destination)
    return None if there in seen.manifest.files else there


def _read_card(seen: Remote, destination: Destination) -> File:
    return File.make(CARD, destination.read(CARD, seen, lambda file: file.read()))


def _check_limits(paths: Sequence[str], destination: Destination) -> None:
    if destination.limits is None:
        return
    in_folder, in_all = destination.limits
    folder, count = max(count_folders(paths).items(), key=lambda item: item[1])
    if count > in_folder or len(paths) > in_all:
        what = f"takes {in_folder:,} files in a folder and {in_all:,} in all; {folder or 'the dataset'} has {count:,}"
        raise PushError(what, where=destination.address, hint="push fewer views, or to a bucket")


def _check_rows(dataset: Dataset, seen: Remote, old: Card, destination: Destination) -> None:
    """Raise PushError for rows that are there already (same prompt and seed), and prompts that get into both splits."""
    assert seen.manifest is not None
    splits: dict[str, str] = {}
    rows: set[str] = set()
    for split in ("train", "validation"):
        patterns = old.patterns("default", split)
        for path in (file.path for file in seen.manifest.files if matches(file.path, patterns)):
            for prompt, seed in destination.read(path, seen, partial(_read_keys, f"{destination.address}/{path}")):
                splits[hash_of(prompt)] = split
                rows.add(hash_of(prompt, seed))
    twice, torn, example = 0, 0, ""
    for split in ("train", "validation"):
        for file in dataset.files:
            if matches(file.path, dataset.card.patterns("default", split)):
                for prompt, seed in _read_keys(file.path, file.source):
                    is_twice, is_torn = hash_of(prompt, seed) in rows, splits.get(hash_of(prompt), split) != split
                    twice, torn = twice + is_twice, torn + is_torn
                    example = example or (f"{prompt!r}, seed {seed}" if is_twice or is_torn else "")
    where = destination.address
    if twice:
        hint = "append a run with another seed: `datagen build RECIPE --set seed=…`"
        raise PushError(f"{twice:,} rows are there already, such as {example}", where=where, hint=hint)
    if torn:
        what = f"{torn:,} rows have a prompt that is in the other split there, such as {example}"
        raise PushError(what, where=where, hint="build with the same validation_share as the dataset there")


def _read_keys(where: str, source: Any) -> list[tuple[str, int]]:
    """Return prompt and seed of each row of a parquet file; pictures are not read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source) as file:
            keys = file.read(columns=KEYS)
    except pa.ArrowInvalid as error:
        hint = "push its run again, which repairs it"
        raise PushError(f"cannot be read as parquet: {error}", where=where, hint=hint) from error
    return list(zip(*(keys[key].to_pylist() for key in KEYS), strict=True))
