"""The JSON brief: the claims of a prompt as data, `{"objects": […], "relations": […], "text": […]}`.

`SCHEMA` is what a rewriter is bound to, `read_brief` says what a brief claims. A recipe asks for it with
`expand: {styles: [JSON brief]}`. Not covered: places in a layout, sizes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from datagen.records import Claim
from datagen.taxonomy.claims import turn
from datagen.taxonomy.models import RelationName

_TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
_OBJECT = {
    "type": "object",
    "properties": {"name": _TEXT, "count": {"type": "integer", "minimum": 1}, "color": _TEXT, "material": _TEXT},
    "required": ["name", "count"],
    "additionalProperties": False,
}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "objects": {"type": "array", "items": _OBJECT, "maxItems": 20},
        "relations": {"type": "array", "items": _TEXT, "maxItems": 20},
        "text": {"type": "array", "items": _TEXT, "maxItems": 20},
    },
    "additionalProperties": False,
}
"""JSON Schema of a brief; each object has a name and a count, a relation is written "bell below car"."""


def parse_brief(text: str) -> dict[str, Any] | None:
    """Return a brief that obeys `SCHEMA`, or None."""
    import jsonschema

    try:
        brief = json.loads(text)
        jsonschema.validate(brief, dict(SCHEMA))
    except (ValueError, RecursionError, jsonschema.ValidationError):
        return None
    return dict(brief)


def read_brief(brief: Mapping[str, Any], singulars: Mapping[str, str]) -> list[Claim]:
    """Return what a brief claims; `singulars` maps each form of an object to its singular.

    A relation that cannot be read is a relation of unknown things, so it is never one that was claimed.
    """
    found: list[Claim] = []
    for item in brief.get("objects", ()):
        name = singulars.get(item["name"], item["name"])
        found.append(Claim("count", name, value=item["count"]))
        found += [Claim("attribute", name, key, item[key]) for key in ("color", "material") if key in item]
    found += [_read_relation(written, singulars) for written in brief.get("relations", ())]
    return found + [Claim("text", value=words) for words in brief.get("text", ())]


def _read_relation(written: str, singulars: Mapping[str, str]) -> Claim:
    for relation in get_args(RelationName):
        subject, found, other = written.partition(f" {relation} ")
        if found:
            return Claim("relation", singulars.get(subject, subject), relation, singulars.get(other, other))
    return Claim("relation", written)


def normalize_claims(claims: Sequence[Claim]) -> set[Claim]:
    """Return claims as a set in which "right of" and "below" are turned round, so that converses are equal."""
    return {turn(claim) for claim in claims}
