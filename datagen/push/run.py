"""Pushes a run to a destination: what must be finished first, what a person sees before, what is noted.

`push.json` in the run folder holds, for each destination, the revision and the manifest that was verified there.

An address is `hf://datasets/me/set`, `s3://`, `gs://` or `file://`. A pushed dataset is fetched into a folder, every
file proved by its hash; the folder appears whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from datagen.addresses import without_addresses
from datagen.errors import ConfigError, PushError, RunError
from datagen.pipeline import Progress, Run, Watch, find_jobs, require_current
from datagen.push.dataset import Dataset, read_dataset
from datagen.push.destination import GO_ON, HUB, Destination, Remote
from datagen.push.files import CARD, File, RunNote
from datagen.push.sending import Plan, Pushed, carry_out, plan_append, plan_push

RECORD = "push.json"
Way = Literal["push", "append"]


@dataclass(frozen=True, slots=True)
class Order:
    """A push or an append that is planned: nothing has moved yet."""

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
) -> Order:
    """Plan a push (or an append) of a run and its `views` (folders under exports/); changes nothing anywhere.

    Raises ConfigError for an address that is none, RunError for a run that is not finished or an export that is not
    made from the run as it is, PushError for what the destination is or holds.
    """
    destination = open_destination(address, watch)
    if "@" in destination.address:
        hint = "push without @…; a pull can name one"
        raise ConfigError("names a revision, and a push makes a new one", where=address, hint=hint)
    _check_finished(run, watch)
    require_current(run, ["dataset", *(f"exports/{name}" for name in views)])
    folder = run.folder.local_path
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
    """Carry out what was planned, and note in the run what was verified. Raises PushError."""
    note = order.plan.manifest.runs[-1]
    message = f"datagen: {note.name} ({note.fingerprint})"
    pushed = carry_out(order.plan, order.destination, public=order.public, message=message)
    record = {"revision": pushed.revision, **json.loads(pushed.manifest.file.content())}
    content = json.dumps({**_read_record(order.run), pushed.destination: record}, indent=1, ensure_ascii=False)
    order.run.folder.write_file(RECORD, content.encode() + b"\n")
    order.run.folder.log(f"push: {pushed.destination} is at {pushed.revision}")
    return pushed


def _check_finished(run: Run, watch: Watch) -> None:
    where = str(run.folder)
    if not run.folder.is_local:
        raise RunError("is not on this machine", where=where, hint="copy the run here, then push it")
    if jobs := find_jobs(run, "both", watch).jobs:
        hint = f"`datagen build` goes on with it; `datagen status {where}` shows how far it is"
        raise RunError(f"is not finished: {len(jobs)} of its shards lack samples or scores", where=where, hint=hint)
    for shard in run.folder.list_shards("samples"):
        run.folder.prove_samples(shard)


def _check_addresses(run: Run, views: Sequence[str]) -> None:
    """Refuse a view whose files name a place of this machine, such as `root`, unless the recipe wants `addresses`."""
    for name in views:
        options = run.recipe.exports[name].format.options if name in run.recipe.exports else {}
        told = [key for key, value in options.items() if without_addresses({key: value}) != {key: value}]
        if told and not run.recipe.addresses:
            what = f"its files name a place of this machine: {told[0]} is {options[told[0]]!r}"
            hint = f"export it with a relative {told[0]}, or say `addresses: true` in the recipe"
            raise RunError(what, where=f"{run.folder}/exports/{name}", hint=hint)


def _read_record(run: Run) -> dict[str, Any]:
    path: Path = run.folder.local_path / RECORD
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError("is no note of pushes", where=str(path), hint="delete it: the next push writes it") from error
    return dict(record)


def _list_facts(run: Run, dataset: Dataset, destination: Destination, plan: Plan, public: bool) -> dict[str, Any]:
    """Return what a person sees before anything moves; amounts are pairs of files and bytes."""

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
        "to delete": f"{len(plan.removed):,} files",
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

    What an earlier, killed pull fetched is kept. Raises ConfigError for an address that is none, RunError when the
    folder is in the way or cannot be written, PushError when there is no dataset or a file is not what it should be.
    """
    source = open_destination(address, watch)
    if folder.exists():
        raise RunError("is in the way", where=str(folder), hint="name a folder that is not there yet")
    seen = source.look()
    if seen.manifest is None:
        hint = "plain `load_dataset` reads datasets that datagen did not push"
        raise PushError("holds no dataset that datagen pushed", where=address, hint=hint)
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
        hint = "free some space or choose another folder; what was fetched is kept"
        raise RunError(f"cannot be written: {error.strerror or error}", where=str(folder), hint=hint) from error
    return Pushed(source.address, seen.revision, seen.manifest)


def _drop_others(folder: Path, files: Sequence[File]) -> None:
    """Remove what is no file of the dataset: of another revision, whose pull was killed, or of the hub's client."""
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # where the hub's client keeps what it fetched in part
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
        watch.say(f"{CARD} was edited there since the last push: taken as it is")
    else:
        what = f"{file.path} is not what the manifest says, {TRIES} times in a row"
        raise PushError(what, where=source.address, hint=GO_ON)


FORMS = "hf://datasets/NAME, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or file:///FOLDER"


def open_destination(address: str, watch: Watch) -> Destination:
    """Return the destination of an address, which tells `watch` how far it is and what it waits for.

    Raises ConfigError for a form that is none, or one that holds a secret.
    """
    scheme, found, rest = address.partition("://")
    if not found:
        raise ConfigError("is no destination", where=address, hint=f"it has the form {FORMS}")
    if "@" in rest.split("/")[0]:
        hint = "the client finds them in its own place: environment, ~/.aws, or `hf auth login`"
        raise ConfigError("an address must not hold credentials", where=f"{scheme}://…", hint=hint)
    if scheme == "hf":
        return _open_hub(address, watch)
    if not rest.strip("/") or (scheme != "file" and rest.startswith("/")):
        raise ConfigError("names no bucket and no folder", where=address, hint=f"it has the form {FORMS}")
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
