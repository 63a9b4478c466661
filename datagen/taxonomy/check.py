"""Checks of taxonomies, their templates, lexicons and recipes that report every problem of every file in one pass.

    taxonomies/mine.yaml:12:7  unknown key 'shar' in skills[0]; did you mean 'share'?

The keys of a file show its kind. Without paths, all shipped files are checked. Try `datagen check`. Not covered:
whether the words are true of the world, and what a scorer can see in a picture.

1. The schema (`datagen.documents.checking`).
2. Slots, levels, constraints and claims that must fit each other. This works on the file's plain values, so that one
   broken slot does not hide other problems.
3. Each line of a template. Wordings are compiled exactly as for prompts; what is refused gets a better hint.
4. Prompts: each skill is built and sampled with every lexicon that can fill it, to find wordings that cannot be
   rendered and skills with too few prompts.

`write_schemas` writes JSON Schema files, with which editors complete keys and mark mistakes. The YAML plugins of most
editors read the first line of a file:

    # yaml-language-server: $schema=../schemas/taxonomy.schema.json

Try `datagen schema`. A schema covers only step 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, TypeAlias, get_args

from jinja2 import TemplateSyntaxError, nodes
from pydantic import BaseModel, TypeAdapter, ValidationError

from datagen.control_tokens import explain_tag, find_tag
from datagen.documents.checking import check_model
from datagen.documents.reading import Document, Problem, Severity, problem_of, read_yaml, show
from datagen.errors import ConfigError, did_you_mean
from datagen.plugins import shipped_path
from datagen.taxonomy.claims import ClaimForm, parse_claim
from datagen.taxonomy.constraints import Constraint, compile_constraint
from datagen.taxonomy.english import article_of
from datagen.taxonomy.lexicon import Lexicon, Word, load_lexicon
from datagen.taxonomy.load import (
    SkillBuilder,
    explain_left_out,
    find_template,
    list_taxonomies,
    lists_of,
    missing_list,
    resolve_lexicon,
    resolve_taxonomy,
    slot_values,
)
from datagen.taxonomy.models import (
    MAX_COUNT,
    NAMES,
    JoinSlot,
    LexiconFile,
    ListName,
    ListSlot,
    SkillFile,
    TaxonomyFile,
    TemplatePath,
    ValuesSlot,
)
from datagen.taxonomy.render import Value, compile_wording, source_lines
from datagen.taxonomy.sandbox import FUNCTIONS, SANDBOX
from datagen.taxonomy.space import Skill, choose_point, count_distinct

MIN_DISTINCT = 20
"""Default for the least number of distinct prompts of a skill."""

Examine: TypeAlias = Callable[[Path], Iterable[tuple[str, str, str, Severity]]]
"""Takes a recipe or an experiment and returns its problems: key, such as `aggregate.image`, or another file; what is
wrong; what to do; severity."""

_RECIPE_KEYS = {"taxonomy", "backend", "prompts", "candidates", "rewards", "weights", "detector"}
_TEXTS_FOR_PEOPLE = {"why", "about", "title"}
_EXPERIMENT_KEYS = {"arms", "question"}
_LEXICON_KEYS = {"lexicon", *get_args(ListName)}


@dataclass(slots=True)
class _Pass:
    """The state of one pass: the files as read, the lexicons that taxonomies may use, and the problems found.

    Those of `elsewhere` were found in files that a recipe names: a file that is checked itself tells its own.
    """

    scorable: frozenset[str]
    min_distinct: int
    models: Mapping[str, type[BaseModel]]
    examine: Examine
    examine_arms: Examine
    elsewhere: set[Problem] = field(default_factory=set)
    lexicons: list[Lexicon] = field(default_factory=list)
    documents: list[tuple[str, Document]] = field(default_factory=list)
    found: set[Problem] = field(default_factory=set)


def check_paths(
    paths: Sequence[str | Path],
    *,
    scorable: frozenset[str],
    min_distinct: int = MIN_DISTINCT,
    lexicons: Sequence[str | Path] = (),
    models: Mapping[str, type[BaseModel]] | None = None,
    examine: Examine = lambda file: (),
    examine_arms: Examine = lambda file: (),
) -> list[Problem]:
    """Return every problem of the files, sorted by place; an empty list means that all files are valid.

    `paths` are files, folders, or names of shipped taxonomies; none means all shipped files. `scorable` holds the claim
    kinds that scorers can judge. Taxonomies are tried with `lexicons`, else with the lexicons among the paths, in a
    folder `lexicons` beside them, and the shipped ones. `models` maps `recipe` and `experiment` to their models;
    `examine` checks how the keys of a recipe fit together, `examine_arms` the recipes of an experiment.
    Raises nothing: an unreadable file is a problem too.
    """
    work = _Pass(scorable, min_distinct, models or {}, examine, examine_arms)
    files = list(_expand(paths, work.found))
    for file in files:
        try:
            document = read_yaml(file)
        except ConfigError as error:
            work.found.add(problem_of(error, str(file)))
            continue
        work.documents.append((kind_of(document.data), document))
    work.lexicons = _gather_lexicons(work, lexicons)
    for kind, document in work.documents:
        _CHECKS[kind](work, document)
    _check_weaknesses(work)
    found, elsewhere = (
        {replace(each, file=_shown(each.file)) for each in some} for some in (work.found, work.elsewhere)
    )
    told = {problem.file for problem in found if problem.severity == "error"}
    return sorted({*found, *(problem for problem in elsewhere if problem.file not in told)})


def _shown(file: str) -> str:
    # GitHub wants paths relative to the repository's root, where CI runs; in a terminal they are short.
    here, full = Path.cwd(), Path(file).absolute()
    return str(full.relative_to(here)) if full.is_relative_to(here) else file


def kind_of(data: Any) -> str:
    """Return `taxonomy`, `lexicon`, `recipe`, `experiment` or `unknown`, according to the keys of a file."""
    keys = set(data) if isinstance(data, dict) else set()
    if keys & _EXPERIMENT_KEYS:
        return "experiment"
    if keys & {"weakness", "skills"}:
        return "taxonomy"
    if keys & _RECIPE_KEYS:
        return "recipe"
    return "lexicon" if keys & _LEXICON_KEYS else "unknown"


def _expand(paths: Sequence[str | Path], found: set[Problem]) -> Iterable[Path]:
    files: dict[Path, None] = {}
    own = list_taxonomies()
    for path in paths or (shipped_path("taxonomies"), shipped_path("recipes"), shipped_path("experiments")):
        try:
            file = Path(path) if Path(path).exists() else own.get(str(path)) or resolve_taxonomy(path)
        except ConfigError as error:
            found.add(Problem(str(path), 1, 1, error.what, error.hint))
            continue
        if file.is_dir():
            inside = sorted(
                each for each in file.rglob("*.y*ml") if each.suffix in (".yaml", ".yml") and each.is_file()
            )
            files.update(dict.fromkeys(inside))
            if not inside:
                found.add(Problem(str(file), 1, 1, "the folder has no YAML file", "name a folder with YAML files"))
        else:
            files[file] = None
    return files


def _gather_lexicons(work: _Pass, given: Sequence[str | Path]) -> list[Lexicon]:
    if given:
        named: dict[Path, None] = {}
        for word in given:
            try:
                named[resolve_lexicon(word)] = None
            except ConfigError as error:
                work.found.add(problem_of(error, str(word)))
        files = list(named)
    else:
        files = [Path(document.file) for kind, document in work.documents if kind == "lexicon"]
        homes = {Path(document.file).absolute().parent for kind, document in work.documents if kind == "taxonomy"}
        for folder in (*(home / "lexicons" for home in sorted(homes)), shipped_path("taxonomies", "lexicons")):
            files += sorted(folder.glob("*.yaml"))
    loaded: dict[Path, Lexicon] = {}
    for file in files:
        try:
            loaded.setdefault(file.resolve(), load_lexicon(file))
        except ConfigError as error:
            # A lexicon among the checked files reports its problems itself.
            if given:
                work.found.add(problem_of(error, str(file)))
    return list(loaded.values())


def _check_taxonomy(work: _Pass, document: Document) -> None:
    model, problems = check_model(document, TaxonomyFile)
    # Duplicate names are reported below at their place, even where the schema stops earlier.
    work.found.update(problem for problem in problems if "two skills have the name" not in problem.what)
    if model is None and any("a newer one" in problem.what for problem in problems):
        return
    work.found.update(_find_tags(document, document.data, ()))
    lists: dict[str, tuple[Word, ...]] = {}
    for lexicon in work.lexicons:
        for name, words in lexicon.lists.items():
            lists[name] = tuple(dict.fromkeys((*lists.get(name, ()), *words)))
    skills = document.data.get("skills") if isinstance(document.data, dict) else None
    names: dict[str, int] = {}
    for place, skill in enumerate(skills if isinstance(skills, list) else ()):
        if not isinstance(skill, dict):
            continue
        _check_name(work, document, place, skill.get("name"), names)
        found = SkillCheck(document, place, skill, lists, work.scorable).run()
        work.found.update(found)
        if not any(problem.severity == "error" for problem in found):
            weakness = str(document.data.get("weakness"))
            work.found.update(check_sampling(document, place, weakness, work.lexicons, work.min_distinct))


def _check_name(work: _Pass, document: Document, place: int, name: Any, names: dict[str, int]) -> None:
    if isinstance(name, str) and names.setdefault(name, place) != place:
        line = document.spot(("skills", names[name], "name"))[0]
        what, hint = f"two skills have the name {name!r}", f"the other is at line {line}: give each its own"
        work.found.add(document.problem(("skills", place, "name"), what, hint))


def _check_lexicon(work: _Pass, document: Document) -> None:
    work.found.update(check_model(document, LexiconFile)[1])
    work.found.update(_find_tags(document, document.data, ()))
    for name in get_args(ListName):
        items = document.data.get(name)
        seen: dict[str, int] = {}
        for place, item in enumerate(items if isinstance(items, list) else ()):
            word = item.get("singular", item.get("name")) if isinstance(item, dict) else item
            if not isinstance(word, str):
                continue
            if seen.setdefault(word, place) != place:
                line = document.spot((name, seen[word]))[0]
                hint = f"it is also at line {line}: keep one"
                work.found.add(document.problem((name, place), f"{show(word)} is listed twice in {name}", hint))
            article = item.get("article") if isinstance(item, dict) else None
            if article in ("a", "an") and article != article_of(word):
                what, hint = f"{article} {word!r} sounds wrong", f"is it {article_of(word)!r}? if not, ignore this"
                work.found.add(document.problem((name, place, "article"), what, hint, severity="warning"))


def _find_tags(document: Document, value: Any, path: tuple[str | int, ...]) -> Iterable[Problem]:
    """Yield a warning for each text of prompts that some trainers would read as a picture."""
    if isinstance(value, str) and (tag := find_tag(value)):
        what, hint = explain_tag(tag)
        yield document.problem(path, f"{show(value)} {what}", hint, severity="warning")
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in parts:
        if step not in _TEXTS_FOR_PEOPLE:
            yield from _find_tags(document, part, (*path, step))


def _check_recipe(work: _Pass, document: Document) -> None:
    model = work.models.get("recipe")
    if model is None:
        return
    found, problems = check_model(document, model, look_up=True)
    named = document.data.get("taxonomy")
    for place, word in enumerate(named if isinstance(named, list) else [named]):
        path = ("taxonomy", place) if isinstance(named, list) else ("taxonomy",)
        problems += _check_word(document, path, word, resolve_taxonomy)
    problems += _check_word(document, ("lexicon",), document.data.get("lexicon"), resolve_lexicon)
    work.found.update(problems)
    # Unknown plugin words do not prevent the check of how keys fit together.
    can_be_read = found is not None or check_model(document, model)[0] is not None
    told = {(problem.line, problem.column) for problem in problems}
    for where, what, hint, severity in work.examine(Path(document.file)) if can_be_read else ():
        key = tuple(where.split("."))
        if any(problem.what == what for problem in problems):
            continue
        if key[0] in model.model_fields:
            if not told & document.spots_in(key):
                work.found.add(document.problem(key, what, hint, severity=severity))
            continue
        there = problem_of(ConfigError(what, where=where, hint=hint), document.file)
        if Path(there.file).is_file():
            work.elsewhere.add(replace(there, severity=severity))
        else:
            named = document.find_file(there.file) or ()
            if document.spot(named) not in told:
                work.found.add(document.problem(named, f"{where}: {what}" if where else what, hint, severity=severity))


def _check_experiment(work: _Pass, document: Document) -> None:
    model = work.models.get("experiment")
    if model is None:
        return
    found, problems = check_model(document, model)
    work.found.update(problems)
    for where, what, hint, severity in work.examine_arms(Path(document.file)) if found is not None else ():
        work.found.add(document.problem(tuple(where.split(".", 1)), what, hint, severity=severity))


def _check_word(document: Document, path: tuple[str | int, ...], word: Any, resolve: Any) -> list[Problem]:
    if not isinstance(word, str) or not word:
        return []
    try:
        file = resolve(word)
    except ConfigError as error:
        return [document.problem(path, error.what, error.hint)]
    # As in a build: paths are relative to the recipe, else to the working directory.
    if not (Path(document.file).parent / file).is_file() and not file.is_file():
        what, hint = f"there is no file {word!r}", "paths are relative to the recipe, or to the working directory"
        return [document.problem(path, what, hint)]
    return []


def _check_unknown(work: _Pass, document: Document) -> None:
    work.found.update(document.problems)
    keys = list(document.data) if isinstance(document.data, dict) else []
    near = did_you_mean(keys[0], {"weakness", "skills", "lexicon", "taxonomy", "arms"}) if keys else ""
    what = (
        f"the file is not a taxonomy, lexicon, recipe or experiment: its keys are {show(keys)}"
        if keys
        else "the file is empty"
    )
    if document.data is not None and not keys:
        what = f"the file is a {type(document.data).__name__}, not keys with values"
    hint = near if near.startswith("did") else "a taxonomy has `weakness:` and `skills:`, a lexicon `lexicon:`"
    work.found.add(document.problem((), what, hint))


def _check_weaknesses(work: _Pass) -> None:
    first: dict[str, Document] = {}
    for kind, document in work.documents:
        name = document.data.get("weakness") if kind == "taxonomy" else None
        if isinstance(name, str) and first.setdefault(name, document) is not document:
            hint = f"{first[name].file} defines it too: a recipe cannot use both"
            what = f"the weakness {name!r} is defined twice"
            work.found.add(document.problem(("weakness",), what, hint, severity="warning"))


_CHECKS = {
    "taxonomy": _check_taxonomy,
    "lexicon": _check_lexicon,
    "recipe": _check_recipe,
    "experiment": _check_experiment,
    "unknown": _check_unknown,
}


Values = Sequence[Value]
_POINTS, _TRIES = 4, 200


@dataclass(slots=True)
class SkillCheck:
    """The check of one skill.

    `lists` are the words of each list over all possible lexicons, `values` the possible values of each slot, or None if
    the slot is broken.
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
            hint = "use only numbers, or put all values in quotes"
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
        """Return a few points at which to render the wordings; none if a slot or a constraint is broken."""
        choices = {name: values for name, values in self.values.items() if values}
        if len(choices) < len(self.values):
            return []
        # Seeded, so that a check always gives the same result.
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
            hint = "use it in the template or in a claim, or remove it"
            self.report(("slots", slot), f"the slot {slot!r} is never used", hint, key=True, severity="warning")


