"""Push a run to a destination: check it, plan and show the push, carry it out, record it; and pull a dataset back.

`push.json` in the run folder holds, for each destination, the revision and the manifest that were verified there. An
address is `hf://datasets/me/set`, `s3://`, `gs://` or `file://`. A pull verifies every file by its hash; its folder
appears complete or not at all.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from datagen import program
from datagen.addresses import without_addresses
from datagen.amounts import count_of
from datagen.errors import ConfigError, PushError, RunError
from datagen.notices import tell_once
from datagen.pipeline import Progress, Run, Watch, find_jobs, require_current
from datagen.push.dataset import Dataset, read_dataset
from datagen.push.destination import GO_ON, HUB, Destination, Remote
from datagen.push.files import CARD, File, RunNote
from datagen.push.sending import Plan, Pushed, carry_out, plan_append, plan_push

RECORD = "push.json"
Way = Literal["push", "append"]


@dataclass(frozen=True, slots=True)
class Order:
    """A planned push or append; nothing has been sent yet."""

    run: Run
    destination: Destination
    plan: Plan
    facts: dict[str, Any]
    public: bool


def prepare_push(
    run: Run,
    address: str,
    watch: Watch,
    *,
    way: Way = "push",
    public: bool = False,
    replace: bool = False,
    views: Sequence[str] = (),
    room: Path | None = None,
) -> Order:
    """Plan a push or append of a run and its `views` (folders under exports/); changes nothing.

    A run on an object store needs an empty folder, `room`, to which its dataset is copied until the push is complete.
    Raises ConfigError for an invalid address, RunError for an unfinished run or an outdated export, PushError if the
    state of the destination forbids it.
    """
    destination = open_destination(address, watch)
    if "@" in destination.address:
        hint = "push without @…; only a pull can name a revision"
        raise ConfigError("names a revision, but a push makes a new one", where=address, hint=hint)
    _check_finished(run, watch)
    parts = ["dataset", *(f"exports/{name}" for name in views)]
    require_current(run, parts)
    folder = _fetch_parts(run, parts, room)
    dataset = read_dataset(folder / "dataset", {name: folder / "exports" / name for name in views})
    _check_addresses(run, views)
    dataset = dataset.loaded_by(destination.loading)
    note = RunNote(run.recipe.name, str(run.folder.read_notes()["fingerprint"]), dataset.card.rows)
    if way == "push":
        plan = plan_push(dataset, note, destination, public=public, replace=replace)
    else:
        plan = plan_append(dataset, note, destination, public=public)
    return Order(run, destination, plan, _list_facts(run, dataset, destination, plan, public), public)


def complete_push(order: Order) -> Pushed:
    """Carry out a plan, and record the verified push in the run. Raises PushError."""
    note = order.plan.manifest.runs[-1]
    message = f"datagen: {note.name} ({note.fingerprint})"
    pushed = carry_out(order.plan, order.destination, public=order.public, message=message)
    record = {"revision": pushed.revision, **json.loads(pushed.manifest.file.content())}
    content = json.dumps({**_read_record(order.run), pushed.destination: record}, indent=1, ensure_ascii=False)
    try:
        order.run.folder.write_file(RECORD, content.encode() + b"\n")
        order.run.folder.log(f"push: {pushed.destination} is at {pushed.revision}")
    except RunError as error:  # the push itself is done
        tell_once(f"the push is done, and not noted in the run: {error.what}")
    return pushed


def _check_finished(run: Run, watch: Watch) -> None:
    where = str(run.folder)
    if jobs := find_jobs(run, "both", watch).jobs:
        hint = f"`datagen build` continues it; `{program.command('status', where)}` shows its progress"
        raise RunError(f"is not finished: {len(jobs)} of its shards lack samples or scores", where=where, hint=hint)
    for shard in run.folder.list_shards("samples"):
        run.folder.prove_samples(shard)


def _fetch_parts(run: Run, parts: Sequence[str], room: Path | None) -> Path:
    """Return a local folder with these parts of a run: its own, or `room`."""
    if run.folder.is_local:
        return run.folder.local_path
    assert room is not None, "a run on an object store is copied to a folder of the caller's"
    for part in parts:
        run.folder.get_tree(part, room / part)
        if not (room / part).is_dir():
            raise RunError("is not there yet", where=f"{run.folder}/{part}", hint="`datagen export RUN` makes it")
    return room


def _check_addresses(run: Run, views: Sequence[str]) -> None:
    """Raise RunError for a view whose files contain a local path, such as `root`, unless the recipe allows it."""
    for name in views:
        options = run.recipe.exports[name].format.options if name in run.recipe.exports else {}
        told = [key for key, value in options.items() if without_addresses({key: value}) != {key: value}]
        if told and not run.recipe.addresses:
            what = f"its files contain a path of this machine: {told[0]} is {options[told[0]]!r}"
            hint = f"export it with a relative {told[0]}, or set `addresses: true` in the recipe"
            raise RunError(what, where=f"{run.folder}/exports/{name}", hint=hint)


def _read_record(run: Run) -> dict[str, Any]:
    if not run.folder.has(RECORD):
        return {}
    try:
        record = json.loads(run.folder.read_head(RECORD, -1))
    except ValueError as error:
        raise RunError(
            "is no record of pushes", where=f"{run.folder}/{RECORD}", hint="delete it: the next push writes it"
        ) from error
    return dict(record)


def _list_facts(run: Run, dataset: Dataset, destination: Destination, plan: Plan, public: bool) -> dict[str, Any]:
    """Return the facts to show before anything is sent; amounts are pairs of files and bytes."""

    def amount(files: Sequence[File]) -> tuple[int, int]:
        return len(files), sum(file.size for file in files)

    seen = plan.seen
    state = f"revision {seen.revision[:12]}" if seen.revision else "is not there yet"
    visible = "PUBLIC: everybody can see it" if public else "private"
    configs = [str(entry["config_name"]) for entry in dataset.card.header["configs"]]
    rows = ", ".join(f"{split} {count:,}" for split, count in dataset.card.rows.items())
    return {
        "destination": f"{seen.address} ({state})",
        "visibility": "as the place is set" if destination.by_content else visible,
        "configs": ", ".join(configs),
        "rows": rows,
        "dataset": amount(plan.files),
        "to send, at most": amount(plan.missing),
        "to delete": count_of(len(plan.removed), "file"),
        "commits": destination.commits if plan.missing or plan.removed else 0,
        "licence": dataset.card.header.get("license", "none"),
        "contamination": _describe_contamination(run),
        "recipe": f"{run.recipe.name} ({plan.manifest.runs[-1].fingerprint})",
    }


def _describe_contamination(run: Run) -> str:
    if not run.recipe.contamination:
        return "not checked: the recipe names no benchmark files"
    files = ", ".join(Path(path).name for path in run.recipe.contamination)
    return f"checked against {files}: {run.read_plan().get('contaminated', 0):,} prompts were refused, none is left"


TRIES = 3


def pull_dataset(address: str, folder: Path, watch: Watch) -> Pushed:
    """Fetch the dataset of an address (`hf://datasets/NAME@REVISION` for an older one) into a new folder.

    Files of an earlier, killed pull are kept. Raises ConfigError for an invalid address, RunError if the folder exists
    or cannot be written, PushError if there is no dataset or a file is damaged.
    """
    source = open_destination(address, watch)
    if folder.exists():
        raise RunError("exists already", where=str(folder), hint="name a new folder")
    seen = source.look()
    if seen.manifest is None:
        hint = "plain `load_dataset` reads datasets that datagen did not push"
        raise PushError("has no dataset pushed by datagen", where=address, hint=hint)
    # Fetched beside its place and renamed at the end, so that the folder is never incomplete.
    partial = folder.with_name(f".{folder.name}.partial")
    files = (*seen.manifest.files, seen.manifest.file)
    try:
        partial.mkdir(parents=True, exist_ok=True)
        for done, file in enumerate(files, 1):
            _fetch(source, file, seen, partial, watch)
            watch.show(Progress("fetch", done, len(files)))
        _drop_others(partial, files)
        os.rename(partial, folder)
    except OSError as error:
        hint = "free some space or choose another folder; fetched files are kept"
        raise RunError(f"cannot be written: {error.strerror or error}", where=str(folder), hint=hint) from error
    return Pushed(source.address, seen.revision, seen.manifest)


def _drop_others(folder: Path, files: Sequence[File]) -> None:
    """Remove files that are not of the dataset: of a killed pull of another revision, or of the hub's client."""
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # partial downloads of the hub's client
    wanted = {folder / file.path for file in files}
    for path in list(folder.rglob("*")):
        if path.is_file() and path not in wanted:
            path.unlink()


