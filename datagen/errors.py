"""Exceptions that datagen raises on purpose, in one tree.

    DatagenError
    ├── ConfigError        a file a person wrote is wrong: recipe, taxonomy, lexicon, template
    ├── PluginError        a word in a recipe names no module, or the module lacks what its family needs
    ├── MissingExtraError  a feature needs a package that is not installed
    ├── RunError           a run folder cannot be used: another recipe's, a damaged shard, not a run
    ├── BackendError       a model cannot be loaded or cannot go on
    ├── PushError          a hub or a bucket cannot be read or written, or holds data that must not be touched
    ├── TooManyFailures    the share of failed samples passed the limit in the recipe
    └── Paused             a limit that the user set was reached; the same command goes on: exit code 0

Each says what is wrong, where, and what to do. The CLI prints it as one message and exits 1. A bad sample is not an
error but a `Failure` record.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DatagenError(Exception):
    """Base class: `what` is wrong, `where` (file, line, key), and what to do (`hint`)."""

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.hint = what, where, hint

    def __str__(self) -> str:
        return "\n".join(
            part for part in (f"{self.where}: {self.what}" if self.where else self.what, self.hint) if part
        )

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows in place of a traceback, as the command line shows none."""
        return [f"{type(self).__name__}: {self}"]


class ConfigError(DatagenError):
    """A file that a person wrote cannot be used as it stands."""


class PluginError(DatagenError):
    """A word in a recipe names no module of its family, or the module lacks what the family needs."""


class MissingExtraError(DatagenError):
    """A feature needs a package that is not installed; the hint is the pip command."""


class RunError(DatagenError):
    """A run folder cannot be used: made by another recipe, damaged, or not a run at all."""


class BackendError(DatagenError):
    """A model cannot be loaded, or cannot go on."""


class PushError(DatagenError):
    """A hub or a bucket cannot be read or written, or its data must not be touched; nothing is left half-done."""


class Paused(DatagenError):
    """A run reached a limit that its user set and ended at a clean point; the command line ends with success."""


class TooManyFailures(DatagenError):
    """The share of failed samples passed the recipe's limit; finished shards are kept."""


def first_line(error: object) -> str:
    """Return the first line of an error's message, or the name of its class if the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return `did you mean 'x'?` for a near miss, else the list of known words, and what to do `otherwise`."""
    words = sorted(set(known))
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?" + (f" Else {otherwise}" if otherwise else "")
    return "; ".join(part for part in (f"known: {', '.join(words)}" if words else "", otherwise) if part)
