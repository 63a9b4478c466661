"""Prompts from the rows of a source, and for rows with pictures the candidates of each prompt.

A row becomes a prompt by its columns `prompt`, `claims`, `skill` and `level`. Rows with pictures and one prompt (the
same words, claims and skill) are its candidates, wherever they stand. The prompt notes where: `slots` maps `row 0`,
`row 1`, … to `data/train-0.parquet#17`, so that a picture is found again without an index.

To group rows the source is read twice, without its pictures: 40 bytes a row are held in memory.
"""

from __future__ import annotations

import posixpath
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datagen.config import Columns
from datagen.documents.reading import show
from datagen.errors import BackendError, ConfigError
from datagen.records import Claim, Prompt, compose
from datagen.sources.claims import read_claims
from datagen.sources.files import Row, choose_column, open_source

PROMPT = ("prompt", "caption", "text")
IMAGE = ("image", "images", "file_name", "path")
WEAKNESS, SKILL, LEVEL = "given", "prompts", "given"
"""Where a prompt stands whose row does not say it."""
MOST_PICTURES = 256
"""Most candidates of one prompt."""
MOST_LETTERS = 20_000
"""Longest prompt."""
MOST_NAME = 200
"""Longest name of a skill or a level."""
_ROW = "row "


@dataclass(slots=True)
class RowCounts:
    """What was read of a source: rows, rows without a prompt, and rows beyond MOST_PICTURES of one prompt."""

    rows: int = 0
    blank: int = 0
    beyond: int = 0


class PromptRows:
    """The prompts of a source, a row each. Raises ConfigError, as its methods do, for a column that is not there."""

    def __init__(self, address: str, columns: Columns) -> None:
        self.files = open_source(address)
        chosen = (columns.prompt, PROMPT), (columns.claims, ("claims",)), (columns.skill, ("skill",))
        self._prompt, self._claims, self._skill = (
            choose_column(self.files, given, usual, usual[0]) for given, usual in chosen
        )
        self._level = choose_column(self.files, columns.level, ("level",), "level")
        self._weakness = "weakness" if columns.skill is None and "weakness" in self.files.columns else None
        if self._prompt is None:
            known = ", ".join(self.files.columns) or "none"
            what = f"has no column {', '.join(PROMPT)}"
            raise ConfigError(what, where=address, hint=f"name it by `prompt:`; its columns are {known}")

    @property
    def has_claims(self) -> bool:
        """Whether there is a column of claims."""
        return self._claims is not None

    @property
    def read_columns(self) -> list[str]:
        """The columns that make a prompt."""
        columns = (self._prompt, self._claims, self._skill, self._level, self._weakness)
        return [name for name in dict.fromkeys(columns) if name is not None]

    def prompts(self, counts: RowCounts) -> Iterator[Prompt]:
        """Yield the prompt of each row that has one, in order."""
        for row in self.files.rows(self.read_columns):
            counts.rows += 1
            prompt = self.make_prompt(row, counts.rows - 1)
            if prompt is None:
                counts.blank += 1
            else:
                yield prompt

    def text_of(self, values: Mapping[str, Any], where: str) -> str:
        """Return the words of a row's prompt, `""` if it has none. Raises ConfigError if they are no text."""
        said = values.get(str(self._prompt))
        if said is not None and not isinstance(said, str):
            raise ConfigError(f"the prompt is no text: {show(said)}", where=where, hint="name another column")
        text = compose((said or "").strip())
        if len(text) > MOST_LETTERS:
            raise ConfigError(f"the prompt has {len(text):,} letters; at most {MOST_LETTERS:,}", where=where)
        return text

    def make_prompt(self, row: Row, index: int, slots: Mapping[str, str | int] | None = None) -> Prompt | None:
        """Return the prompt of a row, None if it has no words."""
        text = self.text_of(row.values, row.where)
        if not text:
            return None
        weakness, skill = self._place(row)
        level = str(row.values.get(str(self._level)) or LEVEL)
        if "\n" in level or len(level) > MOST_NAME:
            raise ConfigError(
                f"{show(level)} is no level", where=row.where, hint=f"a word of {MOST_NAME} letters at most"
            )
        return Prompt.make(
            text,
            self._read_claims(row),
            weakness=weakness,
            skill=skill,
            level=level,
            index=index,
            seed=0,
            template=self.files.label(row.file),
            slots=dict(slots or {}),
            source="given",
        )

    def _read_claims(self, row: Row) -> tuple[Claim, ...]:
        return read_claims(row.values.get(str(self._claims)), row.where)

    def _place(self, row: Row) -> tuple[str, str]:
        said = str(row.values.get(str(self._skill)) or "")
        first, slash, rest = said.partition("/")
        weakness, skill = (first, rest) if slash else (str(row.values.get(str(self._weakness)) or WEAKNESS), said)
        skill = skill or SKILL
        if "/" in skill or "\n" in said or len(said) > MOST_NAME:
            raise ConfigError(f"{show(said)} is no skill", where=row.where, hint="write SKILL, or WEAKNESS/SKILL")
        return weakness, skill


