"""Terminal output: progress, tables, errors. The only user of `rich`.

On a terminal and in a notebook each stage is one live line; elsewhere (a file, CI) it prints plain lines, at most one
in ten seconds. Results go to standard output, progress and problems to standard error.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from datagen.amounts import count_of, format_bytes, format_seconds
from datagen.errors import DatagenError
from datagen.picture_files import find_kind
from datagen.plugins import find_own_line
from datagen.program import from_here, shorten_paths
from datagen.records import CAUSES, visible

if TYPE_CHECKING:
    from rich.live import Live

    from datagen.catalog import Explanation
    from datagen.config import Prices
    from datagen.diagnose import Allotment, Diagnosis, Rate
    from datagen.diff import RunDiff
    from datagen.documents.reading import Problem
    from datagen.pipeline import Estimate, Finding, Found, Progress
    from datagen.records import Cause, Prompt
    from datagen.training.finetune import TrainStep

PLAIN_SECONDS = 10.0
"""Shortest time between two plain lines of one stage."""
LIVE_SECONDS = 0.1

UNITS = {"rewrite": "answers", "prompts": "prompts", "send": "files", "verify": "files", "fetch": "files"}
UNITS |= {"view": "rows", "scenes": "scenes", "judges": "scenes", "sizes": "pictures", "texts": "texts"}
UNITS |= {"tokenizer": "scenes", "captions": "captions", "rewrites": "rewrites", "rounds": "rounds"}
"""What a stage counts, if not samples."""

PLAIN_WIDTH = 160
"""Characters per line without a terminal: enough that no table wraps."""


class PlainConsole(Console):
    """A console on which no text acts: what a model, a server or a file wrote is shown as it is (`visible`).

    Every path below the working directory is told from there, however it was given.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as rich prints it."""
        return super().render_str(visible(shorten_paths(text)), **options)


out = PlainConsole(highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
err = PlainConsole(
    stderr=True, highlight=False, emoji=False, soft_wrap=True, width=None if sys.stderr.isatty() else PLAIN_WIDTH
)


BATCH_SECONDS = 0.5
"""What comes so soon after something else is one batch with it; a steady stream is cut in batches of this length."""


@dataclass(slots=True)
class Tempo:
    """How fast a stage goes, by the batches in which its results come: `rate` is a second's, 0 until it is known.

    The first batch does not count, since models are loaded before it comes, and the last only when it is whole.
    """

    rate: float = 0.0
    _made: int = 0
    _last: float = 0.0
    _begin: float = 0.0
    _first: tuple[int, float] | None = None

    def count(self, made: int, seconds: float) -> None:
        """Take how much there is, so many seconds after the stage began."""
        if made <= self._made:
            return
        if self._made and max(seconds - self._last, self._last - self._begin) > BATCH_SECONDS:
            whole = self._made, self._last
            if self._first is None:
                self._first = whole
            elif whole[1] > self._first[1]:
                self.rate = (whole[0] - self._first[0]) / (whole[1] - self._first[1])
            self._begin = seconds
        elif not self._made:
            self._begin = seconds
        self._made, self._last = made, seconds


class _Cell:
    """Lines below the cell of a notebook that runs, shown in place of the last ones."""

    def __init__(self) -> None:
        from IPython.display import display

        self._handle: Any = display({"text/plain": ""}, raw=True, display_id=True)

    def show(self, text: str) -> None:
        self._handle.update({"text/plain": visible(text)}, raw=True)


class Board:
    """Shows the progress of a run, one line per stage. Use as a context manager; implements `pipeline.Watch`."""

    def __init__(self, console: Console = err, *, verbose: bool = False) -> None:
        self._console, self._verbose = console, verbose
        self._lines: dict[str, str] = {}
        self._started: dict[str, float] = {}
        self._shown: dict[str, float] = {}
        self._tempo: dict[str, Tempo] = {}
        self._ended: dict[str, int] = {}
        """The stages that are done, and how much each made."""
        self._begun: set[str] = set()
        """The stages that were shown before their end; of the others each call is one of its own."""
        self._live: Live | _Cell | None = None
        self._first_step = sys.maxsize

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False, transient=False)
            self._live.__enter__()
        elif self._console.is_jupyter:
            self._live = _Cell()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._draw(self._live)
            if not isinstance(self._live, _Cell):
                self._live.__exit__(kind, error, trace)
            self._live = None

    def _draw(self, live: Live | _Cell) -> None:
        if isinstance(live, _Cell):
            live.show("\n".join(self._lines.values()))
        else:
            live.update("\n".join(escape(each) for each in self._lines.values()), refresh=True)

    def show(self, progress: Progress) -> None:
        """Show the progress of a stage; calls in quick succession are skipped."""
        made = progress.done - progress.before
        self._put(progress.stage, progress.done >= progress.total, made, partial(describe_progress, progress))

    def show_training(self, step: TrainStep) -> None:
        """Show the progress of a training in the same way."""
        self._first_step = min(step.done, self._first_step)
        line = partial(describe_step, step, self._first_step)
        self._put("train", step.done >= step.total, step.done, lambda seconds, _: line(seconds))

    def _put(self, stage: str, is_end: bool, made: int, describe: Callable[[float, float], str]) -> None:
        """Show a stage's line, unless the last is too recent.

        `describe` makes it from the seconds since the stage began, and the rate of its `Tempo`.
        """
        now = time.monotonic()
        before = self._ended.pop(stage, None)
        is_again = is_end and made == before and stage in self._begun
        if before is not None and not is_again:  # another run, as in the rounds of a loop
            self._started.pop(stage, None)
            self._shown.pop(stage, None)
            self._tempo.pop(stage, None)
        if is_end:
            self._ended[stage] = made
        else:
            self._begun.add(stage)
        started = self._started.setdefault(stage, now)
        tempo = self._tempo.setdefault(stage, Tempo())
        tempo.count(made, now - started)
        pause = PLAIN_SECONDS if self._live is None else LIVE_SECONDS
        # The default lets a live stage show its first line at once, and a plain one only after `PLAIN_SECONDS`.
        if not is_end and now - self._shown.get(stage, started - LIVE_SECONDS) < pause:
            return
        line = describe(now - started, tempo.rate)
        if line == self._lines.get(stage):
            return
        self._shown[stage] = now
        self._lines[stage] = line
        if self._live is not None:
            self._draw(self._live)
        else:
            self._console.print(line, markup=False)

    def say(self, text: str, brief: str = "") -> None:
        """Show a text above the lines, a warning in yellow; its `brief` form unless details were asked for."""
        text = text if self._verbose else brief or text
        self._console.print(from_here(text), markup=False, style="yellow" if text.startswith("warning:") else None)


def describe_progress(progress: Progress, seconds: float, rate: float | None = None) -> str:
    """Return a stage as one line: count, share, rate, time left, failures, reward; it began `seconds` ago.

    What is left takes as long as the `rate` says, None for the mean rate so far; 0 if that is unknown. A finished stage
    tells its mean rate.
    """
    made, rest = progress.done - progress.before, progress.total - progress.done
    parts = [f"{progress.stage:<9}{progress.done:>8,}/{progress.total:,}"]
    if progress.done == progress.before == progress.total:
        parts.append("was there already")
    else:
        parts.append(f"{progress.done / max(1, progress.total):4.0%}")
    if made > 0 and seconds > 0.05:
        rate = made / seconds if rate is None or not rest else rate
    if made > 0 and seconds > 0.05 and rate:
        unit = UNITS.get(progress.stage, "samples")
        parts.append(f"{rate:,.1f} {unit}/s")
        parts.append(f"{format_seconds(rest / rate)} left" if rest else f"in {format_seconds(seconds)}")
    if progress.stage in ("generate", "score") and progress.done:
        parts.append(f"{progress.failed / progress.done:.1%} failed")
    if progress.reward is not None:
        parts.append(f"mean reward {progress.reward:.3f}")
    if progress.note:
        parts.append(progress.note)
    return "  ".join(parts)


def describe_step(step: TrainStep, first: int, seconds: float) -> str:
    """Return a training as one line: steps, time left, losses in nats; it began with step `first`, `seconds` ago."""
    made, rest = step.done - first, step.total - step.done
    parts = [f"{'train':<9}{step.done:>8,}/{step.total:,}", f"{step.done / step.total:4.0%}"]
    if made > 0 and seconds > 0.05:
        parts.append(f"{format_seconds(rest * seconds / made)} left" if rest else f"in {format_seconds(seconds)}")
    for name, (text, image) in (("loss", step.losses), ("held out", step.held_out)):
        figures = [f"{word} {value:.3f}" for word, value in (("text", text), ("image", image)) if value is not None]
        parts += [f"{name}: {', '.join(figures)}"] if figures else []
    return "  ".join(parts)


def print_error(error: Exception) -> None:
    """Show an error: where, what, and what to do. An unforeseen one says whose code raised it.

    No frame stands around it and no line is broken: commands in it can be copied.
    """
    if isinstance(error, DatagenError):
        name, where, what, hint = type(error).__name__, *map(from_here, (error.where, error.what, error.hint))
    else:
        what, where = f"{type(error).__name__}: {error}", find_own_line(error)
        name, whose = ("Error in your module", "in that module") if where else ("Internal error", "of datagen")
        hint = f"this is a fault {whose}; finished shards are kept; --debug shows the whole traceback"
    if not err.is_terminal:
        first = f"{name}: {where}: {what}" if where else f"{name}: {what}"
        err.print(f"{first}\n{hint}" if hint else first, markup=False)
        return
    err.print(f"[bold red]{name}[/bold red]" + (f"  [bold]{escape(where)}[/bold]" if where else ""))
    err.print(what, markup=False)
    if hint:
        err.print(f"[green]{escape(hint)}[/green]")


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print names and values, one per line."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        out.print(f"[bold]{escape(name):<{width}}[/bold]  {escape(str(value))}")


def print_json(value: Any) -> None:
    """Print plain values, dataclasses and models as JSON, in ASCII; what is not a number (NaN) is null."""
    from pydantic_core import to_jsonable_python

    print(json.dumps(_without_nan(to_jsonable_python(value, fallback=str)), indent=2))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def print_entries(kinds: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Print words with one line each under their kinds; a terminal cuts the line at its edge."""
    width = max((len(word) for entries in kinds.values() for word, _ in entries), default=0)
    for kind, entries in kinds.items():
        out.print(f"[bold]{escape(kind)}[/bold]")
        for word, about in entries:
            line = Text(visible(f"  {word:<{width}}  {about}"))
            if out.is_terminal:
                line.truncate(out.width, overflow="ellipsis")
            out.print(line)


