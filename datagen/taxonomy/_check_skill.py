"""Checks what a schema cannot say of one skill: slots, levels, constraints and claims that must fit each other.

Works on the plain values of the file, so that one broken slot does not hide what is wrong with the rest. What the
schema already reports (`datagen.documents.checking`) is not reported again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from pydantic import TypeAdapter, ValidationError

from datagen.documents.problems import Problem, show
from datagen.documents.reading import Document
from datagen.errors import ConfigError, did_you_mean
from datagen.taxonomy._check_template import check_template
from datagen.taxonomy.claims import ClaimForm, parse_claim
from datagen.taxonomy.constraints import Constraint, compile_constraint
from datagen.taxonomy.lexicon import Lexicon, Word
from datagen.taxonomy.load import find_template, lists_of, slot_values
from datagen.taxonomy.models import MAX_COUNT, NAMES, JoinSlot, ListSlot, TemplatePath, ValuesSlot
from datagen.taxonomy.render import Value

Values = Sequence[Value]
_POINTS, _TRIES = 4, 200


@dataclass(slots=True)
class SkillCheck:
    """One skill under examination.

    `lists` are the words of each list over all lexicons in question, `values` what each slot may hold, or None where
    the slot itself is broken.
    """

    document: Document
    place: int
    skill: Mapping[str, Any]
    lists: Mapping[str, tuple[Word, ...]]
    scorable: frozenset[str]
    values: dict[str, Values | None] = field(default_factory=dict)
    found: list[Problem] = field(default_factory=list)

    def run(self) -> list[Problem]:
        """Return every problem of the skill."""
        slots = self.skill.get("slots")
        for name, slot in slots.items() if isinstance(slots, dict) else ():
            self.values[name] = self._values_of(name, slot)
        self._check_levels()
        constraints = self._check_constraints()
        claims = self._check_claims()
        self._check_words(claims, self._points(constraints))
        return self.found

    def report(self, path: tuple[str | int, ...], what: str, hint: str = "", **more: Any) -> None:
        """Note a problem at a path inside the skill."""
        self.found.append(self.document.problem(("skills", self.place, *path), what, hint, **more))

    def _values_of(self, name: str, slot: Any) -> Values | None:
        if not isinstance(slot, dict):
            return None
        if "from" in slot or "join" in slot:
            return self._values_of_lists(name, slot)
        if "range" in slot:
            ends = slot["range"]
            if isinstance(ends, list) and len(ends) == 2 and all(_is_count(end) for end in ends):
                return range(ends[0], ends[1] + 1)
            return None
        try:
            values = slot_values(TypeAdapter(ValuesSlot).validate_python(slot), Lexicon("", "", {}))
        except ValidationError:
            return None
        if 0 < sum(isinstance(value, int) for value in values) < len(values):
            hint = "make it all numbers, or put them all in quotes"
            self.report(("slots", name, "values"), f"the slot {name!r} mixes words and numbers", hint)
            return None
        return values

    def _values_of_lists(self, name: str, slot: Mapping[str, Any]) -> Values | None:
        try:
            written: ListSlot | JoinSlot = TypeAdapter(ListSlot | JoinSlot).validate_python(slot)
        except ValidationError:
            return None
        absent = [each for each in lists_of(written) if each not in self.lists]
        for each in absent:
            known = f"they have {', '.join(sorted(self.lists))}" if self.lists else "there is none"
            path = ("slots", name, "from" if "from" in slot else "join")
            self.report(path, f"no lexicon here has the list {each!r}", known)
        return None if absent else slot_values(written, Lexicon("", "", self.lists))

    def _check_levels(self) -> None:
        levels = self.skill.get("levels")
        for level, narrowing in levels.items() if isinstance(levels, dict) else ():
            for slot, wanted in narrowing.items() if isinstance(narrowing, dict) else ():
                if slot not in self.values:
                    hint = did_you_mean(slot, self.values)
                    self.report(
                        ("levels", level, slot), f"unknown slot {slot!r} in the level {level!r}", hint, key=True
                    )
                elif isinstance(wanted, list):
                    self._check_narrowing(level, slot, wanted)

    def _check_narrowing(self, level: str, slot: str, wanted: list[Any]) -> None:
        allowed = self.values[slot]
        if allowed is None:
            return
        outside = [place for place, value in enumerate(wanted) if value not in allowed]
        for place in outside:
            path = ("levels", level, slot, place)
            if isinstance(allowed, range):
                hint = f"the slot's range is {allowed.start} to {allowed.stop - 1}"
            else:
                hint = did_you_mean(str(wanted[place]), map(str, allowed)) if len(allowed) < 30 else ""
            self.report(path, f"{show(wanted[place])} is no value of the slot {slot!r}", hint)
        if outside or not isinstance(allowed, range):
            return
        if len(wanted) > 2:
            hint = "write [lowest, highest] or [only]"
            self.report(("levels", level, slot), f"{show(wanted)} is no part of a range", hint)
        elif wanted and wanted[0] > wanted[-1]:
            self.report(("levels", level, slot), f"the range {show(wanted)} is empty", "write [lowest, highest]")

    def _check_constraints(self) -> list[tuple[int, Constraint]]:
        compiled = []
        for place, source in _texts(self.skill.get("constraints")):
            try:
                constraint = compile_constraint(source)
            except ConfigError as error:
                self.report(("constraints", place), error.what, error.hint)
                continue
            unknown = [name for name in constraint.names if name not in self.values]
            for name in unknown:
                hint = did_you_mean(name, self.values)
                self.report(("constraints", place), f"unknown slot {name!r} in {show(source)}", hint)
            if not unknown:
                compiled.append((place, constraint))
        return compiled

    def _points(self, constraints: list[tuple[int, Constraint]]) -> list[dict[str, Value]]:
        """Return a few points to try the wordings at, none when a slot is broken or a constraint cannot be asked."""
        choices = {name: values for name, values in self.values.items() if values}
        if len(choices) < len(self.values):
            return []
        # The same points in every run, so that a check is as good as the one before.
        dice, points = Random(0), []
        for _ in range(_TRIES):
            point = {name: dice.choice(values) for name, values in choices.items()}
            for place, constraint in constraints:
                try:
                    holds = constraint.holds(point)
                except ConfigError as error:
                    self.report(("constraints", place), error.what, error.hint)
                    return []
                if not holds:
                    break
            else:
                points.append(point)
                if len(points) == _POINTS:
                    break
        return points

    def _check_claims(self) -> list[ClaimForm]:
        known = {name: _holds_numbers(values) for name, values in self.values.items()}
        words = frozenset(word for items in self.lists.values() for word in items)
        claims = []
        for place, source in _texts(self.skill.get("claims")):
            try:
                claim = parse_claim(source, known, words)
            except ConfigError as error:
                broken = [name for name, values in self.values.items() if values is None]
                if not any(error.what.startswith(f"{name!r} in ") for name in broken):
                    self.report(("claims", place), error.what, error.hint)
                continue
            claims.append(claim)
            self._check_scorable(place, claim)
        return claims

    def _check_scorable(self, place: int, claim: ClaimForm) -> None:
        path, source = ("claims", place), show(claim.source)
        if claim.kind not in self.scorable:
            known = f"scorers judge {', '.join(sorted(self.scorable))}" if self.scorable else "there is none"
            self.report(path, f"no scorer can judge the claim {source}", known)
        elif claim.kind in NAMES:
            argument = claim.arguments["name"]
            said = self.values[argument.slot] if argument.slot else [argument.literal]
            strange = sorted(str(name) for name in said or () if name not in NAMES[claim.kind])
            if strange:
                other = next((kind for kind, names in NAMES.items() if strange[0] in names), "")
                hint = f"write {other}(…)" if other else f"known: {', '.join(NAMES[claim.kind])}"
                self.report(path, f"no scorer can judge the {claim.kind} {strange[0]!r} of {source}", hint)

    def _check_words(self, claims: list[ClaimForm], points: list[dict[str, Value]]) -> None:
        try:
            name = TypeAdapter(TemplatePath).validate_python(self.skill.get("templates"))
            file = find_template(Path(self.document.file), name)
        except ValidationError:
            return
        except ConfigError as error:
            self.report(("templates",), error.what, error.hint)
            return
        claimed = frozenset(slot for claim in claims for slot in claim.slots)
        facts = check_template(file, str(self.skill.get("name")), self.values.keys(), claimed, points)
        self.found += facts.problems
        for slot in self.values.keys() - facts.used - claimed:
            hint = "say it in the template or in a claim, or take it out"
            self.report(("slots", slot), f"the slot {slot!r} is never used", hint, key=True, severity="warning")


def _texts(items: Any) -> Iterator[tuple[int, str]]:
    for place, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, str) and item:
            yield place, item


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _holds_numbers(values: Values | None) -> bool:
    return bool(values) and all(isinstance(value, int) for value in values or ())
