"""A model and a gallery as one backend: each prompt gets the best images of the gallery and newly generated ones.

    backend: {name: gallery, images: outputs/quickstart/dataset, retrieved: 2, model: {name: embedded}}

The gallery is the dataset of a run, or a folder of images with captions in `metadata.jsonl`. The first `retrieved`
candidates of a prompt come from it; the model generates the others. Each image is stored with its likelihood under the
model and its prior, so that both kinds rank together (TIGeR, arXiv 2406.05814): the scorer `likelihood` reads these
values, and the view `tiger` chooses by them. See `recipes/tiger.yaml`.

The likelihood of an image y given a prompt x favours images that are likely under any prompt, such as plain ones. TIGeR
subtracts the unconditional prior: score = log p(y | x) - log p(y). Its models were trained on an empty prompt; others
answer one badly, so p(y) here is the mean of p(y | c) over captions c of the gallery other than x: with x among n
captions no score could exceed log n, and all good images would tie there.

A sample is a pure function of its prompt, its seed and the gallery: the model scores the whole gallery or one new
image, never other generated images beside it.

Not covered: models that give no likelihood of an image (all but `embedded`); galleries beyond some thousand images,
since every prompt is compared with every image.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from datagen.config import Choice
from datagen.errors import BackendError
from datagen.generation.options import BackendOptions
from datagen.picture_files import PictureError
from datagen.pictures import normalise
from datagen.plugins import load_plugin
from datagen.records import Failure, Request, Sample, Segment
from datagen.taxonomy.english import name_many

NOTES_LIKELIHOOD = True
"""Samples carry the likelihood of their image, which the view `tiger` reads."""


def build(options: Mapping[str, Any]) -> GalleryBackend:
    """Load the model and the gallery.

    Raises BackendError for an unknown option, a gallery that is missing or has no captions, or a model that gives no
    likelihood of an image.
    """

    return GalleryBackend(Options.parse(options))


ENGINE = "gallery/1"


class Options(BackendOptions):
    """Options under `backend: {name: gallery, …}`.

    `most` bounds the pictures read, `priors` the captions that a prior averages over.
    """

    images: Path
    retrieved: int = Field(2, ge=1, le=64)
    most: int = Field(256, ge=2, le=100_000)
    priors: int = Field(32, ge=2, le=1024)
    model: Choice = Choice(name="embedded")


class GalleryBackend:
    """Answers the first candidates of each prompt from the gallery and generates the others with the model."""

    name = "gallery"

    def __init__(self, options: Options) -> None:
        self.options = options
        self.model: Any = load_plugin("backends", options.model.name, "build").build(options.model.options)
        if not hasattr(self.model, "likelihood"):
            what = f"the backend {options.model.name!r} gives no likelihood of an image"
            raise BackendError(what, where="backend.model", hint="`embedded` does")
        self.lexicon: str = self.model.lexicon
        self.pictures = read_gallery(options.images, options.most)
        self.captions = [picture.caption for picture in self.pictures[: options.priors]]
        self._ranked: dict[str, list[tuple[Picture, dict[str, Any]]]] = {}

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample for each request, in order, or the model's failure."""
        # One lazy stream for all new images: the model batches them, and the loop below restores the order.
        drawn = iter(self.model.generate([r for r in requests if r.candidate >= self.options.retrieved]))
        for request in requests:
            asked = request.candidate < self.options.retrieved
            made = None if asked else next(drawn, None) or Failure.unanswered(request, "the model gave no answer")
            try:
                answer = self._retrieve(request) if made is None else self._note(request, made)
            except ValueError as error:
                answer = Failure.unanswered(request, f"the model gives no likelihood: {error}")
            yield answer

    def _retrieve(self, request: Request) -> Sample | Failure:
        ranked = self._rank(request.prompt.text)
        if request.candidate >= len(ranked):
            return Failure.unanswered(request, f"the gallery has {len(ranked)} images")
        picture, facts = ranked[request.candidate]
        settings = {"source": "gallery", "picture": picture.name, "caption": picture.caption, **facts}
        segments = (Segment("image", "image", image=picture.image),)
        return Sample.make(request, segments, engine=ENGINE, switch="none", finish="stop", settings=settings)

    def _note(self, request: Request, sample: Sample | Failure) -> Sample | Failure:
        if isinstance(sample, Failure) or sample.image is None:
            return sample
        facts = self._weigh(request.prompt.text, [sample.image], self._hold_against_captions([sample.image]))[0]
        return replace(sample, settings={**sample.settings, "source": "generated", **facts})

    def _rank(self, text: str) -> list[tuple[Picture, dict[str, Any]]]:
        """Return the gallery, best score first, for a prompt. The last prompt is cached."""
        if text not in self._ranked:  # candidates of one prompt follow each other, so one entry is enough
            facts = self._weigh(text, [picture.image for picture in self.pictures], self._held)
            scored = zip(self.pictures, facts, strict=True)
            self._ranked = {text: sorted(scored, key=lambda each: each[1]["log_prior"] - each[1]["log_given"])}
        return self._ranked[text]

    def _weigh(self, text: str, images: Sequence[bytes], held: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
        """Return the values stored for each image: log-likelihoods in nats, and how many tokens they sum over.

        `held[image][caption]` is log p of an image given a caption.
        """
        words = normalize(text)
        others = [k for k, caption in enumerate(self.captions) if normalize(caption) != words]
        priors = [_log_mean([row[k] for k in others]) for row in held]
        return [
            {"log_given": round(given, 4), "log_prior": round(prior, 4), "tokens": tokens}
            for (given, tokens), prior in zip(self.model.likelihood(text, images), priors, strict=True)
        ]

    @cached_property
    def _held(self) -> list[list[float]]:
        return self._hold_against_captions([picture.image for picture in self.pictures])

    def _hold_against_captions(self, images: Sequence[bytes]) -> list[list[float]]:
        """Return log p of each image given each caption, one row for each image."""
        try:
            by_caption = [[given for given, _ in self.model.likelihood(caption, images)] for caption in self.captions]
        except ValueError as error:
            what = f"the gallery cannot be weighed: {error}"
            raise BackendError(what, where=str(self.options.images), hint="leave that caption out") from error
        return [list(values) for values in zip(*by_caption, strict=True)]


def _log_mean(logs: Sequence[float]) -> float:
    top = max(logs)  # logs near -1000 would underflow in exp
    return top + math.log(math.fsum(math.exp(value - top) for value in logs) / len(logs))


CAPTIONS = ("text", "caption", "prompt")
"""Keys of a line of metadata.jsonl that may hold the caption, as ImageFolder datasets name it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a gallery: its name there, its caption, and its bytes as they are stored."""

    name: str
    caption: str
    image: bytes


def normalize(text: str) -> str:
    """Return a text in the form in which captions are compared: lower case, single spaces."""
    return " ".join(text.casefold().split())


def read_gallery(folder: Path, most: int) -> list[Picture]:
    """Return up to `most` pictures in order, the first of each caption.

    Skips samples of a run whose claims failed: their caption is not true. Raises BackendError when the gallery is
    missing, a picture is damaged, or there are fewer than two captions.
    """
    hint = "`images:` is the dataset/ of a run, or a folder with images and metadata.jsonl"
    if not folder.is_dir():
        raise BackendError(
            "there is no gallery", where=str(folder), hint=f"{hint}; `datagen build quickstart` makes one"
        )
    found: dict[str, Picture] = {}
    try:
        for picture in _read_dataset(folder) if (folder / "data").is_dir() else _read_folder(folder):
            found.setdefault(normalize(picture.caption), picture)
            if len(found) >= most:
                break
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BackendError(f"the gallery cannot be read: {error}", where=str(folder), hint=hint) from error
    if len(found) < 2:
        what = f"the gallery has {name_many(len(found), 'caption')}, and a prior needs several"
        raise BackendError(what, where=str(folder), hint=hint)
    return list(found.values())


def _read_dataset(folder: Path) -> Iterator[Picture]:
    import pyarrow.parquet as pq

    columns = ["id", "prompt", "images", "passed"]
    for path in sorted((folder / "data").glob("*.parquet")):
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            for batch in parquet.iter_batches(64, columns=columns, use_threads=False):
                for row in batch.to_pylist():
                    if row["passed"] is not False and row["images"]:
                        yield Picture(row["id"], row["prompt"], _see(row["images"][-1]["bytes"], row["id"]))


def _read_folder(folder: Path) -> Iterator[Picture]:
    with (folder / "metadata.jsonl").open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            row = json.loads(line)
            caption = next((row[key] for key in CAPTIONS if row.get(key)), None)
            if caption is None:
                raise ValueError(f"metadata.jsonl:{number} has no {', '.join(CAPTIONS)}")
            yield Picture(row["file_name"], caption, _see((folder / row["file_name"]).read_bytes(), row["file_name"]))


def _see(image: bytes, name: str) -> bytes:
    """Return a picture as it is stored. Raises ValueError with its name when it cannot be decoded."""
    try:
        return normalise(image)
    except PictureError as error:
        raise ValueError(f"{name}: {error}") from error
