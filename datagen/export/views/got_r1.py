"""Layouts in the reasoning (GoT-R1): whole trajectories whose thought is written in the markup of GoT.

    <|obj_start|>red star<|obj_end|> <|box_start|>(167,333),(500,667)<|box_end|>

with words around it and boxes in thousandths of the picture, as in the reasoning chains of github.com/gogoduan/GoT-R1
at 95534b3 (arXiv 2505.17022). A thought without a layout, or with a malformed one, is omitted: whatever its score, it
would teach the fault.

Not covered: layouts from prose, and GoT's own instruction, which the trainer adds to a prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from datagen.export.examples import Example, NoOptions, Part, Row, facts_of, parts_of
from datagen.export.view import need_mode
from datagen.markup import Marked, read_markup, write_marked
from datagen.scoring.layout import read_layout

Options = NoOptions
NEEDS_MODE = "think"


def view(rows: Iterable[Row], options: NoOptions) -> Iterator[Example]:
    """Yield one example for each kept sample with a valid layout. Raises RunError for a run without reasoning."""
    for row in rows:
        need_mode(row, "got_r1", NEEDS_MODE)
        if row["kept"]:
            parts = tuple(_write_thought(part) for part in parts_of(row))
            if any(part.role == "think" and part.text for part in parts):
                yield Example(row["id"], "got", row["group_id"], parts, facts=facts_of(row))


def write_got(text: str) -> str:
    """Return a reasoning text with its layout in GoT's spacing, or `""` without a valid layout."""
    layout = read_layout(text)
    if not layout.things or layout.faults:
        return ""
    return "".join(map(_write_piece, read_markup(text))).strip()


def _write_piece(piece: str | Marked) -> str:
    return piece.rstrip() if isinstance(piece, str) else f" {write_marked(piece, gap=' ')}"


def _write_thought(part: Part) -> Part:
    return replace(part, text=write_got(part.text)) if part.role == "think" else part
