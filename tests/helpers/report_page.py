"""What a written gallery holds, unpacked as its script unpacks it."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any


def read_parts(path: Path) -> dict[str, str]:
    """The data blocks of a page by their ids: `table`, `words-0`, `thumbs-0`, …"""
    page = path.read_text(encoding="utf-8")
    return dict(re.findall(r'<script type="text/plain" id="([a-z0-9-]+)"[^>]*>([^<]*)</script>', page))


def read_groups(path: Path, *names: str) -> list[dict[str, Any]]:
    """The prompts of a page with their cards, each picture with its thumbnail; of some chunks alone, if named."""
    parts, groups = read_parts(path), []
    chunks = [name.removeprefix("words-") for name in parts if re.fullmatch(r"words-\d+", name)]
    for name in names or chunks:
        found = json.loads(zlib.decompress(base64.b64decode(parts[f"words-{name}"])))
        thumbs = iter(parts[f"thumbs-{name}"].split("\n"))
        for group in found:
            for card in group.get("cards", [group]):
                for picture in card["pictures"]:
                    picture["thumb"] = next(thumbs)
        groups += found
    return groups


def read_cards(path: Path) -> list[dict[str, Any]]:
    """The cards of a page, in order."""
    return [card for group in read_groups(path) for card in group["cards"]]


def read_table(path: Path) -> dict[str, list[Any]]:
    """The columns of the table of all samples, values decoded; `id` has those of prompts without cards, cut."""
    content = zlib.decompress(base64.b64decode(read_parts(path)["table"]))
    first, _, rest = content.partition(b"\n")
    head, columns, place = json.loads(first), {}, 0
    for column in head["columns"]:
        count = head["prompts"] if column["name"] in ("size", "skill", "card") else head["rows"]
        codes = list(rest[place : place + count])
        place += count
        if column["wide"]:
            codes = [low + 256 * high for low, high in zip(codes, rest[place : place + count], strict=True)]
            place += count
        if "values" in column:
            codes = [None if code == 0 else column["values"][code - 1] for code in codes]
        columns[column["name"]] = codes
    columns["skill"] = [head["paths"][code] for code in columns["skill"]]
    ids = rest[place:].decode()
    columns["id"] = [ids[k : k + 12].strip() for k in range(0, len(ids), 12)]
    return columns
