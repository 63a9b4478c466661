"""A backend as users write one: it hands on the files of a folder as they are, in order, whatever they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datagen.records import Request, Sample, Segment


@dataclass
class Raw:
    folder: Path
    given: dict[str, str] = field(default_factory=dict)
    name: str = "raw"
    lexicon: str = "pictograms"

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample]:
        files = sorted(self.folder.iterdir())
        for request in requests:
            if request.sample_id not in self.given:
                self.given[request.sample_id] = files[len(self.given) % len(files)].name
            name = self.given[request.sample_id]
            image: Any = (self.folder / name).read_bytes() if name != "none" else None
            segments = (Segment("text", "think", text=name), Segment("image", "image", image=image))
            yield Sample.make(request, segments, engine="raw", switch="none", finish="stop", settings={"file": name})


def build(options: Mapping[str, Any]) -> Raw:
    return Raw(Path(options["folder"]))
