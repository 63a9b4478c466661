"""Loader of taxonomies: builds skills from taxonomy files, templates and a lexicon.

A skill that needs a list missing from the lexicon is skipped and listed in `Taxonomy.skipped`, so the same taxonomy
works with large and small lexicons. The first error is raised; `datagen check` shows all errors of all files.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datagen.documents.checking import load_model
from datagen.documents.reading import Document, Problem, problems_error, read_yaml, show
from datagen.errors import ConfigError, did_you_mean
from datagen.plugins import shipped_path
from datagen.taxonomy.claims import parse_claim
from datagen.taxonomy.constraints import compile_constraint
from datagen.taxonomy.english import spell_wrong
from datagen.taxonomy.lexicon import Lexicon, Word, load_lexicon, word_of
from datagen.taxonomy.models import JoinSlot, ListName, ListSlot, RangeSlot, SkillFile, Slot, TaxonomyFile
from datagen.taxonomy.render import Value, Wording, read_wordings
from datagen.taxonomy.sandbox import FUNCTIONS
from datagen.taxonomy.space import Level, Skill

DEFAULT_LEVEL = "medium"
"""The level of a skill without levels."""
MOST_TEXTS = 50_000
"""Most joined texts of a slot, the first ones of its lists: all are made when the skill is loaded."""


@dataclass(frozen=True, slots=True)
class Weakness:
    """A weakness of models, and why it exists."""

    name: str
    title: str
    why: str
    file: str


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """Weaknesses and their skills; `skipped` holds (path, reason) of skills that the lexicon cannot fill."""

    lexicon: str
    weaknesses: tuple[Weakness, ...]
    skills: tuple[Skill, ...]
    skipped: tuple[tuple[str, str], ...] = ()


def explain_left_out(wording: str, skill: str, slot: str) -> tuple[str, str]:
    """Return what is wrong with a wording that does not say what a claim asserts, and what to do."""
    what = f"the wording {show(wording)} of the skill {skill!r} leaves out the slot {slot!r}"
    return what, "a claim uses it: add it to the wording, or remove it from the claim"


def explain_skipped(skipped: Iterable[tuple[str, str]]) -> list[str]:
    """Return one sentence per reason, naming the skills that are skipped for it."""
    reasons: dict[str, list[str]] = {}
    for path, reason in skipped:
        reasons.setdefault(reason, []).append(path)
    return [f"left out, since {reason}: {', '.join(paths)}" for reason, paths in reasons.items()]


def resolve_taxonomy(word: str | Path) -> Path:
    """Return the file of a taxonomy, given a path or the name of a shipped one such as `counting`."""
    return _resolve(word, shipped_path("taxonomies"), "taxonomy")


def list_taxonomies() -> dict[str, Path]:
    """Return the taxonomies of the project in which a command runs, else the shipped ones, by name."""
    own = sorted(Path("taxonomies").glob("*.yaml"))
    return {path.stem: path for path in own or sorted(shipped_path("taxonomies").glob("*.yaml"))}


def resolve_lexicon(word: str | Path) -> Path:
    """Return the file of a lexicon, given a path or the name of a shipped one such as `everyday`."""
    return _resolve(word, shipped_path("taxonomies", "lexicons"), "lexicon")


def _resolve(word: str | Path, folder: Path, what: str) -> Path:
    written = str(word)
    if isinstance(word, Path) or "/" in written or "\\" in written or written.endswith((".yaml", ".yml")):
        return Path(word)
    found = folder / f"{written}.yaml"
    if not found.is_file():
        hint = did_you_mean(written, (path.stem for path in folder.glob("*.yaml")), "give a file with its path")
        raise ConfigError(f"no {what} named {written!r}", where=what, hint=hint)
    return found


def find_template(taxonomy_file: Path, name: str) -> Path:
    """Return the template file that a skill names.

    Searches `templates/` beside the taxonomy file, then beside its folder, then the shipped templates. Raises
    ConfigError when it is not found.
    """
    home = taxonomy_file.absolute().parent
    folders = (home / "templates", home.parent / "templates", shipped_path("templates"))
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    looked = ", ".join(str(folder) for folder in folders)
    raise ConfigError(f"there is no template {name!r}", where=str(taxonomy_file), hint=f"looked in {looked}")


def load_taxonomy(paths: Sequence[str | Path], lexicon: str | Path) -> Taxonomy:
    """Load taxonomy files and a lexicon, each given as a path or the name of a shipped one.

    Raises ConfigError, with file and line, for errors in the files, for two files with the same weakness, and when the
    lexicon fills no skill.
    """
    if not paths:
        raise ConfigError("no taxonomy was given", hint="name one, such as `counting`, or a YAML file")
    words = load_lexicon(resolve_lexicon(lexicon))
    weaknesses: dict[str, Weakness] = {}
    skills: list[Skill] = []
    skipped: list[tuple[str, str]] = []
    for path in map(resolve_taxonomy, paths):
        document = read_yaml(path)
        written = load_model(document, TaxonomyFile)
        if written.weakness in weaknesses:
            other = weaknesses[written.weakness].file
            where = document.problem(("weakness",), "").where
            hint = f"{other} defines it too: rename this one, or leave out one of the files"
            raise ConfigError(f"the weakness {written.weakness!r} is defined twice", where=where, hint=hint)
        weaknesses[written.weakness] = Weakness(written.weakness, written.title, written.why, str(path))
        for place, skill in enumerate(written.skills):
            reason = missing_list(skill, words)
            if reason:
                skipped.append((f"{written.weakness}/{skill.name}", reason))
            else:
                skills.append(SkillBuilder(document, place, written.weakness, words).build(skill))
    if not skills:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in skipped)
        raise ConfigError(f"the lexicon {words.name!r} fills no skill of the taxonomy", hint=reasons)
    return Taxonomy(words.name, tuple(weaknesses.values()), tuple(skills), tuple(skipped))


def missing_list(skill: SkillFile, lexicon: Lexicon) -> str:
    """Return why a lexicon cannot fill a skill, or an empty string if it can."""
    if lexicon.name in skill.not_in:
        return f"the world of the lexicon {lexicon.name!r} cannot show it"
    needed = {name for slot in skill.slots.values() for name in lists_of(slot)}
    absent = sorted(needed - lexicon.lists.keys())
    return f"the lexicon {lexicon.name!r} has no {' and no '.join(absent)}" if absent else ""


def lists_of(slot: Slot) -> list[ListName]:
    """Return the lexicon lists from which a slot is filled."""
    if isinstance(slot, JoinSlot):
        return slot.join
    return [slot.from_] if isinstance(slot, ListSlot) else []


def slot_values(slot: Slot, lexicon: Lexicon) -> tuple[Value, ...]:
    """Return all possible values of a slot. Raises KeyError for a list that the lexicon lacks.

    Joined texts that cannot be misspelt are left out; at most `MOST_TEXTS` are made.
    """
    if isinstance(slot, JoinSlot):
        items = itertools.product(*(lexicon.lists[name] for name in slot.join))
        texts = [" ".join(parts) for parts in itertools.islice(items, MOST_TEXTS)]
        if slot.spelled:
            wrong = ((text, spell_wrong(text, slot.spelled)) for text in texts)
            texts = [spelt for text, spelt in wrong if spelt != text]
        return tuple(Word(text) for text in dict.fromkeys(texts))
    if isinstance(slot, ListSlot):
        return lexicon.lists[slot.from_]
    if isinstance(slot, RangeSlot):
        return tuple(range(slot.range[0], slot.range[1] + 1))
    return tuple(value if isinstance(value, int) else word_of(value) for value in slot.values)


class SkillBuilder:
    """Builds one skill, with the position of each part in its file."""

    def __init__(self, document: Document, place: int, weakness: str, lexicon: Lexicon) -> None:
        self.document, self.place, self.weakness, self.lexicon = document, place, weakness, lexicon

    def at(self, *path: str | int, what: str = "", hint: str = "") -> Problem:
        """Return a problem at a place inside the skill."""
        return self.document.problem(("skills", self.place, *path), what, hint)

    def build(self, skill: SkillFile) -> Skill:
        """Return the skill. Raises ConfigError at its first wrong part."""
        for name in sorted(FUNCTIONS.keys() & skill.slots.keys()):
            hint = "templates cannot tell them apart: rename the slot"
            raise problems_error(
                [self.at("slots", name, what=f"the slot {name!r} has the name of a function", hint=hint)]
            )
        full = {name: slot_values(slot, self.lexicon) for name, slot in skill.slots.items()}
        is_number = {name: self._is_number(name, values) for name, values in full.items()}
        words = {str(word.name) for items in self.lexicon.lists.values() for word in items}
        constraints = [compile_constraint(c, self.at("constraints", k).where) for k, c in enumerate(skill.constraints)]
        for k, constraint in enumerate(constraints):
            self._check_slots(constraint.names, full, self.at("constraints", k).where)
        claims = [parse_claim(c, is_number, words, self.at("claims", k).where) for k, c in enumerate(skill.claims)]
        return Skill(
            weakness=self.weakness,
            name=skill.name,
            title=skill.title,
            share=skill.share,
            levels=tuple(self._levels(skill, full)),
            constraints=tuple(constraints),
            claims=tuple(claims),
            wordings=self._wordings(skill, full, {slot for claim in claims for slot in claim.slots}),
            where=self.at().where,
        )

    def _is_number(self, slot: str, values: Sequence[Value]) -> bool:
        numbers = sum(isinstance(value, int) for value in values)
        if 0 < numbers < len(values):
            what, hint = f"the slot {slot!r} mixes words and numbers", "use only numbers, or quote all values"
            raise problems_error([self.at("slots", slot, what=what, hint=hint)])
        return numbers > 0

    def _wordings(self, skill: SkillFile, slots: Mapping[str, object], claimed: Collection[str]) -> tuple[Wording, ...]:
        try:
            found = find_template(Path(self.document.file), skill.templates)
        except ConfigError as error:
            raise problems_error([self.at("templates", what=error.what, hint=error.hint)]) from error
        wordings = read_wordings(found, skill.templates)
        for wording in wordings:
            self._check_slots(wording.names, slots, wording.where)
            for slot in sorted(set(claimed) - wording.names):
                what, hint = explain_left_out(wording.source, skill.name, slot)
                raise ConfigError(what, where=wording.where, hint=hint)
        return wordings

    def _check_slots(self, names: Sequence[str] | frozenset[str], slots: Mapping[str, object], where: str) -> None:
        unknown = sorted(set(names) - slots.keys())
        if unknown:
            raise ConfigError(f"unknown slot {unknown[0]!r}", where=where, hint=did_you_mean(unknown[0], slots))

    def _levels(self, skill: SkillFile, full: Mapping[str, tuple[Value, ...]]) -> list[Level]:
        levels = []
        for level, narrowing in (skill.levels or {DEFAULT_LEVEL: {}}).items():
            choices = dict(full)
            for slot, values in narrowing.items():
                if slot not in full:
                    hint = did_you_mean(slot, full)
                    raise problems_error([self.at("levels", level, slot, what=f"unknown slot {slot!r}", hint=hint)])
                is_range = isinstance(skill.slots[slot], RangeSlot)
                choices[slot] = self._narrow(level, slot, values, full[slot], is_range=is_range)
            levels.append(Level(level, choices))
        return levels

    def _narrow(
        self, level: str, slot: str, wanted: Sequence[str | int], full: Sequence[Value], *, is_range: bool
    ) -> tuple[Value, ...]:
        """Return a slot's values at a level: `[lowest, highest]` or `[only]` of a range, else the listed values."""
        if is_range and (len(wanted) > 2 or not all(isinstance(each, int) for each in wanted)):
            what = f"{show(list(wanted))} is no part of a range"
            raise problems_error([self.at("levels", level, slot, what=what, hint="write [lowest, highest] or [only]")])
        outside = sorted(str(each) for each in wanted if each not in full)
        if outside:
            hint = did_you_mean(outside[0], (str(value) for value in full))
            what = f"{outside[0]!r} is no value of the slot {slot!r}"
            raise problems_error([self.at("levels", level, slot, what=what, hint=hint)])
        if is_range:
            low, high = wanted[0], wanted[-1]
            kept = tuple(value for value in full if int(low) <= int(value) <= int(high))
        else:
            kept = tuple(value for value in full if value in wanted)
        if not kept:
            what = f"the range {show(list(wanted))} is empty"
            raise problems_error([self.at("levels", level, slot, what=what, hint="write [lowest, highest]")])
        return kept
