"""Prompts and pictures that exist: files of a person, folders, and datasets on a hub, read row by row.

    open_source(folder) ──▶ Files ──▶ Row ──▶ Prompt with its claims (and where its pictures stand)

`files` finds the files of an address and reads their rows, in order or at given places; `claims` reads claims as data;
`rows` makes prompts of rows and, for pictures, groups the rows of one prompt. Nothing holds more than a stretch of rows
in memory, or a few bytes a row. See docs/datasets.md.
"""

from __future__ import annotations

from datagen.sources.claims import read_claims
from datagen.sources.files import Files, Row, open_pictures, open_source
from datagen.sources.rows import MOST_PICTURES, PictureRows, PromptRows, find_places, is_with_pictures

__all__ = [
    "MOST_PICTURES",
    "Files",
    "PictureRows",
    "PromptRows",
    "Row",
    "find_places",
    "is_with_pictures",
    "open_pictures",
    "open_source",
    "read_claims",
]
