"""The page of runs on the server of the pages: samples of a run, filtered and sorted, as they are made.

    GET  outputs                   the runs that may be shown
    GET  run?run=                  what the filters offer, and how far the run is
    GET  rows?run=&start=&count=…  samples that a query finds (`table.Query`), with words and thumbnails
    GET  picture?run=&id=&number=  a picture as it is stored
    GET  pairs?run=&beside=&change=&path=&start=&count=
                                   two runs side by side, prompt by prompt (`pairs`)
    GET  diff?run=&beside=         what `datagen diff` says of them
    POST review                    {"run", "id", "mark", "comment", "base"}: noted if what was said before still has the
                                   version `base`, else 409 and what was said; not where a single run is looked at

Every name is one of the list: no path enters an address.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar

from datagen.picture_files import find_kind
from datagen.pipeline import open_run
from datagen.pipeline.review import Review, ReviewedError
from datagen.studio.runs import Reader, Runs, tell_review
from datagen.studio.server import Actions, Handler, Pages, Refusal, Server
from datagen.studio.table import Query

STUDIO = "datagen.studio"
REPORT = "datagen.report"
PAGE_ROWS = 24
"""Samples of a page, unless it asks for another number."""


class ViewHandler(Handler):
    """One connection of a browser that looks at runs."""

    server: Viewer
    pages: ClassVar[Pages] = {
        "runs": (STUDIO, "static/runs.html", "text/html"),
        "runs.css": (STUDIO, "static/runs.css", "text/css"),
        "runs.js": (STUDIO, "static/runs.js", "text/javascript"),
        "cards.js": (REPORT, "cards.js", "text/javascript"),
        "gallery.css": (REPORT, "gallery.css", "text/css"),
        "samples.css": (REPORT, "samples.css", "text/css"),
    }

    def actions(self) -> Actions:
        """Return what the page of runs asks for."""
        marking: Actions = {("POST", "review"): self._review} if self.server.runs.may_mark else {}
        return {
            **marking,
            ("GET", "outputs"): self._list_runs,
            ("GET", "run"): self._describe,
            ("GET", "rows"): self._select,
            ("GET", "picture"): self._picture,
            ("GET", "pairs"): self._compare,
            ("GET", "diff"): self._diff,
        }

    def _list_runs(self) -> None:
        self.send_json({"runs": self.server.runs.describe(), "may_mark": self.server.runs.may_mark})

    def _describe(self) -> None:
        self.send_json(self._reader().describe())

    def _select(self) -> None:
        start, count = (self._number(name, default) for name, default in (("start", 0), ("count", PAGE_ROWS)))
        self.send_json(self._reader().select(Query.of(self.take_query()), start, count))

    def _compare(self) -> None:
        names = self.argument("run"), self.argument("beside")
        change, path = self.argument("change"), self.argument("path")
        start, count = (self._number(name, default) for name, default in (("start", 0), ("count", PAGE_ROWS)))
        self.send_json(self.server.runs.compare(names, change, path, start, count))

    def _diff(self) -> None:
        self.send_json(self.server.runs.diff(self.argument("run"), self.argument("beside")))

    def _picture(self) -> None:
        picture = self._reader().picture(self.argument("id"), self._number("number", 0))
        kind = find_kind(picture)
        if kind is None:
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the stored bytes are no picture that a browser shows")
        self.send(picture, f"image/{kind}")

    def _review(self) -> None:
        run, sample_id, mark, comment, base = self.take_body(run=str, id=str, mark=str, comment=str, base=str)
        try:
            said = self.server.runs.open(run).review(sample_id, Review(mark, comment), base)
        except ReviewedError as error:
            self.send_json(tell_review(error.now), HTTPStatus.CONFLICT)
        else:
            self.send_json(tell_review(said))

    def _reader(self, name: str = "run") -> Reader:
        return self.server.runs.open(self.argument(name))

    def _number(self, name: str, default: int) -> int:
        given = (self.take_query().get(name) or [str(default)])[0]
        if not (given.isascii() and given.isdigit() and len(given) < 10):
            raise Refusal(HTTPStatus.BAD_REQUEST, f"{name}= must be a whole number")
        return int(given)


class Viewer(Server):
    """The server of some runs."""

    handler = ViewHandler

    def __init__(self, runs: Runs, port: int) -> None:
        self.runs = runs
        super().__init__(port)

    @property
    def runs_address(self) -> str:
        """The address of the page of runs."""
        return f"{self.address}runs"

    def server_close(self) -> None:
        """Close the port at once, and end the threads that read runs."""
        super().server_close()
        self.runs.close()


def open_view(word: str, port: int = 0) -> Viewer:
    """Open the page of one run, given by address or by name under outputs/.

    Raises RunError if there is none, ConfigError if the port is taken; port 0 is any free one.
    """
    address = open_run(word).folder.address
    return Viewer(Runs(None, {address.rstrip("/").rpartition("/")[2]: address}), port)
