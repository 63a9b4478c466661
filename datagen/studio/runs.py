"""The runs of a project as the page shows them: which there are, how far they are, and their samples.

A run is read by a thread, shard by shard and without pictures, into a `SampleTable`; what is finished later is read
when it is there, so that a run can be looked at while another process makes it. Words and pictures are read for the
samples that are shown, from their row groups alone. Nothing is written to a run but what a person says of its samples
(`pipeline.review`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen import program
from datagen.diff import diff_runs
from datagen.errors import ConfigError, DatagenError, RunError
from datagen.pipeline import Run, open_run, read_progress
from datagen.pipeline.marks import MARKED, read_canaries
from datagen.pipeline.review import ACCEPTED, REJECTED, Review, count_reviews, read_reviews, rejected_of, write_review
from datagen.pipeline.run import OUTPUTS
from datagen.pipeline.views import make_item, read_scored
from datagen.records import CAUSES
from datagen.report import ReportItem
from datagen.report.cards import Shot, make_group
from datagen.report.thumbs import make_thumb
from datagen.studio.looking import tell_error
from datagen.studio.pairs import CHANGES, Pairs, choose_rows, pair
from datagen.studio.search import Found, Search
from datagen.studio.table import DERIVED, VERDICTS, WEIGHTS, Query, SampleTable, Snapshot, score_column

if TYPE_CHECKING:
    from datagen.studio.table import Rows

POLL_SECONDS = 1.0
"""How often a thread looks for finished shards."""
MOST_OPEN = 4
"""Runs whose columns are held; the one that was asked for longest ago is closed."""
MOST_SHOWN = 96
"""Most samples of one answer."""
THUMB_BYTES = 60_000
"""A picture goes into an answer unchanged up to this size, else as a thumbnail."""
ORDERS_HELD = 8
"""Answers to a query that are held, 8 bytes a row."""
SEARCHES_HELD = 4
"""Searches in what the model wrote that are held, 1 byte a row."""
STRETCH_SECONDS = 0.5
"""How long a search goes on before it answers."""
DEPTH = 3
"""Folders under outputs/ in which runs are looked for: rounds of a loop and arms of an experiment are runs too."""

Answer = dict[str, Any]


def list_runs(outputs: Path) -> dict[str, Path]:
    """Return the runs under a folder by their names relative to it, the latest first; links are not followed."""
    found: list[tuple[float, str, Path]] = []
    level = [outputs] if outputs.is_dir() and not outputs.is_symlink() else []
    for _ in range(DEPTH):
        folders = [path for parent in level for path in _list_folders(parent)]
        runs = {path for path in folders if (path / "run.yaml").is_file()}
        found += [((path / "run.yaml").stat().st_mtime, path.relative_to(outputs).as_posix(), path) for path in runs]
        level = [path for path in folders if path not in runs]
    return {name: path for _, name, path in sorted(found, reverse=True)}


def _list_folders(parent: Path) -> Iterator[Path]:
    try:
        yield from (
            path for path in parent.iterdir() if path.is_dir() and not path.is_symlink() and path.name[0] != "."
        )
    except OSError:
        return


class Runs:
    """The runs that a server may show: those of a project, or a single one by its address."""

    def __init__(self, outputs: Path | None, only: Mapping[str, str] | None = None) -> None:
        self._outputs, self._only = outputs, dict(only or {})
        self._open: OrderedDict[str, Reader] = OrderedDict()
        self._paired: tuple[object, Pairs] | None = None
        self._lock = threading.Lock()

    @property
    def may_mark(self) -> bool:
        """Whether a person may mark samples: not where a single run is only looked at."""
        return not self._only

    def addresses(self) -> dict[str, str]:
        """Return the address of each run by its name."""
        if self._only or self._outputs is None:
            return self._only
        return {name: str(path) for name, path in list_runs(self._outputs).items()}

    def describe(self) -> list[Answer]:
        """Return each run with the time of its last change, in seconds since 1970; 0 where that is not known."""
        files = {name: Path(address) / "run.yaml" for name, address in self.addresses().items()}
        return [
            {"name": name, "changed": file.stat().st_mtime if file.is_file() else 0} for name, file in files.items()
        ]

    def open(self, name: str) -> Reader:
        """Return the reader of a run. Raises RunError for a name that is not in the list."""
        address = self.addresses().get(name)
        if address is None:
            raise RunError("no such run here", where=name[:200], hint=f"runs stand in {OUTPUTS}/")
        with self._lock:
            if name not in self._open:
                self._open[name] = Reader(name, address)
            self._open.move_to_end(name)
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            return self._open[name]

    def compare(self, names: tuple[str, str], change: str, path: str, start: int, count: int) -> Answer:
        """Return two runs side by side: how many prompts changed in which way, and a sample of each for those shown.

        Raises RunError for a run that is not there, ConfigError for an unknown change.
        """
        readers = tuple(self.open(name) for name in names)
        (one, first, is_read), (other, second, is_other_read) = (reader.hold() for reader in readers)
        key = names, len(first), len(second)
        if self._paired is None or self._paired[0] != key:
            least = one.run.recipe.least_candidates, other.run.recipe.least_candidates
            self._paired = key, pair(first, second, least)
        pairs = self._paired[1]
        found = pairs.select(change, first, path)
        shown = found[start : start + min(count, MOST_SHOWN)].tolist()
        rows = [choose_rows(pairs, place, first, second) for place in shown]
        sides = (readers[0].show([a for a, _ in rows]), readers[1].show([b for _, b in rows]))
        return {
            "total": len(found),
            "prompts": [len(first.ids), len(second.ids), len(pairs.changes)],
            "counts": pairs.count(),
            "by_words": pairs.by_words,
            "paths": sorted(first.paths),
            "is_read": is_read and is_other_read,
            "pairs": [
                {
                    "change": CHANGES[pairs.changes[place]],
                    "passes": pairs.passes[place].tolist(),
                    "tries": pairs.tries[place].tolist(),
                    "groups": list(groups),
                }
                for place, groups in zip(shown, zip(*sides, strict=True), strict=True)
            ],
        }

    def diff(self, first: str, second: str) -> Answer:
        """Return what `datagen diff` says of two runs. Raises RunError for one that is not scored."""
        return diff_runs(self.open(first).hold()[0].run, self.open(second).hold()[0].run).to_dict()

    def close(self) -> None:
        """End all threads."""
        with self._lock:
            for reader in self._open.values():
                reader.close()


@dataclass(slots=True)
class Held:
    """A run with what is known of it; another one is begun when the run becomes another."""

    run: Run
    key: object
    table: SampleTable
    sizes: dict[int, int] = field(default_factory=dict)
    """Bytes of the file of scores of each shard that was read."""
    damaged: dict[int, Answer] = field(default_factory=dict)
    """Why a shard could not be read; it is left out until its file changes."""
    is_read: bool = False
    """Whether all shards that are there have been read and weighed."""
    canaries: frozenset[str] = frozenset()
    """Ids of samples that are canaries."""
    canary_key: object = None
    reviews: Mapping[str, Review] = field(default_factory=dict)
    weighed_without: frozenset[str] = frozenset()
    """The rejected samples of the last weighing."""
    canary_trouble: Answer | None = None
    orders: OrderedDict[object, Rows] = field(default_factory=OrderedDict)
    searches: OrderedDict[str, Search] = field(default_factory=OrderedDict)


class Reader:
    """Reads a run in a thread, and answers what the page asks about it."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        self._lock = threading.RLock()
        self._ended, self._begun = threading.Event(), threading.Event()
        self._held: Held | None = None
        self._error: Answer | None = None
        self._thread = threading.Thread(target=self._work, name=f"run {name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let the thread end after the shard that it reads."""
        self._ended.set()

    def describe(self) -> Answer:
        """Return what the page's filters offer, how far the run is, and what could not be read."""
        held, now, is_read = self.hold()
        run = held.run
        columns = [*("image_reward", "text_reward", *WEIGHTS), *DERIVED]
        progress = asdict(read_progress(run))
        return {
            "name": self.name,
            "model": run.recipe.backend.name,
            "policy": run.policy.policy,
            "samples": len(now),
            "is_read": is_read and len(held.sizes) >= progress["shards"]["scores"],
            "read_shards": len(held.sizes),
            "progress": progress,
            "paths": sorted(now.paths),
            "levels": sorted(now.levels),
            "verdicts": list(VERDICTS),
            "causes": [cause for k, cause in enumerate(CAUSES) if now.has_cause(k)],
            "columns": columns + [score_column(name) for name in run.recipe.scorers],
            "evaluators": list(run.recipe.evaluating),
            "canaries": len(held.canaries),
            "review": count_reviews(held.reviews.values()),
            "trouble": self._error or next(iter(held.damaged.values()), held.canary_trouble),
        }

    def select(self, query: Query, start: int, count: int) -> Answer:
        """Return how many samples a query finds, and those from `start` on as groups of one card.

        A search in what the model wrote answers before its end: `looked` samples are looked through, and the same
        query goes on from there. Raises ConfigError for a query about what is not there, RunError for a shard that is
        to be shown and cannot be read.
        """
        held = self._require()
        with self._lock:
            now = held.table.snapshot()
            search = _find_search(held, query.said)
        found = search.go_on(held.run, now, STRETCH_SECONDS) if search else None
        with self._lock:
            rows = self._order(held, now, query, found)
        shown = rows[start : start + min(count, MOST_SHOWN)].tolist()
        return {
            "total": len(rows),
            "samples": len(now),
            "looked": found.looked if found else len(now),
            "trouble": found.trouble if found else None,
            "groups": self._show(held, now, shown),
        }

    def hold(self) -> tuple[Held, Snapshot, bool]:
        """Return what is known of the run, its columns as they are now, and whether all that was there is in them.

        Raises RunError if the run cannot be read.
        """
        held = self._require()
        with self._lock:
            is_read = held.is_read
            return held, held.table.snapshot(), is_read

    def show(self, rows: Sequence[int]) -> list[Answer]:
        """Return rows of the columns as groups of one card."""
        held, now, _ = self.hold()
        return self._show(held, now, rows)

    def picture(self, sample_id: str, number: int) -> bytes:
        """Return a picture of a sample as it is stored. Raises RunError if there is none."""
        held = self._require()
        with self._lock:
            now = held.table.snapshot()
            found = held.table.find([sample_id])
        for row in found:
            shard, place = int(now.codes["shard"][row]), int(now.codes["place"][row])
            sample = held.run.folder.pick_samples(shard, [place]).get(place)
            pictures = [part.image for part in (sample.segments if sample else ()) if part.kind == "image"]
            if 0 <= number < len(pictures):
                return pictures[number]
        raise RunError("there is no such picture", where=sample_id[:100])

    def _order(self, held: Held, now: Snapshot, query: Query, found: Found | None) -> Rows:
        key = query, len(now), now.weights is not None
        if key in held.orders:
            held.orders.move_to_end(key)
            return held.orders[key]
        marked = held.table.find(_list_marked(held, query.mark))
        rows = now.select(query, marked, found.rows if found else None)
        if found is None or found.looked == len(now):
            held.orders[key] = rows
            while len(held.orders) > ORDERS_HELD:
                held.orders.popitem(last=False)
        return rows

    def _show(self, held: Held, now: Snapshot, rows: Sequence[int]) -> list[Answer]:
        """Return each row as a prompt with one card, in order."""
        shown: dict[int, Answer] = {}
        wanted: dict[int, dict[int, int]] = {}
        for row in rows:
            wanted.setdefault(int(now.codes["shard"][row]), {})[int(now.codes["place"][row])] = row
        for shard, places in wanted.items():
            scored = read_scored(held.run, shard, [now.id_of(row) for row in places.values()])
            rewards = {row.sample_id: row for row in scored.rows}
            for place, sample in held.run.folder.pick_samples(shard, places).items():
                row = places[place]
                if sample.id not in rewards or sample.id != now.id_of(row):
                    what, where = (
                        f"sample {sample.id} and the scores do not match",
                        held.run.folder.where("samples", shard),
                    )
                    raise RunError(what, where=where, hint=program.command("score", held.run.folder, "--again"))
                weight = now.weights[row] if now.weights is not None and row < len(now.weights) else None
                prompt, scores = scored.prompts[sample.prompt_id], scored.scores[sample.id]
                item = make_item(held.run, prompt, sample, scores, rewards[sample.id], weight)
                said = held.reviews.get(sample.id, Review())
                about = {"is_canary": sample.id in held.canaries, "review": tell_review(said)}
                shown[row] = {**_show_item(item), **about}
        return [shown[row] for row in rows if row in shown]

    def _work(self) -> None:
        while not self._ended.is_set():
            try:
                self._read()
                self._error = None
            except DatagenError as error:
                self._error = tell_error(error)
            self._begun.set()
            self._ended.wait(POLL_SECONDS)

    def _read(self) -> None:
        """Read the shards that are finished and not read yet, weigh, and look for canaries."""
        run = open_run(self.address)
        notes = run.folder.read_notes()
        key = notes["recipe"], notes.get("marks")
        sizes = run.folder.list_sizes("scores")
        held = self._held
        if held is None or held.key != key or any(sizes.get(shard) != size for shard, size in held.sizes.items()):
            held = Held(run, key, SampleTable(list(run.recipe.scorers)))
            self._held = held
        self._begun.set()
        new = [shard for shard in sizes if shard not in held.sizes]
        for shard in new:
            if self._ended.is_set():
                return
            try:
                scored = read_scored(held.run, shard)
            except RunError as error:
                held.damaged[shard] = tell_error(error)
                held.sizes[shard] = sizes[shard]
                continue
            with self._lock:
                held.table.add(held.run, shard, scored)
                held.sizes[shard] = sizes[shard]
        self._take_reviews(held)
        rejected = rejected_of(held.reviews)
        if new or not held.is_read or rejected != held.weighed_without:
            held.table.weigh(held.run, rejected)
            held.weighed_without = rejected
            with self._lock:
                held.orders.clear()
        self._find_canaries(held)
        held.is_read = True

    def _take_reviews(self, held: Held) -> None:
        reviews = read_reviews(held.run)
        with self._lock:
            if reviews != held.reviews:
                held.reviews = reviews
                held.orders.clear()

    def review(self, sample_id: str, review: Review, base: str) -> Review:
        """Note what a person says of a sample, and return it.

        Raises RunError for a sample that is not there, and as `write_review`.
        """
        held = self._require()
        with self._lock:
            is_there = bool(held.table.find([sample_id]))
        if not is_there:
            raise RunError("there is no such sample", where=sample_id[:100])
        write_review(held.run, sample_id, review, base)
        self._take_reviews(held)
        return held.reviews.get(sample_id, Review())

    def _find_canaries(self, held: Held) -> None:
        """Look for the samples whose prompt and picture stand in the recipe's file of canaries, or in the usual one."""
        files = {
            path: path.stat().st_mtime_ns
            for path in map(Path, {held.run.recipe.canaries or MARKED, MARKED})
            if path.is_file()
        }
        key = files, len(held.table)
        if key == held.canary_key:
            return
        held.canary_key, held.canary_trouble = key, None
        pictures: dict[str, set[bytes]] = {}
        try:
            for canary in (each for path in files for each in read_canaries(path)):
                pictures.setdefault(canary.text, set()).add(canary.image)
        except DatagenError as error:
            held.canary_trouble = tell_error(error)
        with self._lock:
            now = held.table.snapshot()
            rows = now.find_texts(pictures)
        found = set()
        for row in rows:
            shard, place = int(now.codes["shard"][row]), int(now.codes["place"][row])
            sample = held.run.folder.pick_samples(shard, [place])[place]
            text = now.texts[int(now.codes["prompt"][row])].as_py()
            if any(part.image in pictures[text] for part in sample.segments if part.kind == "image"):
                found.add(sample.id)
        with self._lock:
            held.canaries = frozenset(found)
            held.orders.clear()

    def _require(self) -> Held:
        self._begun.wait()
        if self._held is None:
            error = self._error or {}
            raise RunError(str(error.get("what")), where=str(error.get("where")), hint=str(error.get("hint")))
        return self._held


def tell_review(review: Review) -> Answer:
    """Return what was said of a sample as the page shows it."""
    return {"mark": review.mark, "comment": review.comment, "version": review.version}


def _find_search(held: Held, words: str) -> Search | None:
    """Return the search for some words, none for no words; the one that was asked for longest ago is let go."""
    if not words:
        return None
    search = held.searches.setdefault(words, Search(words))
    held.searches.move_to_end(words)
    while len(held.searches) > SEARCHES_HELD:
        held.searches.popitem(last=False)
    return search


def _list_marked(held: Held, mark: str) -> Collection[str]:
    """Return the ids of the samples with a mark of `Query`. Raises ConfigError for another one."""
    if mark in ("", "canary"):
        return held.canaries if mark else ()
    if mark not in (ACCEPTED, REJECTED, "commented"):
        raise ConfigError(f"there is no mark {mark[:80]!r}", hint="canary, accepted, rejected, commented")
    return [key for key, said in held.reviews.items() if (said.comment if mark == "commented" else said.mark == mark)]


def _show_item(item: ReportItem) -> Answer:
    """Return a sample as a prompt with one card, thumbnails with its pictures."""
    thumbs = [make_thumb(part.image, THUMB_BYTES) for part in item.sample.segments if part.kind == "image"]
    group = make_group([item], [[Shot(thumb) for thumb in thumbs]])
    for picture, thumb in zip(group["cards"][0]["pictures"], thumbs, strict=True):
        picture["thumb"] = thumb.url
    return group
