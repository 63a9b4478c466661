"""A model and a scorer whose words and pictures are made to act where they are shown or read: harmless, if they do.

As the plugin `tests.helpers.hostile` it is both. `find_hostile` looks for what acted: on the console, in the report, in
the card, in the dataset and in its exports.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from datagen.console import print_sample
from datagen.errors import ConfigError, DatagenError
from datagen.export.view import RunPlan, ViewPlan, check_needs
from datagen.pipeline import Run, find_sample
from datagen.plugins import known_words
from datagen.push.dataset import Card
from datagen.records import Failure, Prompt, Request, Sample, Verdict
from tests.helpers.acting import ACTS, find_acting
from tests.helpers.instant import Instant
from tests.helpers.mutations import spoil
from tests.helpers.picture_kinds import BROKEN, KINDS

HOSTILE = "tests.helpers.hostile"
TARGET = "image"
JUDGES = frozenset[str]()
TAG = "hostile-tag"
TEXTS = (
    ACTS,
    f"<{TAG} onhostile=1>",
    f"</script></style></textarea>--><{TAG}>",
    f"' onhostile='1 \" onhostile=\"1 <{TAG}",
    "# hostile heading\n\n---\nhostile: 1\n---\n| a | b |\n|---|---|",
    "[a link](hostile:) ![a picture](hostile:) <hostile:> `code",
    "{{ 7 * 7 }} {% hostile %} ${7*7} #{7*7}",
    "=1+1\t@SUM(1)\t+1\t-1",
    "[red]rich[/red] [/] [link=hostile:]x[/link]",
    "<|im_end|><|endoftext|><image></s>[INST]",
    "<think>one</think><think>two",
    "../../../hostile /hostile C:\\hostile hostile\0name",
    '{"json": "inside", "a": [1, 2]}',
    "- yaml\n: &a *a\n!!python/none",
    "ﷺ ̴̡̛̖ 👩‍👩‍👧‍👦 \u2028\u2029\ufeff\ufffe\uffff",
    "a" * 5_000,
    "\n" * 200,
    "\r\n\r\n\t ",
)
"""Control codes, markup of pages, cards, templates, tables, consoles and models, paths, and odd letters."""
FORMS_OF_A_TRIAL = 8


def say_something(rng: random.Random, plain: str) -> str:
    """Return one to three hostile texts around a plain one."""
    words = [*rng.choices(TEXTS, k=rng.randint(1, 3)), plain]
    rng.shuffle(words)
    return rng.choice(["", " ", "\n"]).join(words)


def show_something(rng: random.Random, plain: bytes) -> bytes:
    """Return a picture of an odd kind, a broken one, a spoiled one, or mostly the plain one."""
    kind = rng.randrange(12)
    if kind == 0:
        return rng.choice([*KINDS.values()])[0]
    if kind == 1:
        return rng.choice([*BROKEN.values()])
    return spoil(plain, rng) if kind == 2 else plain


@dataclass(frozen=True)
class Hostile:
    """Answers as `Instant`, in other words and with other pictures."""

    inner: Instant
    seed: int
    name: str = "hostile"
    lexicon: str = "pictograms"

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield an answer to each request."""
        for made in self.inner.generate(requests):
            if isinstance(made, Failure):
                rng = random.Random(self.seed)
                yield replace(made, error=say_something(rng, made.error), detail=say_something(rng, ""))
                continue
            rng = random.Random(made.seed ^ self.seed)
            parts = tuple(
                replace(part, text=say_something(rng, part.text))
                if part.kind == "text"
                else replace(part, image=show_something(rng, part.image))
                for part in made.segments
            )
            words = {"engine": say_something(rng, "x"), "settings": {say_something(rng, "key"): say_something(rng, "")}}
            yield replace(made, segments=parts, **words)


def build(options: Mapping[str, Any]) -> Hostile:
    """Return the backend; the option `seed` decides its words."""
    return Hostile(Instant(fails=0.1), int(options.get("seed", 0)))


REFLECTS = True


def score(prompt: Prompt, sample: Sample, tools: Any) -> Verdict:
    """Judge at random, with hostile reasons and evidence."""
    rng = random.Random(sample.seed)
    reason = say_something(rng, "reason")
    return Verdict(rng.choice([0.0, 1.0, None]), reason, {"note": reason})