class PictureRows(PromptRows):
    """The prompts of a source with pictures: one for all rows of the same words, claims and skill."""

    def __init__(
        self, address: str, columns: Columns, image: str | None = None, text: str | None = None, root: str | None = None
    ) -> None:
        super().__init__(address, columns)
        self._image = choose_column(self.files, image, IMAGE, "image")
        self._text, self._root = choose_column(self.files, text, (), "text"), root
        if self._image is None:
            hint = f"name it by `image:`; its columns are {', '.join(self.files.columns)}"
            raise ConfigError(f"has no column {', '.join(IMAGE)}", where=address, hint=hint)

    def prompts(self, counts: RowCounts) -> Iterator[Prompt]:
        """Yield each prompt once, in the order of its first row, with the places of all its rows."""
        import numpy as np

        ids, files, places = array("Q"), array("I"), array("Q")
        for row in self.files.rows(self.read_columns):
            prompt = self.make_prompt(row, counts.rows)
            counts.rows += 1
            ids.append(int(prompt.id, 16) if prompt else 0)
            files.append(row.file)
            places.append(row.place)
        keys = np.frombuffer(ids, np.uint64) if ids else np.zeros(0, np.uint64)
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=keys[order][:1] + np.uint64(1)))
        ends = np.append(starts[1:], len(order))
        # By the row that comes first: where in `order` its group begins, and its length.
        begins = np.full(len(order), -1, np.int64)
        begins[order[starts]] = starts
        lengths = np.zeros(len(order), np.int32)
        lengths[starts] = ends - starts
        for number, row in enumerate(self.files.rows(self.read_columns)):
            if number >= len(keys):
                raise ConfigError("grew while it was read", where=self.files.address)
            if not keys[number]:
                counts.blank += 1
            elif (begin := int(begins[number])) >= 0:
                mine = order[begin : begin + int(lengths[begin])].tolist()
                counts.beyond += max(0, len(mine) - MOST_PICTURES)
                slots = {
                    f"{_ROW}{k}": f"{self.files.label(files[each])}#{places[each]}"
                    for k, each in enumerate(mine[:MOST_PICTURES])
                }
                if (prompt := self.make_prompt(row, number, slots)) is not None:
                    yield prompt

    def read(self, asked: Sequence[tuple[str, Prompt]]) -> Iterator[tuple[int, str, bytes | Exception]]:
        """Yield (number in `asked`, reasoning, picture or why there is none) of some places and their prompts.

        They come file by file in the order of their rows. Raises BackendError if a row has another prompt than it had.
        """
        by_file: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number, (place, _) in enumerate(asked):
            label, _, row = place.rpartition("#")
            by_file[self.files.number(label)][int(row)].append(number)
        columns = [str(self._prompt), str(self._image), *([self._text] if self._text else [])]
        for file, rows in sorted(by_file.items()):
            if file < 0:
                raise self._refuse(asked[next(iter(rows.values()))[0]][0])
            found = dict[int, None]()
            for at, values in self.files.read(file, sorted(rows), columns):
                found[at] = None
                for number in rows[at]:
                    place, prompt = asked[number]
                    if self.text_of(values, place) != prompt.text:
                        raise self._refuse(place)
                    yield number, str(values.get(str(self._text)) or ""), self._see(file, values)
            if lost := rows.keys() - found.keys():
                raise self._refuse(asked[rows[min(lost)][0]][0])

    def _refuse(self, place: str) -> BackendError:
        what = f"{place} has another prompt than when the run began"
        return BackendError(what, where=self.files.address, hint="a source must not change during a run")

    def _see(self, file: int, values: Mapping[str, Any]) -> bytes | Exception:
        found: Any = values.get(str(self._image))
        if isinstance(found, list):
            found = found[-1] if found else None
        if isinstance(found, Mapping):
            found = found.get("bytes") or found.get("path")
        if isinstance(found, bytes) and found:
            return found
        if not isinstance(found, str) or not found:
            return ValueError(f"the row has no picture in {self._image!r}: {show(found)}")
        try:
            return self.files.read_picture(file, found, self._root)
        except FileNotFoundError:
            return ValueError(f"there is no picture {show(posixpath.basename(found))}")
        except (OSError, ValueError) as error:
            return error


def is_with_pictures(prompt: Prompt) -> bool:
    """Return whether a prompt came with pictures."""
    return prompt.source == "given" and f"{_ROW}0" in prompt.slots


def find_places(prompt: Prompt) -> list[str]:
    """Return the places of the rows of a prompt with pictures, in the order of its candidates."""
    return [str(prompt.slots[f"{_ROW}{k}"]) for k in range(len(prompt.slots)) if f"{_ROW}{k}" in prompt.slots]