def _texts(items: Any) -> Iterator[tuple[int, str]]:
    for place, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, str) and item:
            yield place, item


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _holds_numbers(values: Values | None) -> bool:
    return bool(values) and all(isinstance(value, int) for value in values or ())


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """The problems of a template file, and the slots that its wordings use."""

    problems: list[Problem]
    used: frozenset[str]


def check_template(
    path: Path, skill: str, slots: Set[str], claimed: Set[str], points: Sequence[Mapping[str, Value]]
) -> TemplateFacts:
    """Check every wording of a file.

    `claimed` are the slots of the skill's claims; each wording is rendered at the `points`.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot read the template: {error}"
        return TemplateFacts([Problem(str(path), 1, 1, what, "save it as UTF-8 text")], frozenset(slots))
    problems: list[Problem] = []
    used: set[str] = set()
    first_line: dict[str, int] = {}
    for number, wording in source_lines(text):
        twice = first_line.setdefault(wording, number)
        if twice != number:
            what = f"the wording {show(wording)} is listed twice"
            problems.append(Problem(str(path), number, 1, what, f"it is also at line {twice}", "warning"))
        if tag := find_tag(wording):
            what, hint = explain_tag(tag)
            problems.append(Problem(str(path), number, 1, f"the wording {show(wording)} {what}", hint, "warning"))
        names, found = _check_wording(path, number, wording, text.split("\n")[number - 1], slots, points)
        problems += found
        used |= names
        if not found:
            left_out = [explain_left_out(wording, skill, slot) for slot in sorted(claimed - names)]
            problems += [Problem(str(path), number, 1, what, hint) for what, hint in left_out]
    if not first_line:
        problems.append(Problem(str(path), 1, 1, "the template has no wording", "write one wording per line"))
        used |= slots
    return TemplateFacts(problems, frozenset(used))


def _check_wording(
    path: Path, number: int, wording: str, line: str, slots: Set[str], points: Sequence[Mapping[str, Value]]
) -> tuple[frozenset[str], list[Problem]]:
    """Return the slots of a wording and its problems."""

    def at(word: str, what: str, hint: str) -> Problem:
        return Problem(str(path), number, max(line.find(word), 0) + 1, what, hint)

    try:
        compiled = compile_wording(wording, str(path), number)
    except ConfigError as error:
        better = [at(word, what, hint) for word, what, hint in _explain(wording)]
        return frozenset(slots), better or [Problem(str(path), number, 1, error.what, error.hint)]
    problems = [
        at(name, f"unknown slot {name!r}", did_you_mean(name, slots) or "declare it under `slots:`")
        for name in sorted(compiled.names - slots)
    ]
    try:
        for point in points if not problems else ():
            compiled.render(point)
    except ConfigError as error:
        problems.append(Problem(str(path), number, 1, error.what, error.hint))
    return compiled.names, problems


def _explain(wording: str) -> Iterator[tuple[str, str, str]]:
    """Yield (word, what, hint) for refused parts of a wording that have a better message than the sandbox's."""
    try:
        tree = SANDBOX.parse(wording)
    except (TemplateSyntaxError, RecursionError):
        return
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name not in FUNCTIONS:
            name = call.node.name
            yield name, f"unknown function {name!r}", did_you_mean(name, FUNCTIONS)
    for reached in _reached_for(tree):
        hint = "a template can use slots and functions, but not Python: remove it"
        yield reached, f"the template tries to access Python with {reached!r}", hint


