"""Notes of what a dataset, its further forms and a report were made from, and whether the run is still that.

Each carries a note of hashes: of the weights' policy, of the other settings, of the shards, and datagen's version. A
dataset and its forms have it in `.made.json`, a report in its head. `datagen status` shows what is stale; what goes on
from there (push, append, train) refuses it.

Not covered: files of a dataset that were changed by hand after the export.
"""

from __future__ import annotations

import hashlib
import html
import importlib.metadata
import json
import re
from collections.abc import Mapping, Sequence

from datagen.errors import RunError
from datagen.export import MADE, ViewPlan
from datagen.pipeline.run import Run
from datagen.plugins import list_sources
from datagen.records import hash_of
from datagen.store import Stage

SHARDS: tuple[Stage, ...] = ("prompts", "samples", "scores")
_REPORT_NOTE = re.compile(rb'<meta name="datagen-made" content="([^"]*)">')
Made = dict[str, str]
"""The hashes of what a thing was made from, by `weights`, `settings`, `shards`, `form` and `datagen` (a version)."""


def trace(run: Run) -> Made:
    """Return what dataset and report of a run would be made from now; reads scores and prompts, and no picture."""
    recipe = run.recipe.to_dict()
    weights = [recipe.pop("weights"), recipe.pop("aggregate"), run.policy.model_dump(mode="json")]
    recipe.pop("exports")  # each form has a note of its own
    shards = hashlib.sha256()
    for stage in SHARDS:
        for shard in run.folder.list_shards(stage):
            shards.update(f"{stage} {shard} {run.folder.digest(stage, shard)}\n".encode())
    return {
        "datagen": importlib.metadata.version("datagen"),
        "weights": hash_of(weights),
        "settings": hash_of(recipe),
        "shards": shards.hexdigest()[:16],
    }


def trace_view(made: Made, plan: ViewPlan) -> Made:
    """Return what a further form is made from: what its dataset is, and the form itself."""
    sources = {
        label: hashlib.sha256(path.read_bytes()).hexdigest()
        for word in (plan.view, plan.format)
        for label, path in list_sources(word).items()
    }
    form = [plan.view, plan.format, dict(plan.view_options), dict(plan.format_options), *([sources] if sources else [])]
    return {**made, "form": hash_of(form)}


def find_stale(run: Run) -> dict[str, str]:
    """Return what was derived from a run, by name (`dataset`, `exports/NAME`, `report.html`), and why it is stale.

    The reason is empty where it is not.
    """
    views = {f"exports/{plan.name}": plan for plan in run.views}
    there = [f"exports/{name}" for name in run.folder.list_folders("exports")]
    there += ["dataset"] if run.folder.has("dataset/README.md") else []
    if not there and not run.folder.has("report.html"):
        return {}
    now = trace(run)
    found: dict[str, str] = {}
    for name in there:
        wanted = trace_view(now, views[name]) if name in views else now
        found[name] = _compare(_read_note(run.folder.read_head(f"{name}/{MADE}")), wanted)
        if name != "dataset" and name not in views:
            found[name] = "the recipe does not name it any more"
    if run.folder.has("report.html"):
        note = _REPORT_NOTE.search(run.folder.read_head("report.html"))
        found["report.html"] = _compare(_read_note(html.unescape(note[1].decode()).encode() if note else b""), now)
    return found


def require_current(run: Run, names: Sequence[str]) -> None:
    """Raise RunError for the first of some derived things that is there and stale, with the command that mends it."""
    stale = find_stale(run)
    for name in names:
        if why := stale.get(name):
            export = f"datagen export {run.folder}"
            dropped = name != "dataset" and name.removeprefix("exports/") not in run.recipe.exports
            hint = f"first: {export}{' --view …' if dropped else ''}"
            raise RunError(f"is stale: {why}", where=f"{run.folder}/{name}", hint=hint)


def _read_note(content: bytes) -> Mapping[str, object]:
    try:
        note = json.loads(content or b"{}")
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def _compare(then: Mapping[str, object], now: Made) -> str:
    """Say in what a thing was made otherwise than it would be now; empty if in nothing."""
    if not then:
        return "it does not say what it was made from"
    words = {
        "weights": "with other weights (policy or aggregate) than the run has now",
        "settings": "under other settings than the run has now",
        "shards": "from other prompts, samples or scores than the run has now",
        "form": "in another form than the run names now",
        "datagen": f"by datagen {then.get('datagen')}",
    }
    changed = [words[key] for key in words if then.get(key) != now.get(key)]
    return f"made {' and '.join(changed)}" if changed else ""
