"""From a run to a destination: what must be finished first, what a person sees before anything moves, what is noted.

`push.json` in the run folder holds, for each destination, the revision and the manifest that was verified there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from datagen.addresses import without_addresses
from datagen.errors import ConfigError, RunError
from datagen.pipeline import Run, Watch, find_jobs, require_current
from datagen.push._dataset import Dataset, read_dataset
from datagen.push._destination import Destination, open_destination
from datagen.push._files import File, RunNote
from datagen.push._push import Plan, Pushed, carry_out, plan_append, plan_push

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
