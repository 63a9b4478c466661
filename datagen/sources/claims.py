"""Claims that a person or a dataset gives as data.

    [{"kind": "count", "subject": "star", "value": 3}, {"kind": "text", "value": "OPEN"}]
    ["count(star, 3)", "text(\\"OPEN\\")"]

A list of objects, a list of claims as they are written, or either as JSON text. The forms are those of
`taxonomy/claims.py`, with words in place of slots; every word is taken as it is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

from datagen.errors import ConfigError, did_you_mean
from datagen.records import Claim, ClaimKind
from datagen.taxonomy.claims import ARGUMENTS, parse_claim
from datagen.taxonomy.models import MAX_COUNT, NAMES

MOST_CLAIMS = 100
"""Most claims of one prompt."""
_COUNTED = ("count", "part")


def read_claims(value: object, where: str) -> tuple[Claim, ...]:
    """Return the claims of one prompt, () for None and for an empty text.

    Raises ConfigError, at `where`, naming the claim that is wrong and what is wrong with it.
    """
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        value = _read_text(value, where)
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        raise ConfigError(f"claims are a list, not {value!r:.80}", where=where, hint=_HINT)
    if len(value) > MOST_CLAIMS:
        raise ConfigError(f"has {len(value):,} claims; at most {MOST_CLAIMS}", where=where)
    return tuple(dict.fromkeys(_read_claim(each, f"{where}, claim {k}") for k, each in enumerate(value, 1)))


_HINT = 'write ["count(star, 3)"], or [{"kind": "count", "subject": "star", "value": 3}]'


def _read_text(text: str, where: str) -> object:
    if not text.lstrip().startswith(("[", "{")):
        return [text]
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the claims are not JSON: {text!r:.80}", where=where, hint=_HINT) from error


def _read_claim(value: object, where: str) -> Claim:
    if isinstance(value, str):
        return _check(parse_claim(value, {}, _AnyWord(), where).fill({}), where)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{value!r:.80} is no claim", where=where, hint=_HINT)
    fields = {str(key): each for key, each in value.items() if each is not None}
    kind = fields.get("kind")
    if kind not in ARGUMENTS:
        raise ConfigError(f"unknown kind of claim {kind!r:.60}", where=where, hint=did_you_mean(str(kind), ARGUMENTS))
    if strange := sorted(fields.keys() - {"kind", "subject", "name", "value"}):
        raise ConfigError(f"a claim has no {strange[0]!r:.60}", where=where, hint="kind, subject, name, value")
    for name in ("subject", "name"):
        if not isinstance(fields.get(name, ""), str):
            raise ConfigError(f"{name} must be text, not {fields[name]!r:.60}", where=where)
    found = fields.get("value", "")
    # A dataset holds all values of its claims in one column of texts.
    if kind in _COUNTED and isinstance(found, str) and found.isdecimal() and len(found) < 10:
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int if kind in _COUNTED else str):
        wanted = "a whole number" if kind in _COUNTED else "text"
        raise ConfigError(f"the value of a {kind} must be {wanted}, not {found!r:.60}", where=where)
    subject, name = str(fields.get("subject", "")), str(fields.get("name", ""))
    return _check(Claim(cast(ClaimKind, kind), subject, name, found), where)


def _check(claim: Claim, where: str) -> Claim:
    """Return the claim; raises ConfigError if a field is empty that its kind needs, or holds no known word."""
    for field in ARGUMENTS[claim.kind]:
        said = getattr(claim, field)
        if isinstance(said, str) and not said.strip() and not (claim.kind == "fact" and field == "subject"):
            raise ConfigError(f"a {claim.kind} needs a {field}", where=where, hint=_HINT)
    if claim.kind in NAMES and claim.name not in NAMES[claim.kind]:
        hint = did_you_mean(claim.name, NAMES[claim.kind])
        raise ConfigError(f"unknown {claim.kind} {claim.name!r:.60}", where=where, hint=hint)
    if claim.is_counted and not 0 <= int(claim.value) <= MAX_COUNT:
        raise ConfigError(f"{claim}: a number of objects is 0 to {MAX_COUNT:,}", where=where)
    return claim


class _AnyWord(Collection[str]):
    """A lexicon that has every word."""

    def __contains__(self, word: Any) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