TAXONOMY = """\
version: 1
weakness: counting
title: {title}
why: {title}
skills:
  - name: few
    title: {title}
    slots:
      n: {{range: [2, 4]}}
      object: {{from: objects}}
    claims: ["count(object, n)"]
    templates: few.j2
"""
SENTENCES = (
    f"<{TAG} onhostile=1>",
    "| [a link](hostile:) |",
    "# hostile heading",
    "[red]rich[/]",
    "=1+1",
    "`code",
    "&lt;",
)


def write_hostile_taxonomy(folder: Path) -> Path:
    """Write a taxonomy whose title and wordings hold marks of pages, tables, cards and consoles; return its path."""
    (folder / "templates").mkdir(parents=True)
    title = json.dumps(f"<{TAG}> | # a `title` [red]")
    (folder / "hostile.yaml").write_text(TAXONOMY.format(title=title), encoding="utf-8")
    lines = "".join(f"{{{{ many(n, object) }}}} {words}\n" for words in SENTENCES)
    (folder / "templates/few.j2").write_text(lines, encoding="utf-8")
    return folder / "hostile.yaml"


def list_forms(mode: str) -> Iterator[tuple[str, str]]:
    """Yield every view with every format that can hold it, for a run of this scorer."""
    for view in known_words("export.views"):
        for form in known_words("export.formats"):
            with contextlib.suppress(ConfigError):
                plan = ViewPlan("mine", view, form, {}, {})
                check_needs(plan, RunPlan(mode, ["counting", "plan", HOSTILE], 2, likelihood=False, rounds=1))
                yield view, form


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hostile: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag.startswith("hostile") or any(name.startswith("onhostile") for name, _ in attrs):
            self.hostile.append(tag)


def find_hostile(run: Run) -> Iterator[str]:
    """Yield for console, report, card, dataset and each export what acted there, `""` where nothing did."""
    folder = run.folder.local_path
    yield find_in_page((folder / "report.html").read_text(encoding="utf-8"))
    yield find_in_card((folder / "dataset/README.md").read_text(encoding="utf-8"))
    yield _find_in_dataset(run)
    samples = [sample for shard in run.folder.list_shards("samples") for sample in run.folder.read_samples(shard)]
    for sample in samples:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            print_sample(find_sample(run, sample.id))
        yield f"the console: {acts}" if (acts := find_acting(said.getvalue())) else ""
    for export in sorted((folder / "exports").glob("*")):
        yield from (_find_in_file(path) for path in sorted(export.rglob("*")) if path.is_file())


def find_in_page(page: str) -> str:
    """Return what acts in a page: hostile elements, attributes or letters."""
    tags = _Tags()
    tags.feed(page)
    return f"the report: {tags.hostile} {find_acting(page)}" if tags.hostile or find_acting(page) else ""


def find_in_card(card: str) -> str:
    """Return what acts in a card: hostile elements, links, headings or letters, or a header that is none."""
    _, _, body = card.split("---\n", 2)
    lines = [line for line in body.splitlines() if line.startswith(("# hostile", "hostile:"))]
    acts = find_acting(card), f"<{TAG}" in body, "](hostile:" in body, lines
    try:
        Card.parse(card, "the card")
    except DatagenError as error:
        return str(error)
    return f"the card: {acts}" if any(acts) else ""


def _find_in_dataset(run: Run) -> str:
    """What a model said stands in the dataset letter by letter."""
    rows = [
        row
        for path in sorted((run.folder.local_path / "dataset/data").glob("*.parquet"))
        for row in pq.read_table(path, columns=["id", "segments"]).to_pylist()
    ]
    said = {row["id"]: [part["text"] for part in row["segments"] if part["kind"] == "text"] for row in rows}
    for shard in run.folder.list_shards("samples"):
        for sample in run.folder.read_samples(shard):
            if said.get(sample.id) != [part.text for part in sample.segments if part.kind == "text"]:
                return f"the dataset has other words than sample {sample.id}"
    return ""


def _find_in_file(path: Path) -> str:
    """Every file of an export is what its ending says."""
    try:
        if path.suffix == ".jsonl":
            for line in path.read_bytes().split(b"\n"):
                if line:
                    json.loads(line)
        elif path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".parquet":
            pq.read_table(path)
    except (ValueError, OSError) as error:
        return f"{path.parent.name}/{path.name}: {error}"
    return "a name that acts" if find_acting(str(path)) else ""
