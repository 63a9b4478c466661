"""A problem in a file that a person wrote: where it is, what is wrong, and what to do about it.

One problem is one line, so that an editor or a terminal can jump to it; the same problem is one annotation in GitHub
Actions. See some: `datagen check`, `datagen check --format github`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from datagen.errors import ConfigError

Severity = Literal["error", "warning"]

_PLACE = re.compile(r"(?P<file>.+?):(?P<line>\d+)(?::(?P<column>\d+))?")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a file; `line` and `column` count from 1, and are 0 for what stands in no file.

    An `error` keeps the file from being used, a `warning` does not. `what` carries the offending value, `hint` what to
    do.
    """

    file: str
    line: int
    column: int
    what: str
    hint: str = ""
    severity: Severity = "error"

    @property
    def where(self) -> str:
        """The place as `file:line:column`, which editors turn into a link, or the file alone."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    @property
    def message(self) -> str:
        """What is wrong and what to do, in one line."""
        label = "warning: " if self.severity == "warning" else ""
        return label + (f"{self.what}; {self.hint}" if self.hint else self.what)

    def __str__(self) -> str:
        return f"{self.where}  {_one_line(self.message)}"


def problems_error(problems: list[Problem]) -> ConfigError:
    """Return one error for several problems: the first in full, the others as lines of the hint."""
    first, *others = problems
    hint = "\n".join(part for part in (first.hint, *(str(problem) for problem in others)) if part)
    return ConfigError(first.what, where=first.where, hint=hint)


def problem_of(error: ConfigError, file: str) -> Problem:
    """Return an error as a problem at the place it names; `file` stands in when it names none."""
    place = _PLACE.fullmatch(error.where)
    if place is None:
        return Problem(error.where or file, 1, 1, error.what, error.hint)
    return Problem(place["file"], int(place["line"]), int(place["column"] or 1), error.what, error.hint)


def format_github(problem: Problem) -> str:
    """Return the workflow command that makes GitHub show the problem beside the line it is on.

    Source of the form and its escapes: GitHub's "Workflow commands for GitHub Actions". Percent signs and line ends
    are escaped everywhere, colons and commas in properties too.
    """
    place = f"file={_escape(problem.file, ':,')},line={problem.line},col={problem.column}"
    body = f"{problem.what}; {problem.hint}" if problem.hint else problem.what
    return f"::{problem.severity} {place}::{_escape(body)}"


def show(value: object, limit: int = 60) -> str:
    """Return a value as it can stand in a message: quoted text, cut at `limit` characters."""
    written = repr(value)
    return written if len(written) <= limit else written[: limit - 1] + "…"


def _escape(text: str, also: str = "") -> str:
    for character in "%\r\n" + also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _one_line(text: str) -> str:
    return " ".join(text.split())