def print_explanation(known: Explanation, noun: str) -> None:
    """Print what is known of a word: what it says of itself, its facts, its options."""
    out.print(f"[bold]{escape(noun)} {escape(known.word)}[/bold]  [dim]{escape(known.file)}[/dim]")
    print_line(f"\n{_flow(known.about)}\n")
    if known.facts:
        print_facts(known.facts)
        print_line()
    if known.options:
        if known.about_options:
            print_line(f"{_flow(known.about_options)}\n")
        rows = [(each.name, each.type, each.default, each.about) for each in known.options]
        shown = 4 if any(each.about for each in known.options) else 3
        print_table(["option", "value", "default", ""][:shown], [row[:shown] for row in rows])
        print_line()
    elif known.options is None:
        print_line("options: those named above\n")


def _flow(text: str) -> str:
    """Return a text with its paragraphs broken at the terminal's edge; what is indented or a list stays as it is."""
    if not out.is_terminal:
        return text
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        each if re.search(r"^(\s|[*-] )", each, re.MULTILINE) else textwrap.fill(each, min(out.width, 100))
        for each in paragraphs
    )


def print_findings(findings: Iterable[Finding]) -> None:
    """Print each finding."""
    for check, verdict, seen in findings:
        color = {"ok": "green", "warning": "yellow", "failed": "red"}[verdict]
        out.print(f"[{color}]{verdict:<8}[/{color}] [bold]{escape(check)}[/bold]  {escape(seen)}")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print a table; numbers are right-aligned, floats have three digits, None is a dash."""
    table = Table(title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False)
    cells = [list(row) for row in rows]
    for k, column in enumerate(columns):
        is_number = any(isinstance(row[k], (int, float)) for row in cells)
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        table.add_row(*(escape(_cell(value)) for value in row))
    out.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def print_line(text: object = "") -> None:
    """Print one line to standard output."""
    out.print(str(text), markup=False)


def print_aside(text: str) -> None:
    """Print one line to standard error."""
    err.print(text, markup=False)


def print_problems(problems: Sequence[Problem], form: str) -> None:
    """Print problems, one per line, as text or as GitHub annotations (`form` is `github`), and their number."""
    from datagen.documents.reading import format_github

    for problem in problems:
        print_line(format_github(problem) if form == "github" else str(problem))
    errors = sum(problem.severity == "error" for problem in problems)
    found = f"{count_of(errors, 'error')}, {count_of(len(problems) - errors, 'warning')}"
    err.print(found if problems else "no problems", markup=False)


def print_prompts(prompts: Iterable[Prompt]) -> None:
    """Print prompts under their skill, each with its claims."""
    skill = ""
    for prompt in prompts:
        if prompt.path != skill:
            skill = prompt.path
            out.print(f"[bold]{escape(skill)}[/bold]")
        print_line(f"  {prompt.level:<8} {prompt.text}")
        out.print(f"           [dim]{escape(', '.join(map(str, prompt.claims)))}[/dim]")


def print_sample(found: Found) -> None:
    """Print one sample: prompt, claims, what the model wrote, scores with reasons, failures."""
    prompt, sample = found.prompt, found.sample
    facts: dict[str, Any] = {
        "sample": f"{prompt.id}-{found.candidate:02d}",
        "prompt": prompt.text,
        "skill": f"{prompt.path}, {prompt.level}",
        "claims": ", ".join(map(str, prompt.claims)),
    }
    if sample is not None:
        settings = ", ".join(f"{key} {value}" for key, value in sample.settings.items())
        facts["made by"] = f"{sample.engine}, seed {sample.seed}, {sample.mode}, switch {sample.switch}, {settings}"
        for part in sample.segments:
            facts[part.role] = (
                part.text
                if part.kind == "text"
                else f"{len(part.image):,} bytes of {(find_kind(part.image) or '').upper()}"
            )
    for failure in found.failures:
        facts[f"{failure.stage} failed"] = " ".join(part for part in (failure.error, failure.detail) if part)
    print_facts(facts)
    if found.scores:
        rows = [(score.name, score.target, score.value, score.reason) for score in found.scores]
        print_table(["score", "judges", "value", "reason"], rows)


def print_diff(found: RunDiff) -> None:
    """Print what differs between two runs."""
    names = [found.first, found.second]
    if found.changes:
        print_table(["recipe", *names], [(each.key, _plain(each.first), _plain(each.second)) for each in found.changes])
    else:
        print_line("the recipes are the same")
    first, second, common = found.prompts
    print_line(f"prompts: {first:,} and {second:,}, {common:,} in common")
    for title, pairs in (("pass@1", found.passes), ("mean", found.means)):
        rows = [
            (each.name, each.prompts, each.first, each.second, f"{each.difference:+.3f}", _span(each.low, each.high))
            for each in pairs
        ]
        if rows:
            print_table([title, "prompts", *names, "difference", "interval"], rows)


def _plain(value: Any) -> str | None:
    return None if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _span(low: float, high: float) -> str:
    return f"{low:+.3f} to {high:+.3f}"


def print_estimate(estimate: Estimate, workers: int, prices: Prices | None = None) -> None:
    """Print the estimate of a recipe, and how it was measured."""
    from datagen.taxonomy import explain_skipped

    is_range = estimate.least_samples < estimate.samples
    samples = f"{estimate.least_samples:,} to {estimate.samples:,}" if is_range else f"{estimate.samples:,}"
    about = "at most about" if is_range else "about"
    facts: dict[str, Any] = {
        "prompts": f"{estimate.prompts:,}",
        "samples": samples,
        "shards": f"{estimate.shards:,}",
    }
    if estimate.probed and estimate.seconds is not None and estimate.disk_bytes is not None:
        rates = f"{estimate.samples_per_second:,.1f} samples/s, {estimate.scores_per_second:,.1f} scores/s per worker"
        facts["disk"] = f"{about} {format_bytes(estimate.disk_bytes)}"
        facts["time"] = f"{about} {format_seconds(estimate.seconds)} with {count_of(workers, 'worker')}"
        facts |= _tell_spent(estimate, about, prices)
        facts["measured"] = f"now, on {count_of(estimate.probed, 'sample')} on this machine: {rates}"
    else:
        facts["disk, time"] = "not measured (--no-probe)"
    if estimate.filter is not None:
        facts["dataset"] = f"the samples that pass {estimate.filter}; how many is known once they are scored"
    if estimate.guard is not None:
        facts["benchmark"] = estimate.guard
    print_facts(facts)
    if estimate.allotment is None:
        print_table(["skill", "prompts"], list(estimate.places.items()))
    else:
        _print_allotment(estimate.allotment, estimate.places)
    for sentence in [*explain_skipped(estimate.skipped), *(f"warning: {what}" for what in estimate.warnings)]:
        print_line(sentence)


def _tell_spent(estimate: Estimate, about: str, prices: Prices | None) -> dict[str, str]:
    """Return what models will be asked for, and what that costs."""
    facts: dict[str, str] = {}
    spent = estimate.spent
    if spent is None:
        return facts
    for name, usage in spent.usage.items():
        tokens = f"{usage.input_tokens:,} tokens read, {usage.output_tokens:,} written"
        counted = tokens if usage.input_tokens or usage.output_tokens else "the server counts no tokens"
        facts[f"asked of {name}"] = f"{about} {count_of(usage.requests, 'request')}, {counted}"
    facts["model hours"] = f"{about} {spent.hours:,.2g}, divided by the number of models"
    if prices is not None and estimate.cost is not None:
        facts["money"] = f"{about} {estimate.cost:,.2f} {prices.currency}"
    return facts


def _print_allotment(allotment: Allotment, places: Mapping[str, int]) -> None:
    """Print the share of each level, and the measurements behind it."""
    rows = []
    for each in allotment.shares:
        row = each.row
        measured = (None,) * 4 if row is None else (_value(row.pass_1), _value(row.pass_n), row.verdict, row.path)
        rows.append((each.path, *measured, each.weight, each.share, places[each.path]))
    columns = ["level", "pass@1", "pass@n", "verdict", "measured as", "by policy", "share", "prompts"]
    print_table(columns, rows, f"allocate: {allotment.policy}")
    for note in allotment.notes:
        print_line(note)


def print_diagnosis(diagnosis: Diagnosis, before: Diagnosis | None = None) -> None:
    """Print the measurements of each skill and level, why images fail, and the skills by verdict.

    Beside each share of a cause stands how it moved since `before`.
    """
    n = diagnosis.made.candidates
    rates = ["pass@1", "interval", f"pass@{n}" if n > 1 else "pass@n", "interval", "reward"]
    columns = ["skill", "prompts", "samples", "unjudged", *rates, "verdict"]
    rows = [
        (
            row.path,
            row.prompts,
            row.samples,
            row.unjudged,
            _value(row.pass_1),
            _interval(row.pass_1),
            _value(row.pass_n),
            _interval(row.pass_n),
            _value(row.reward),
            row.verdict,
        )
        for row in diagnosis.rows
    ]
    print_table(columns, rows)
    _print_causes(diagnosis, before)
    for verdict in dict.fromkeys(row.verdict for row in diagnosis.rows):
        print_line(f"{verdict}: {', '.join(row.path for row in diagnosis.rows if row.verdict == verdict)}")
    for note in diagnosis.made.notes:
        print_line(note)


def _print_causes(diagnosis: Diagnosis, before: Diagnosis | None) -> None:
    """Print the share of samples that fail for each cause, and its difference to that of the same path before."""
    known = {row.path: row.causes for row in diagnosis.rows if row.causes is not None}
    earlier = {row.path: row.causes for row in before.rows if row.causes is not None} if before else {}
    told = [*known.values(), *(causes for path, causes in earlier.items() if path in known)]
    found = [cause for cause in CAUSES if any(cause in causes for causes in told)]
    if found:
        rows = [
            (path, *(_tell_share(causes.get(cause, 0.0), earlier.get(path), cause) for cause in found))
            for path, causes in known.items()
        ]
        print_table(["skill", *found], rows, "share of samples that fail, by cause")
    if lost := [row.path for row in diagnosis.rows if row.causes is None]:
        print_line(f"why images fail was not recorded: {', '.join(lost)}")


def _tell_share(share: float, before: Mapping[Cause, float] | None, cause: Cause) -> str:
    return f"{share:.2f}" if before is None else f"{share:.2f} ({share - before.get(cause, 0.0):+.2f})"


def _value(rate: Rate | None) -> float | None:
    return None if rate is None else rate.value


def _interval(rate: Rate | None) -> str | None:
    return None if rate is None else f"{rate.low:.2f}–{rate.high:.2f}"
