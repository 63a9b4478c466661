"""The transformers backend: one family of models behind the interface of all backends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from datagen.backends.transformers.loading import SMALL_FILES, WEIGHTS, choose_family, find_model
from datagen.backends.transformers.options import TransformersOptions
from datagen.records import Failure, Request, Sample


class Family(Protocol):
    """A loaded model of one kind: builds its prompts, switches to images, reads its answers."""

    lexicon: str
    settings: dict[str, Any]

    def stream(self, requests: Iterator[Request | None]) -> Iterator[Sample | Failure | None]:
        """Yield one sample or failure for each request, batch by batch; see `rows.RowRunner.stream`."""


class TransformersBackend:
    """Generates samples with a model of transformers; the family does the work."""

    name = "transformers"

    def __init__(self, family: Family) -> None:
        self.family = family
        self.lexicon = family.lexicon
        self.settings = family.settings

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for each request as its batch finishes."""
        return (answer for answer in self.stream(iter(requests)) if answer is not None)

    def stream(self, requests: Iterator[Request | None]) -> Iterator[Sample | Failure | None]:
        """Yield one sample or failure for each request as its batch finishes; the next begins where the last ended."""
        return self.family.stream(requests)


def load_backend(options: TransformersOptions) -> TransformersBackend:
    """Load the model that the options name. Raises BackendError if it is missing, damaged, or generates no images."""
    kind = choose_family(find_model(options.model, options.revision, SMALL_FILES), options.model)
    family = _family_class(kind)
    options.check_family(kind, family.USES)
    folder = find_model(options.model, options.revision, SMALL_FILES + WEIGHTS)
    settings = options.describe(kind, family.USES)
    if folder != Path(options.model).expanduser():
        settings["revision"] = folder.name  # the folder of a snapshot is named by its commit
    loaded: Family = family(folder, options, settings)
    return TransformersBackend(loaded)


def _family_class(kind: str) -> Any:
    """Return the class of a family, importing its module alone."""
    if kind == "joint":
        from datagen.backends.transformers.joint import JointFamily

        return JointFamily
    if kind == "emu3":
        from datagen.backends.transformers.emu3 import Emu3Family

        return Emu3Family
    from datagen.backends.transformers.janus import JanusFamily

    return JanusFamily
