"""Staleness of datasets, exports and reports: whether the run has changed since they were made.

Each carries hashes of the weight policy, the other settings and the shards, and datagen's version: datasets and exports
in `.made.json`, reports in their HTML head. `datagen status` shows what is stale; push, append and train refuse it.

Not covered: files of a dataset that were changed by hand after the export.
"""

from __future__ import annotations

import hashlib
import html
import importlib.metadata
import json
import re
from collections.abc import Mapping, Sequence

from datagen import program
from datagen.errors import RunError
from datagen.export import MADE, ViewPlan
from datagen.pipeline.review import read_reviews
from datagen.pipeline.run import Run
from datagen.plugins import list_sources
from datagen.records import hash_of
from datagen.store import Stage

SHARDS: tuple[Stage, ...] = ("prompts", "samples", "scores")
_REPORT_NOTE = re.compile(rb'<meta name="datagen-made" content="([^"]*)">')
Made = dict[str, str]
"""Hashes of the inputs of an output, by `weights`, `settings`, `shards`, `form` and `datagen` (a version), and `review`
if a person has said something of a sample."""


def trace(run: Run) -> Made:
    """Return the hashes that dataset and report would get now; reads scores and prompts, but no images."""
    recipe = run.recipe.to_dict()
    weights = [recipe.pop("weights"), recipe.pop("aggregate"), run.policy.model_dump(mode="json")]
    # Policy and aggregate are hashed separately, so that `status` can say which part changed.
    recipe.pop("exports")  # each export has its own note
    shards = hashlib.sha256()
    for stage in SHARDS:
        for shard in run.folder.list_shards(stage):
            shards.update(f"{stage} {shard} {run.folder.digest(stage, shard)}\n".encode())
    reviews = {sample_id: [each.mark, each.comment] for sample_id, each in read_reviews(run).items()}
    return {
        "datagen": importlib.metadata.version("datagen"),
        "weights": hash_of(weights),
        "settings": hash_of(recipe),
        "shards": shards.hexdigest()[:16],
        **({"review": hash_of(reviews)} if reviews else {}),
    }


def trace_view(made: Made, plan: ViewPlan) -> Made:
    """Return the hashes of an export: those of the dataset, and one of its view and format."""
    sources = {
        label: hashlib.sha256(path.read_bytes()).hexdigest()
        for word in (plan.view, plan.format)
        for label, path in list_sources(word).items()
    }
    form = [plan.view, plan.format, dict(plan.view_options), dict(plan.format_options), *([sources] if sources else [])]
    form += ["skip"] if plan.skip else []
    return {**made, "form": hash_of(form)}


def find_stale(run: Run) -> dict[str, str]:
    """Return why each output of a run is stale, by name (`dataset`, `exports/NAME`, `report.html`).

    The reason is empty for an output that is current.
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
        found["report.html"] = _compare(
            _read_note(html.unescape(note[1].decode(errors="replace")).encode() if note else b""), now
        )
    return found


def is_current(run: Run, name: str, made: Made) -> bool:
    """Tell whether an output, such as `exports/NAME`, exists and was made from what `made` says."""
    return not _compare(_read_note(run.folder.read_head(f"{name}/{MADE}")), made)


def require_current(run: Run, names: Sequence[str]) -> None:
    """Raise RunError for the first of the named outputs that exists and is stale, with the command that renews it."""
    stale = find_stale(run)
    for name in names:
        if why := stale.get(name):
            export = program.command("export", run.folder)
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
    """Return how an output differs from one made now; empty if it does not."""
    if not then:
        return "it does not say what it was made from"
    words = {
        "weights": "with other weights (policy or aggregate) than the run has now",
        "settings": "under other settings than the run has now",
        "shards": "from other prompts, samples or scores than the run has now",
        "review": "before or after a person reviewed other samples",
        "form": "in another form than the run names now",
        "datagen": f"by datagen {then.get('datagen')}",
    }
    changed = [words[key] for key in words if then.get(key) != now.get(key)]
    return f"made {' and '.join(changed)}" if changed else ""