def _reached_for(tree: nodes.Template) -> Iterator[str]:
    for attribute in tree.find_all(nodes.Getattr):
        yield attribute.attr
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.arg, nodes.Const) and isinstance(item.arg.value, str):
            yield item.arg.value
    for chosen in tree.find_all(nodes.Filter):
        if chosen.name == "attr":
            yield "attr"


DRAWS = 12
"""Points per level at which every wording is rendered."""
_COUNT_STEPS = (300, 50_000)


def check_sampling(
    document: Document, place: int, weakness: str, lexicons: Sequence[Lexicon], min_distinct: int
) -> list[Problem]:
    """Sample prompts from one skill that is otherwise valid, and return the problems."""
    try:
        written = SkillFile.model_validate(document.data["skills"][place])
    except ValidationError:
        return []
    fitting = [lexicon for lexicon in lexicons if not missing_list(written, lexicon)]
    skills: list[tuple[Skill, Lexicon]] = []
    refused: list[Problem] = []
    for lexicon in fitting:
        builder = SkillBuilder(document, place, weakness, lexicon)
        try:
            skills.append((builder.build(written), lexicon))
        except ConfigError as error:
            refused.append(problem_of(error, document.file))
    if not skills:
        return refused[:1]
    problems = [problem for skill, _ in skills for problem in _render_all(skill, document.file)]
    return problems or _check_distinct(document, place, skills, min_distinct)


