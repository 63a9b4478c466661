"""Writes the HTML file from streamed samples: count everything, embed what fits, render, write whole."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from datagen.errors import RunError
from datagen.records import Failure
from datagen.report.cards import Disputes, format_box, make_group
from datagen.report.charts import plot_dots, plot_histogram, show, show_percent
from datagen.report.figures import EMBED_LIMIT, EMBED_LIMIT_BYTES, Corpus, GroupFigures, ReportItem, Subset, Tally

if TYPE_CHECKING:
    from datagen.weighting import WeightReport


_HERE = Path(__file__).parent


def write_report(
    out_path: str | Path,
    title: str,
    items: Iterable[ReportItem],
    *,
    failures: Iterable[Failure] = (),
    weight_report: WeightReport | None = None,
    facts: Mapping[str, object] | None = None,
    run: str = "",
    embed_limit: int = EMBED_LIMIT,
    embed_limit_bytes: int = EMBED_LIMIT_BYTES,
    evaluators: Collection[str] = (),
    judges: Mapping[str, Collection[str]] = MappingProxyType({}),
    first: int | None = None,
    corpora: Mapping[str, Corpus] = MappingProxyType({}),
    made: Mapping[str, str] | None = None,
) -> Path:
    """Write the gallery of a run as one self-contained HTML file and return its path.

    `items` is read once and may be a stream; figures cover all of it, the gallery at most `embed_limit` samples and
    `embed_limit_bytes` of images. `weight_report` is what `diagnose_weights` found; `evaluators` names the scorers that
    had no part in the weights; `judges` gives the kinds of claim that each scorer judges, and with it the section on
    where they disagree; `first` is how many candidates every prompt has for sure: rewards and pass rates by skill rest
    on these; `corpora` gives, by scorer, what makes a benchmark's figures of a whole corpus from the evidence of its
    samples, shown beside the mean; `facts` are shown as they come; `run` is the RUN that `datagen sample RUN ID` takes,
    by default the folder of `out_path`; `made` is noted in its head: what it was made from, in hashes. The file appears
    whole or not at all. Raises RunError if it cannot be written.
    """
    path = Path(out_path)
    tally, subset, disputes = Tally(first, corpora), Subset(embed_limit, embed_limit_bytes), Disputes(judges)
    for item in items:
        tally.add(item)
        subset.add(item)
        disputes.add(item)
    tally.add_failures(failures)
    context = _context(title, tally, subset, weight_report, dict(facts or {}))
    weighing = {scorer.target for scorer in tally.scorers.values() if scorer.name not in evaluators}
    context["rewarded"] = [name for name in ("image", "text") if name in weighing]
    context |= {"evaluators": evaluators, "disputes": disputes.counts, "disputed": list(disputes.cards())}
    context["run"] = shlex.quote(run or path.parent.as_posix())
    context["made"] = json.dumps(dict(made)) if made else ""
    _write_whole(path, _render(context))
    return path


def _context(
    title: str, tally: Tally, subset: Subset, weight_report: WeightReport | None, facts: dict[str, object]
) -> dict[str, Any]:
    lines = tally.figures()
    css, script = _asset("gallery.css") + _asset("samples.css"), _asset("gallery.js")
    paths = [(line.weakness, line.skill) for line in lines if line.skill]
    return {
        "title": title,
        "facts": facts,
        "css": css,
        "script": script,
        "policy": _policy(css, script),
        "whole": lines[0],
        "lines": lines[1:],
        "candidates": tally.candidates,
        "is_uneven": any(each.samples > tally.candidates for each in tally.prompts.values()),
        "scorers": sorted(tally.scorers.values(), key=lambda scorer: (scorer.target, scorer.name)),
        "histograms": [(name, plot_histogram(values, f"{name} weight")) for name, values in tally.weights.items()],
        "diagnoses": weight_report.rows if weight_report else (),
        "warnings": weight_report.warnings if weight_report else (),
        "idle": weight_report.idle if weight_report else (),
        "rounds": tally.rounds(),
        "failures": [(*key, count, tally.details[key]) for key, count in tally.failures.most_common()],
        "failure_count": tally.failures.total(),
        "groups": (make_group(group) for group in subset.groups()),
        "seen": subset.seen,
        "embedded": subset.embedded,
        "weaknesses": sorted({weakness for weakness, _ in paths}),
        "skills": paths,
    }


def _policy(css: str, script: str) -> str:
    """Return a content security policy that allows this style, this script and data: images, and nothing else."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, script)
    )
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _render(context: dict[str, Any]) -> Iterator[str]:
    """Yield the page in pieces; everything that is not `Markup` of our own is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(show=show, percent=show_percent, box=format_box)
    environment.globals.update(reward_plot=_reward_plot, pass_plot=_pass_plot)
    own = {name: Markup(context[name]) for name in ("css", "script")}  # files of this package, read above
    return environment.get_template("page.html.j2").generate({**context, **own})


def _reward_plot(line: GroupFigures, name: str) -> object:
    return plot_dots((("image", "image reward", line.image), ("text", "text reward", line.text)), name)


def _pass_plot(line: GroupFigures, name: str, candidates: int) -> object:
    return plot_dots((("one", "pass@1", line.pass_1), ("many", f"pass@{candidates}", line.pass_n)), name)


def _write_whole(path: Path, pieces: Iterator[str]) -> None:
    """Write to a neighbour, flush to disk, rename: a reader never sees half a page."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            for piece in pieces:
                file.write(piece.encode("utf-8", "replace"))  # a lone surrogate cannot be stored
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise RunError(
            f"the report cannot be written: {error.strerror or error}",
            where=str(path),
            hint="free some space or check the folder's permissions, then run `datagen report` again",
        ) from error
    finally:
        with suppress(OSError):  # after the rename, or where the folder itself is the fault, there is none
            partial.unlink()
