"""Writes the page of a run from streamed samples: count everything, choose cards, render, write whole."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from datagen.amounts import count_of
from datagen.errors import RunError
from datagen.filesystems import write_whole
from datagen.records import CAUSES, Failure, visible
from datagen.report.album import Album, Chunk, Limits
from datagen.report.cards import Disputes, Shot, make_group
from datagen.report.charts import plot_dots, plot_histogram, show, show_percent
from datagen.report.figures import Corpus, GroupFigures, ReportItem, Tally
from datagen.report.selection import Selection, select
from datagen.report.table import Packed, Table
from datagen.report.thumbs import PictureFolder, make_thumb

if TYPE_CHECKING:
    from jinja2 import Environment

    from datagen.weighting import WeightReport


_HERE = Path(__file__).parent
SINGLE_BYTES = 100_000
"""Largest thumbnail of a sample that is shown alone."""
MOST_FAILURES = 20
"""Kinds of failure that are listed."""


def write_report(
    out_path: str | Path,
    title: str,
    items: Iterable[ReportItem],
    *,
    selection: Selection | None = None,
    limits: Limits = Limits(),  # noqa: B008  (frozen)
    failures: Iterable[Failure] = (),
    weight_report: WeightReport | None = None,
    facts: Mapping[str, object] | None = None,
    run: str = "",
    evaluators: Collection[str] = (),
    judges: Mapping[str, Collection[str]] = MappingProxyType({}),
    first: int | None = None,
    corpora: Mapping[str, Corpus] = MappingProxyType({}),
    made: Mapping[str, str] | None = None,
) -> Path:
    """Write the gallery of a run as one HTML file, with full pictures in a folder beside it, and return its path.

    `items` is read once, the samples of a prompt one after the other. Figures, filters and counts cover all of them;
    those of `selection` have cards, and without one all items are held in memory to make it (`select`). `limits` says
    how large the page and its folder (`report_files` beside `report.html`) may get. `weight_report` is what
    `diagnose_weights` found; `evaluators` names the scorers that had no part in the weights; `judges` gives the kinds
    of claim that each scorer judges, and with it the section on where they disagree; `first` is how many candidates
    every prompt has for sure: rewards and pass rates by skill rest on these; `corpora` maps scorers to the function
    that gives their benchmark's figures of all samples, shown beside the mean; `facts` are shown as
    they come; `run` is the RUN that `datagen sample RUN ID` takes, by default the folder of `out_path`; `made` is
    noted in its head: hashes of its sources. The file appears whole or not at all, and pictures of an
    earlier page go when it is there. Raises RunError if it cannot be written.
    """
    path = Path(out_path)
    if selection is None:
        items = list(items)
        selection = select(((item.prompt.id, item.prompt.path) for item in items), limits.samples)
    tally, table, disputes = Tally(first, corpora), Table(), Disputes(judges)
    folder = PictureFolder(path.with_name(f"{path.stem}_files"))
    with _explain(path), closing(Album(selection, limits, folder)) as album:
        last, place = None, None
        for item in items:
            if item.prompt.id != last:
                last, place = item.prompt.id, selection.place(item.prompt.id)
            tally.add(item)
            table.add(item, is_shown=place is not None)
            disputes.add(item)
            if place is not None:
                album.add(item, place)
        tally.add_failures(failures)
        context = _context(title, tally, weight_report, dict(facts or {}))
        weighing = {scorer.target for scorer in tally.scorers.values() if scorer.name not in evaluators}
        context["rewarded"] = [name for name in ("image", "text") if name in weighing]
        context |= {"evaluators": evaluators, "disputes": disputes.counts}
        context["run"] = shlex.quote(run or path.parent.as_posix())
        context["made"] = json.dumps(dict(made)) if made else ""
        context |= _list_data(album, table.pack(limits.share_table(selection.seen)), disputes)
        with write_whole(path) as file:
            for piece in _render(context):
                file.write(piece.encode())
        folder.sweep()
    return path


def _list_data(album: Album, table: Packed, disputes: Disputes) -> dict[str, Any]:
    """Return the data for the page's script, and the numbers with which the page describes them."""
    chunks: list[Chunk] = album.finish()
    return {
        "chunks": chunks,
        "table": table,
        "disputed": album.shoot_disputes(disputes) if disputes.widest else None,
        "seen": album.selection.seen,
        "shown": album.selection.samples,
        "is_cut": album.is_cut,
        "files": album.files,
        "lone": album.lone,
        "folder": album.folder.path.name,
    }