def _render_all(skill: Skill, file: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for level in skill.levels:
        for turn in range(DRAWS):
            try:
                point, _ = choose_point(skill, level, f"check/{turn}".encode())
            except ConfigError as error:
                yield problem_of(error, file)
                break
            for wording in skill.wordings:
                try:
                    wording.render(point)
                except ConfigError as error:
                    if wording.where not in seen:
                        yield problem_of(error, file)
                    seen.add(wording.where)


def _check_distinct(
    document: Document, place: int, skills: Sequence[tuple[Skill, Lexicon]], wanted: int
) -> list[Problem]:
    """Report a skill with fewer distinct prompts than `wanted` in every lexicon; the message names the best lexicon."""
    best, best_lexicon = -1, ""
    for skill, lexicon in skills:
        try:
            total = _count_prompts(skill, wanted)
        except ConfigError as error:
            return [problem_of(error, document.file)]
        if total >= wanted:
            return []
        if total > best:
            best, best_lexicon = total, lexicon.name
    what = f"the skill {skills[0][0].name!r} has {best} distinct prompts with the lexicon {best_lexicon!r}"
    hint = f"it needs {wanted}: add words, values or wordings, or loosen the constraints"
    return [document.problem(("skills", place, "name"), what, hint)]


def _count_prompts(skill: Skill, wanted: int) -> int:
    """Return a skill's number of distinct prompts, or a lower bound of at least `wanted`; tries few steps first."""
    total = 0
    for steps in _COUNT_STEPS:
        points = count_distinct(skill, max(steps, wanted))
        total = points.count * len(skill.wordings)
        if points.exact or total >= wanted:
            break
    return total


DIALECT = "https://json-schema.org/draft/2020-12/schema"
SHIPPED: Mapping[str, type[BaseModel]] = {"taxonomy": TaxonomyFile, "lexicon": LexiconFile}


def schema_of(name: str, model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of a kind of file, with the title `datagen <name>`."""
    return {"$schema": DIALECT, **model.model_json_schema(), "title": f"datagen {name}"}


def write_schemas(folder: str | Path, models: Mapping[str, type[BaseModel]] | None = None) -> list[Path]:
    """Write `<name>.schema.json` for taxonomy, lexicon and each of `models`; return the files, sorted.

    Raises ConfigError when the folder cannot be written.
    """
    written = []
    for name, model in {**SHIPPED, **(models or {})}.items():
        path = Path(folder) / f"{name}.schema.json"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(schema_of(name, model), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            hint = "choose a folder that can be written"
            raise ConfigError(f"cannot write the schema: {error.strerror}", where=str(path), hint=hint) from error
        written.append(path)
    return sorted(written)
