"""Reader and writer of GoT's markup of a plan (GoT-R1, arXiv 2505.17022): objects and their boxes in a text.

    gray background<|obj_start|>red star<|obj_end|><|box_start|>(167,333),(500,667)<|box_end|>

A box is the upper left and the lower right corner of an object, in whole thousandths of each side of the picture, y
downwards. Spaces are allowed around a phrase, between an object and its box, and around numbers. The embedded model
writes this form, scorers read it (`datagen.scoring.layout`), the report shows it, and `got_r1` exports it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Box = tuple[int, int, int, int]
"""x1, y1, x2, y2 in thousandths of the picture."""
OBJECT, END_OBJECT, BOX, END_BOX = MARKS = ("<|obj_start|>", "<|obj_end|>", "<|box_start|>", "<|box_end|>")

_NUMBER = r"\s*(-?\d{1,6})\s*"
_CORNER = rf"\({_NUMBER},{_NUMBER}\)"
_MARKED = re.compile(
    rf"{re.escape(OBJECT)}(?P<phrase>[^<>|]*){re.escape(END_OBJECT)}"
    rf"(?:\s*{re.escape(BOX)}{_CORNER}\s*,\s*{_CORNER}{re.escape(END_BOX)})?"
)
_PIECES = re.compile(
    rf"{re.escape(OBJECT)}[^<]*{re.escape(END_OBJECT)}|{re.escape(BOX)}[^<]*{re.escape(END_BOX)}|<\|[a-z_]+\|>"
)


@dataclass(frozen=True, slots=True)
class Marked:
    """An object in a plan: its phrase and its box as written, or None if no complete box follows."""

    phrase: str
    box: Box | None


def read_markup(text: str) -> list[str | Marked]:
    """Split a text into words and marked objects, in order; a mark that belongs to no object stays in the words."""
    pieces: list[str | Marked] = []
    end = 0
    for match in _MARKED.finditer(text):
        phrase, *corners = match.groups()
        pieces += [text[end : match.start()]] if end < match.start() else []
        pieces.append(Marked(phrase.strip(), _read_box(*corners) if all(corners) else None))
        end = match.end()
    return [*pieces, text[end:]] if end < len(text) else pieces


def _read_box(x1: str, y1: str, x2: str, y2: str) -> Box:
    return int(x1), int(y1), int(x2), int(y2)


def write_marked(thing: Marked, gap: str = "") -> str:
    """Write an object and, if it has one, its box, separated by `gap`."""
    named = f"{OBJECT}{thing.phrase}{END_OBJECT}"
    if thing.box is None:
        return named
    x1, y1, x2, y2 = thing.box
    return f"{named}{gap}{BOX}({x1},{y1}),({x2},{y2}){END_BOX}"


def strip_markup(text: str) -> str:
    """Replace objects, boxes and marks by spaces, incomplete ones included."""
    return _PIECES.sub(" ", text)
