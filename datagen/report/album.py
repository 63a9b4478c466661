"""Cards of a page, collected while the samples stream by; threads make the thumbnails.

Only the pictures being worked on are held: each is decoded, reduced and dropped. `Limits` sets the bytes of each part
of the page, so that it stays below 25 MB for any run.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from datagen.report.cards import Disputes, Shot, make_dispute, make_group, pack
from datagen.report.figures import ReportItem
from datagen.report.selection import CARDS, Selection
from datagen.report.thumbs import PictureFolder, make_thumb

CHUNK_CARDS = 64
"""Cards in a chunk; the last prompt may add more."""
THREADS = 8
"""Largest number of threads that make thumbnails."""
THUMB_BYTES = 43_000
"""Largest thumbnail in bytes of base64, enough for 384 pixels of noise."""
TABLE_BYTES, TABLE_BYTES_A_SAMPLE = 50_000, 60
"""Bytes of a small table with ten columns of unrounded values: in any run, and for each sample."""
SMALL_BYTES = 50_000
"""Samples with fewer bytes of pictures get their thumbnails at once, without a thread."""
_AROUND_BASE64 = 32
"""Characters that a thumbnail needs besides its base64: head of the data URL, padding, end of line."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a page and of the folder beside it, in bytes, and the largest number of samples with cards.

    In a small run, thumbnails get the bytes that the table of all samples does not need.
    """

    samples: int = CARDS
    table_bytes: int = 8_000_000
    words_bytes: int = 5_000_000
    thumb_bytes: int = 9_500_000
    full_bytes: int = 500_000_000

    def share_table(self, seen: int) -> int:
        """Return the bytes for the table in a run with `seen` samples."""
        return min(self.table_bytes, TABLE_BYTES + seen * TABLE_BYTES_A_SAMPLE)

    def share_thumbs(self, seen: int) -> int:
        """Return the bytes for all thumbnails in a run with `seen` samples."""
        return self.thumb_bytes + self.table_bytes - self.share_table(seen)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some prompts with their cards as stored in the page: words as base64 of deflated JSON, one thumbnail a line."""

    words: str
    thumbs: str
    groups: int


@dataclass(slots=True)
class Album:
    """Makes the cards of samples whose prompts were selected; `finish` returns them.

    `is_cut` says whether texts were cut, `files` counts pictures with a file beside the page, and `lone` those of which
    there is only a thumbnail.
    """

    selection: Selection
    limits: Limits
    folder: PictureFolder
    chunks: list[Chunk] = field(default_factory=list)
    is_cut: bool = False
    files: int = 0
    lone: int = 0
    _threads: int = field(default_factory=lambda: min(THREADS, os.cpu_count() or 1))
    _pool: ThreadPoolExecutor = field(init=False)
    _pending: deque[tuple[ReportItem, Future[list[Shot]] | list[Shot]]] = field(default_factory=deque)
    _group: list[tuple[ReportItem, list[Shot]]] = field(default_factory=list)
    _values: list[dict[str, Any]] = field(default_factory=list)
    _shots: list[list[Shot]] = field(default_factory=list)
    _room: int = field(init=False)
    _spare: int = 0

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(self._threads)
        self._room = self.limits.full_bytes

    def add(self, item: ReportItem, place: float) -> None:
        """Add one sample; `place` is that of its prompt in the selection. Raises OSError when the disk is full."""
        images = _list_images(item)
        self._pending.append((_drop_images(item), self._submit(images, place) if images else []))
        if len(self._pending) > self._threads:
            self._take()

    def _submit(self, images: list[bytes], place: float) -> Future[list[Shot]] | list[Shot]:
        size = sum(map(len, images))
        # copied up to the place at which samples of this size would fill the folder: even over skills
        is_copied = place * size * self.selection.samples < self.limits.full_bytes and size <= self._room
        self._room -= size if is_copied else 0
        share = self.limits.share_thumbs(self.selection.seen) // self.selection.samples // len(images)
        if size < SMALL_BYTES:
            # what smaller pictures leave over goes to the next ones, so most of them can stay unchanged
            shots = self._shoot(images, share + self._spare // len(images), is_copied)
            self._spare += sum(share - 1 - len(shot.thumb.url) for shot in shots)
            return shots
        return self._pool.submit(self._shoot, images, share, is_copied)

    def _shoot(self, images: list[bytes], share: int, is_copied: bool) -> list[Shot]:
        shots = []
        for image in images:
            thumb = make_thumb(image, max(0, min(share, THUMB_BYTES) - _AROUND_BASE64) * 3 // 4)
            is_wanted = is_copied and thumb.url and thumb.kind and not thumb.is_whole
            shots.append(Shot(thumb, self.folder.put(image, thumb.kind) if is_wanted else ""))
        return shots

    def _take(self) -> None:
        item, made = self._pending.popleft()
        shots = made if isinstance(made, list) else made.result()
        if self._group and self._group[0][0].prompt.id != item.prompt.id:
            self._close_group()
        self._group.append((item, shots))

    def _close_group(self) -> None:
        if self._group:
            self._values.append(make_group([item for item, _ in self._group], [shots for _, shots in self._group]))
            self._shots += [shots for _, shots in self._group]
            self._group = []
        if len(self._shots) >= CHUNK_CARDS:
            self._close_chunk()

    def _close_chunk(self) -> None:
        if not self._values:
            return
        words, is_cut = pack(self._values, self.limits.words_bytes * len(self._shots) // self.selection.samples)
        shots = [shot for mine in self._shots for shot in mine]
        self.is_cut |= is_cut
        self.files += sum(bool(shot.file) for shot in shots)
        self.lone += sum(bool(shot.thumb.url) and not shot.file and not shot.thumb.is_whole for shot in shots)
        self.chunks.append(Chunk(words, "\n".join(shot.thumb.url for shot in shots), len(self._values)))
        self._values, self._shots = [], []

    def finish(self) -> list[Chunk]:
        """Return all chunks, in the order of the run."""
        while self._pending:
            self._take()
        self._close_group()
        self._close_chunk()
        return self.chunks

    def shoot_disputes(self, disputes: Disputes) -> Chunk:
        """Return the widest disputes as a chunk, each with at most one thumbnail."""
        values, urls = [], []
        for dispute, item in disputes.widest:
            shots = self._shoot(_list_images(item), THUMB_BYTES, False)
            values.append(make_dispute(dispute, item, shots))
            urls += [shot.thumb.url for shot in shots[-1:]]
        words, _ = pack(values, THUMB_BYTES)
        return Chunk(words, "\n".join(urls), len(values))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)


def _list_images(item: ReportItem) -> list[bytes]:
    return [segment.image for segment in item.sample.segments if segment.kind == "image"]


def _drop_images(item: ReportItem) -> ReportItem:
    segments = tuple(replace(part, image=b"") if part.image else part for part in item.sample.segments)
    return replace(item, sample=replace(item.sample, segments=segments))
