"""Training examples, the interface between views and formats: parts of a sequence with their weights in the loss.

A row is one sample of the exported dataset, with the columns of `dataset_features`; a view is given all rows but those
that are left out (`Checks.check_rows`). A view turns rows into examples, a format writes examples as files. Both are
plugins. `datagen/export/views/<word>.py` has `Options` and `view(rows, options)`, and may state requirements on a run:
`NEEDS_MODE`, `NEEDS_SCORER`, `NEEDS_CANDIDATES`, `NEEDS_WHOLE_GROUPS`, `NEEDS_LIKELIHOOD` and `MOST_ROUNDS`, which are
checked before a run is built (as is an option `reward`), and `NEEDS` in words. `find_mode(options, mode)` returns the
mode needed, in place of `NEEDS_MODE`, if that depends on the options.
`datagen/export/formats/<word>.py` has `Options`, `WEIGHTS`, `LOSES` and `write(examples, folder, split, options)`; its
`TAGS`, or `find_tags(example)`, are the media tags of its trainer in texts; `find_fault(example, options)` says why it
cannot hold an example.

The claims of a row are also available as nouns, and as nouns with attributes, which some trainers want.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, product
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from datagen.errors import RunError
from datagen.expressions import EQUAL
from datagen.filesystems import tell_unread
from datagen.records import Claim, Modality

Row: TypeAlias = Mapping[str, Any]
"""A sample of the dataset by column; images are bytes of files."""
Encoder: TypeAlias = Literal["", "vit", "vae", "vae+vit"]
BATCH_ROWS = 64


class NoOptions(BaseModel):
    """Options of a view or format without any."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a training sequence: text, or an image as the bytes of its file.

    `role` is `prompt`, or the role of the segment. `loss` >= 0 multiplies the loss of every token of the part; 0 means
    that it is only read, as a condition. `switch` >= 0 multiplies the loss of the token that ends a text and opens the
    image after it. `sees` names the encoders of a condition image.
    """

    kind: Modality
    role: str
    text: str = ""
    image: bytes = b""
    loss: float = 0.0
    switch: float = 0.0
    sees: Encoder = ""

    @property
    def learned(self) -> bool:
        """Whether the part is a target."""
        return self.loss > 0


@dataclass(frozen=True, slots=True)
class Example:
    """One training sequence. `task` is its kind; examples of one `group` are compared with each other.

    `rejected` are the parts of the worse answer to the same prompt, for preferences only. `facts` are further columns
    as plain JSON: rewards, margin, weakness.
    """

    id: str
    task: str
    group: str
    parts: tuple[Part, ...]
    rejected: tuple[Part, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


View: TypeAlias = Callable[[Iterable[Row], Any], Iterator[Example]]


def read_rows(dataset: Path, split: str) -> Iterator[Row]:
    """Yield the rows of a split of an exported dataset, in order, with one small batch in memory.

    Raises RunError if the split has no files, or one is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = sorted((dataset / "data").glob(f"{split}-*.parquet"))
    if not paths:
        raise RunError(f"has no split {split!r}", where=str(dataset), hint="run `datagen export RUN` first")
    for path in paths:
        try:
            with path.open("rb") as file, pq.ParquetFile(file, page_checksum_verification=True) as parquet:
                for batch in parquet.iter_batches(BATCH_ROWS, use_threads=False):
                    for row in batch.to_pylist():
                        row["images"] = [image["bytes"] for image in row["images"]]
                        yield row
        except (pa.ArrowException, OSError) as error:
            what, hint = tell_unread(error)
            raise RunError(what, where=str(path), hint=hint or "export it again: `datagen export RUN`") from error


def group_rows(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows of each prompt together; the candidates of a prompt are consecutive in a run."""
    for _, group in groupby(rows, key=lambda row: row["prompt_id"]):
        yield list(group)


def parts_of(row: Row, *, all_images: bool = False) -> tuple[Part, ...]:
    """Return a row as parts: the prompt as a condition, then each segment with the weight of its modality as loss.

    The weight is that of the last image. An earlier one, which a reflection found wanting, is only read, with loss 0:
    but not the first, if by `gain` the last is no better, and none with `all_images`. The token that opens an image has
    the weight of the text before it, if the model began the image by itself. A row without a weight (not scored, or
    dropped) has loss 0 throughout.
    """
    text_loss, image_loss = row["text_weight"] or 0.0, row["image_weight"] or 0.0
    parts = [Part("text", "prompt", text=row["prompt"])]
    segments = row["segments"]
    pictures = [k for k, segment in enumerate(segments) if segment["kind"] == "image"]
    learned = set(pictures if all_images else pictures[-1:])
    gain = row.get("gain")
    if len(pictures) > 1 and gain is not None and gain <= EQUAL:
        learned.add(pictures[0])
    for k, (segment, following) in enumerate(zip(segments, [*segments[1:], None], strict=True)):
        if segment["kind"] == "image":
            loss = image_loss if k in learned else 0.0
            parts.append(Part("image", segment["role"], image=row["images"][segment["image"]], loss=loss))
            continue
        opens = following is not None and following["kind"] == "image" and row["switch"] == "autonomous"
        switch = text_loss if opens else 0.0
        parts.append(Part("text", segment["role"], text=segment["text"], loss=text_loss, switch=switch))
    return tuple(parts)


def facts_of(row: Row) -> dict[str, Any]:
    """Return the facts of the sample for every example: taxonomy path, rewards, weights, origin."""
    names = ("weakness", "skill", "level", "text_reward", "image_reward", "text_weight", "image_weight", "passed")
    return {name: row[name] for name in (*names, "candidate", "seed", "engine")}


_NUMBERS = ("count", "part")


def read_claims(row: Row) -> tuple[Claim, ...]:
    """Return the claims of a row with their original values."""
    return tuple(map(read_claim, row["claims"]))


def read_claim(claim: Mapping[str, Any]) -> Claim:
    """Return a claim with its original value, which the dataset stores as text."""
    value = int(claim["value"]) if claim["kind"] in _NUMBERS else claim["value"]
    return Claim(claim["kind"], claim["subject"], claim["name"], value)


def name_nouns(claims: Sequence[Claim]) -> list[str]:
    """Return every object in the claims, singular, each once, in order."""
    return list(dict.fromkeys(name for claim in claims for name in claim.things))


def name_attributed(claims: Sequence[Claim]) -> list[str]:
    """Return each object with its attributes: `red star`; an object claimed red and blue occurs twice."""
    named = []
    for noun in name_nouns(claims):
        said: dict[str, dict[str, None]] = {}
        for claim in claims:
            if claim.kind == "attribute" and claim.subject == noun:
                said.setdefault(claim.name, {})[str(claim.value)] = None
        named += [" ".join([*words, noun]) for words in product(*said.values())]
    return named
