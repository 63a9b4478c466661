"""A tracker that notes what it is told in a file, a JSON document a line, and that fails or sleeps if it is told to."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from datagen.tracking import About


class Noting:
    """`fails` names a method that raises, `seconds` is how long each figure takes."""

    def __init__(self, file: str, fails: str = "", seconds: float = 0.0) -> None:
        self.file, self.fails, self.seconds = Path(file), fails, seconds

    def begin(self, about: About) -> None:
        self._note("begin", name=about.name, id=about.id, parameters=dict(about.parameters))

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        time.sleep(self.seconds)
        self._note("log", metrics=dict(metrics), step=step)

    def end(self, *, finished: bool) -> None:
        self._note("end", finished=finished)

    def _note(self, what: str, **facts: object) -> None:
        if what == self.fails:
            raise ConnectionError("the tracker is away")
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, **facts}) + "\n")
