"""Refuses prompts that stand in a benchmark, so that a model is never trained on what it will be measured by.

Two rules, on normalised text (Unicode NFKC, casefold, everything but letters and digits is a space; articles stay):

1. the same words as a benchmark prompt: refused;
2. a run of `ngram` words (default 8) that stands in a benchmark prompt too: refused.

A prompt of fewer words than `ngram`, on either side, is judged by rule 1 alone: shorter runs are mostly the frame ("a
photo of a"), and would refuse everything. The default 8 is this project's choice: the frame plus four words of
content; a smaller number refuses more. Benchmark files are the user's own, none is shipped. Text without spaces
between words (Chinese) is one word, so only rule 1 judges it. Try it: `contamination: [geneval.jsonl]` in a recipe.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from datagen.errors import ConfigError

NGRAM = 8
COLUMN = "prompt"
MAX_SHOWN = 10

_WORDS = re.compile(r"[^\W_]+")
Entry = tuple[int, str]


def normalize(text: str) -> str:
    """Return the words of a text in one form: NFKC, casefold, single spaces, no punctuation."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(_WORDS.findall(text.casefold()))


@dataclass(frozen=True, slots=True)
class Contamination:
    """Benchmark prompts to keep away from; `exact` and `runs` map normalised words to where they were found."""

    exact: dict[str, str]
    runs: dict[str, str]
    ngram: int = NGRAM

    @classmethod
    def from_prompts(cls, prompts: Iterable[tuple[str, str]], ngram: int = NGRAM) -> Self:
        """Build from (where, prompt) pairs. Raises ConfigError when `ngram` is under 2."""
        if ngram < 2:
            raise ConfigError(f"n-grams of {ngram} words would refuse nearly every prompt", hint="use 2 or more, or 8")
        exact: dict[str, str] = {}
        runs: dict[str, str] = {}
        for where, prompt in prompts:
            words = normalize(prompt)
            if not words:
                continue
            exact.setdefault(words, where)
            for run in _runs(words.split(" "), ngram):
                runs.setdefault(run, where)
        return cls(exact, runs, ngram)

    @classmethod
    def from_files(cls, paths: Sequence[str | Path], ngram: int = NGRAM) -> Self:
        """Read benchmark lists: `.txt` (a prompt a line), `.jsonl` or `.csv` (key or column `prompt`).

        Raises ConfigError that names file and line of every bad line (the first ten), or a file that cannot be read.
        """
        bad: list[str] = []
        prompts = [found for path in paths for found in _read(Path(path), bad)]
        if bad:
            more = f"and {len(bad) - MAX_SHOWN} more" if len(bad) > MAX_SHOWN else ""
            where, _, what = bad[0].partition("  ")
            hint = "\n".join(part for part in (*bad[1:MAX_SHOWN], more, "correct or remove the lines") if part)
            raise ConfigError(what, where=where, hint=hint)
        return cls.from_prompts(prompts, ngram)

    def match(self, text: str) -> str | None:
        """Return why a prompt is refused, with the place of the benchmark prompt, or None if it may stay."""
        words = normalize(text)
        where = self.exact.get(words)
        if where is not None:
            return f"the same words as {where}"
        if self.runs:
            for run in _runs(words.split(" "), self.ngram):
                if run in self.runs:
                    return f"{self.ngram} words in a row as in {self.runs[run]}: {run!r}"
        return None


def _runs(words: list[str], length: int) -> Iterator[str]:
    for start in range(len(words) - length + 1):
        yield " ".join(words[start : start + length])


def _read(path: Path, bad: list[str]) -> Iterator[tuple[str, str]]:
    readers: dict[str, Callable[[Path, str, list[str]], Iterator[Entry]]] = {
        ".txt": _read_lines,
        ".jsonl": _read_jsonl,
        ".csv": _read_csv,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        hint = f"known: {', '.join(readers)}"
        raise ConfigError(f"cannot tell the form of a benchmark list by its name, {path.name!r}", hint=hint)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError("the benchmark list is not UTF-8", where=f"{path}:{line}", hint="save it as UTF-8") from error
    except OSError as error:
        what = f"cannot read the benchmark list: {error.strerror}"
        raise ConfigError(what, where=str(path), hint="check `contamination:` in the recipe") from error
    for line, prompt in reader(path, text, bad):
        yield f"{path.name}:{line}", prompt


def _read_lines(path: Path, text: str, bad: list[str]) -> Iterator[Entry]:
    for line, prompt in enumerate(text.split("\n"), 1):
        if prompt.strip():
            yield line, prompt


def _read_jsonl(path: Path, text: str, bad: list[str]) -> Iterator[Entry]:
    for line, written in enumerate(text.split("\n"), 1):
        if not written.strip():
            continue
        try:
            prompt = json.loads(written)[COLUMN]
        except (ValueError, RecursionError):
            bad.append(f"{path}:{line}  not JSON: {written.strip()[:60]!r}")
        except (KeyError, TypeError, IndexError):
            bad.append(f"{path}:{line}  no key {COLUMN!r}: {written.strip()[:60]!r}")
        else:
            if isinstance(prompt, str):
                yield line, prompt
            else:
                bad.append(f"{path}:{line}  {COLUMN!r} is not text: {str(prompt)[:60]!r}")


def _read_csv(path: Path, text: str, bad: list[str]) -> Iterator[Entry]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    column = None
    try:
        for row in reader:
            if column is None:
                names = [name.strip().casefold() for name in row]
                if COLUMN not in names:
                    bad.append(f"{path}:1  no column {COLUMN!r}, but {', '.join(row)[:60]!r}")
                    return
                column = names.index(COLUMN)
            elif row and column < len(row):
                yield reader.line_num, row[column]
            elif row:
                bad.append(f"{path}:{reader.line_num}  no column {COLUMN!r} in this row: {', '.join(row)[:60]!r}")
    except csv.Error as error:
        bad.append(f"{path}:{reader.line_num}  not CSV: {error}")