def _fetch(source: Destination, file: File, seen: Remote, folder: Path, watch: Watch) -> None:
    path = folder / file.path
    for _ in range(TRIES):
        if path.is_file() and path.stat().st_size == file.size and File.read(file.path, path) == file:
            return
        path.unlink(missing_ok=True)
        source.fetch(file, seen, folder)
    if File.read(file.path, path) == file:
        return
    if file.path == CARD:
        watch.say(f"{CARD} was edited there since the last push: kept as it is")
    else:
        what = f"{file.path} differs from the manifest, {TRIES} times in a row"
        raise PushError(what, where=source.address, hint=GO_ON)


FORMS = "hf://datasets/NAME, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or file:///FOLDER"


def open_destination(address: str, watch: Watch) -> Destination:
    """Return the destination of an address, which reports progress and waits to `watch`.

    Raises ConfigError for an unknown form, or an address with credentials.
    """
    scheme, found, rest = address.partition("://")
    if not found:
        raise ConfigError("is no destination", where=address, hint=f"it has the form {FORMS}")
    if "@" in rest.split("/")[0]:
        hint = "the client reads them from its usual places: environment, ~/.aws, or `hf auth login`"
        raise ConfigError("an address must not hold credentials", where=f"{scheme}://…", hint=hint)
    if scheme == "hf":
        return _open_hub(address, watch)
    if not rest.strip("/") or (scheme != "file" and rest.startswith("/")):
        raise ConfigError("names no bucket or folder", where=address, hint=f"it has the form {FORMS}")
    if scheme in ("s3", "gs", "file"):
        from datagen.push.bucket import Bucket

        return Bucket(address, watch)
    raise ConfigError(f"the scheme {scheme!r} is not known", where=address, hint=f"it has the form {FORMS}")


def _open_hub(address: str, watch: Watch) -> Destination:
    from datagen.push.hub import Hub

    name, _, revision = address.removeprefix(HUB).partition("@")
    part = r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.))*"
    if not address.startswith(HUB) or not re.fullmatch(rf"({part}/)?{part}", name):
        raise ConfigError("is no dataset of a hub", where=address, hint=f"it has the form {HUB}NAME or {HUB}OWNER/NAME")
    return Hub(name, revision, watch)
