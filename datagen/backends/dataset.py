"""Pictures that exist: a folder, a file or a dataset whose rows are prompts with their pictures. Nothing is drawn.

    backend: {name: dataset, source: photos, prompt: caption}

The rows are scored, weighed, exported and pushed as what a model drew. `source` is a file, a folder, a pattern, or any
of these on a hub or in a bucket: JSON lines, CSV, parquet, `datasets.save_to_disk`, Hugging Face's ImageFolder, or
pictures with a caption in `NAME.txt` beside `NAME.png`. Rows of one prompt are its candidates. `prompts` and
`candidates` say how many are taken at most; by default all.

A picture is bytes in the row, or a path relative to its file. Paths may not leave that folder; `root` names another.
See docs/datasets.md. Not covered: several pictures of one row, of which the last one counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import Field

from datagen.config import Columns
from datagen.generation.options import BackendOptions
from datagen.records import Failure, Request, Sample, Segment
from datagen.sources import PictureRows, find_places

ENGINE = "dataset/1"


class Options(Columns, BackendOptions):
    """Options under `backend: {name: dataset, …}`."""

    source: str = Field(min_length=1, description="a file, a folder, a pattern, hf://datasets/OWNER/NAME, s3://…")
    image: str | None = Field(None, description="the picture, bytes or a path; default: image, images, file_name, path")
    text: str | None = Field(None, description="the reasoning before the picture; default: none")
    root: str | None = Field(None, description="the folder of the pictures; default: that of the file that names them")

    def open(self) -> PictureRows:
        """Find the files. Raises ConfigError if there are none, or no such column."""
        return PictureRows(self.source, self, self.image, self.text, self.root)


def build(options: Mapping[str, Any]) -> DatasetBackend:
    """Find the source. Raises BackendError for an unknown option, ConfigError for a source that cannot be read."""
    return DatasetBackend(Options.parse(options))


class DatasetBackend:
    """Answers each request with the row that its prompt names."""

    name = "dataset"
    lexicon = "everyday"

    def __init__(self, options: Options) -> None:
        self.options = options

    @cached_property
    def rows(self) -> PictureRows:
        """The rows of the source."""
        return self.options.open()

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        """Yield one sample for each request, or why there is none; in the order of the rows."""
        places = [(request, find_places(request.prompt)) for request in requests]
        asked = [(request, mine[request.candidate]) for request, mine in places if request.candidate < len(mine)]
        for request, mine in places:
            if request.candidate >= len(mine):
                yield Failure.unanswered(request, f"the dataset has {len(mine)} pictures of this prompt")
        for number, text, image in self.rows.read([(place, request.prompt) for request, place in asked]):
            request, place = asked[number]
            if isinstance(image, Exception):
                yield Failure.unanswered(request, str(image))
                continue
            thought = (Segment("text", "think", text=text.strip()),) if text.strip() else ()
            segments = (*thought, Segment("image", "image", image=image))
            settings = {"source": "dataset", "row": place}
            yield Sample.make(request, segments, engine=ENGINE, switch="none", finish="stop", settings=settings)
