"""Retrieves from a gallery, draws with a model, and notes of both how likely the model holds them.

The likelihood of an image y given a prompt x favours images that the model holds likely anyway, plain ones. TIGeR takes
the unconditional prior off: score = log p(y | x) - log p(y). Its models know an empty prompt; one that was never
trained on one answers it badly, so p(y) here is the mean of p(y | c) over captions c of the gallery other than x: with
x among n captions no score could be above log n, and all good images would tie there.

What a sample says is a pure function of its prompt, its seed and the gallery: the model is asked about the whole
gallery or about one new image, never about what else is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from datagen.backends._options import BackendOptions
from datagen.backends.gallery.pictures import Picture, normalize, read_gallery
from datagen.config import Choice
from datagen.errors import BackendError
from datagen.plugins import load_plugin
from datagen.records import Failure, Request, Sample, Segment

ENGINE = "gallery/1"


class GalleryOptions(BackendOptions):
    """What a recipe may set under `backend:`."""

    images: Path
    retrieved: int = Field(2, ge=1, le=64)
    most: int = Field(256, ge=2, le=100_000)
    priors: int = Field(32, ge=2, le=1024)
    model: Choice = Choice(name="embedded")


class GalleryBackend:
    """Answers the first candidates of each prompt from the gallery, and the others with the model."""

    name = "gallery"

    def __init__(self, options: GalleryOptions) -> None:
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
        """Return the gallery in the order of its scores for a prompt; the last prompt is remembered."""
        if text not in self._ranked:
            facts = self._weigh(text, [picture.image for picture in self.pictures], self._held)
            scored = zip(self.pictures, facts, strict=True)
            self._ranked = {text: sorted(scored, key=lambda each: each[1]["log_prior"] - each[1]["log_given"])}
        return self._ranked[text]

    def _weigh(self, text: str, images: Sequence[bytes], held: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
        """Return what is noted of each image: log-likelihoods in nats, and the tokens that they are sums over.

        `held` is log p of each image given each caption.
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
        """Return log p of each image given each caption: one row an image."""
        try:
            by_caption = [[given for given, _ in self.model.likelihood(caption, images)] for caption in self.captions]
        except ValueError as error:
            what = f"the gallery cannot be weighed: {error}"
            raise BackendError(what, where=str(self.options.images), hint="leave that caption out") from error
        return [list(values) for values in zip(*by_caption, strict=True)]


def _log_mean(logs: Sequence[float]) -> float:
    top = max(logs)
    return top + math.log(math.fsum(math.exp(value - top) for value in logs) / len(logs))
