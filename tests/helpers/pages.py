"""The pages of the documentation, and what stands in them as code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.runs import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
_FENCE = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A fenced block; `note` is the comment above it, which says how it is run, or why it is not."""

    page: Path
    line: int
    language: str
    text: str
    note: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def file(self) -> str:
        """The file that its first line says it is."""
        found = re.match(r"(?:# |\{# )([\w/]+\.(?:yaml|j2|py))\b", self.text)
        return found[1] if found else ""

    @property
    def as_run(self) -> str:
        """Its text with what the note puts in its place: `run with A instead of B`."""
        found = re.fullmatch(r"run with (.*) instead of (.*)", self.note)
        return self.text.replace(found[2], found[1]) if found else self.text


def read_blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start("language")) + 1,
            found["language"],
            found["text"],
            found["note"] or "",
        )
        for found in _FENCE.finditer(text)
    ]


def read_spans(page: Path) -> list[str]:
    """The commands of datagen in running text, between backticks."""
    text = re.sub(_FENCE, "", page.read_text(encoding="utf-8"))
    return [" ".join(span.split()) for span in re.findall(r"`(datagen [^`]+)`", text)]


def split_commands(text: str) -> Iterator[list[str]]:
    """The words of each simple command of a shell text: what stands between pipes, `&&`, `||`, `;` and line ends."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.commenters = "#"
        lexer.whitespace_split = True
        words: list[str] = []
        parts = [*lexer, ";"]
        aside = {place for place, word in enumerate(parts) if word == ">" or (place and parts[place - 1] == ">")}
        for word in (word for place, word in enumerate(parts) if place not in aside):
            if word in (";", "|", "||", "&&", "&"):
                if words:
                    yield words
                words = []
            else:
                words.append(word)