def _context(title: str, tally: Tally, weight_report: WeightReport | None, facts: dict[str, object]) -> dict[str, Any]:
    lines, failing = tally.figures(), tally.causes()
    css, script = _asset("gallery.css") + _asset("samples.css"), _asset("cards.js") + _asset("gallery.js")
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
        "is_uneven": tally.most > tally.candidates,
        "scorers": sorted(tally.scorers.values(), key=lambda scorer: (scorer.target, scorer.name)),
        "histograms": [(name, plot_histogram(values, f"{name} weight")) for name, values in tally.weights.items()],
        "diagnoses": weight_report.rows if weight_report else (),
        "warnings": weight_report.warnings if weight_report else (),
        "idle": weight_report.idle if weight_report else (),
        "rounds": tally.rounds(),
        "failing": failing,
        "gaps": tally.gaps(),
        "causes": [cause for cause in CAUSES if failing and cause in failing[0].shares],
        "failures": tally.list_failures(MOST_FAILURES),
        "failure_kinds": sum(len(kinds.counts) for kinds in tally.failures.values()),
        "failure_count": sum(kinds.counts.total() for kinds in tally.failures.values()),
        "weaknesses": sorted({weakness for weakness, _ in paths}),
        "skills": paths,
    }


def _policy(css: str, script: str) -> str:
    """Return a content security policy that allows this style, this script and pictures in the page or beside it."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, script)
    )
    return (
        f"default-src 'none'; img-src data: 'self'; style-src 'sha256-{style_hash}'; "
        f"script-src 'sha256-{script_hash}'; base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _render(context: dict[str, Any]) -> Iterator[str]:
    """Yield the page in pieces; everything that is not `Markup` of our own is escaped."""
    from markupsafe import Markup

    environment = _open_templates(_HERE)
    environment.globals.update(reward_plot=_reward_plot, pass_plot=_pass_plot)
    own = {name: Markup(context[name]) for name in ("css", "script")}  # files of this package, read above
    return environment.get_template("page.html.j2").generate({**context, **own})


def render_plain(template: Path, context: Mapping[str, Any]) -> str:
    """Return a page without a script, in the look of the gallery; all values but `Markup` are escaped.

    The template gets `css` and `policy`, its content security policy, beside the context.
    """
    from markupsafe import Markup

    css = _asset("gallery.css") + _asset("samples.css")
    page = _open_templates(template.parent).get_template(template.name)
    return page.render({**context, "css": Markup(css), "policy": _policy(css, "")})


def render_sample(item: ReportItem) -> str:
    """Return one sample as HTML that is whole in itself: no script, style sheet or request; all of it is escaped.

    Prompt, verdict, pictures with detected and planned boxes, rewards, weights, scores with reasons, and its texts.
    """
    images = [part.image for part in item.sample.segments if part.kind == "image"]
    shots = [Shot(make_thumb(image, SINGLE_BYTES)) for image in images]
    group = make_group([item], [shots])
    (card,) = group["cards"]
    pictures = [(picture, shot.thumb.url) for picture, shot in zip(card["pictures"], shots, strict=True)]
    template = _open_templates(_HERE).get_template("sample.html.j2")
    return template.render(group=group, card=card, pictures=pictures)


@cache
def _open_templates(folder: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(count=count_of, show=show, percent=show_percent)
    return environment


def _reward_plot(line: GroupFigures, name: str) -> object:
    return plot_dots((("image", "image reward", line.image), ("text", "text reward", line.text)), name)


def _pass_plot(line: GroupFigures, name: str, candidates: int) -> object:
    return plot_dots((("one", "pass@1", line.pass_1), ("many", f"pass@{candidates}", line.pass_n)), name)


@contextmanager
def _explain(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"the report cannot be written: {error.strerror or error}",
            where=str(error.filename or path),
            hint="free some space or check the folder's permissions, then run `datagen report` again",
        ) from error
