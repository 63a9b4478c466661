"""Finds every problem of every file in one pass: taxonomies, the templates they name, lexicons, and other models.

    taxonomies/mine.yaml:12:7  unknown key 'shar' in skills[0]; did you mean 'share'?

Which kind a file is shows by its keys. Without paths, everything that ships is checked. See it: `datagen check`.
Not covered: whether the words are true of the world, and what a scorer can see in a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel

from datagen.control_tokens import explain_tag, find_tag
from datagen.documents.checking import check_model
from datagen.documents.problems import Problem, Severity, problem_of, show
from datagen.documents.reading import Document, read_yaml
from datagen.errors import ConfigError, did_you_mean
from datagen.shipped import shipped_path
from datagen.taxonomy._check_draws import check_draws
from datagen.taxonomy._check_skill import SkillCheck
from datagen.taxonomy.english import article_of
from datagen.taxonomy.lexicon import Lexicon, Word, load_lexicon
from datagen.taxonomy.load import resolve_lexicon, resolve_taxonomy
from datagen.taxonomy.models import LexiconFile, ListName, TaxonomyFile

MIN_DISTINCT = 20
"""How many distinct prompts a skill must have, unless told otherwise."""

Examine: TypeAlias = Callable[[Path], Iterable[tuple[str, str, str, Severity]]]
"""From the file of a recipe to what is wrong with it: the key that each is about, such as `aggregate.image`, or another
file; a sentence; what to do; how bad it is."""

_RECIPE_KEYS = {"taxonomy", "backend", "prompts", "candidates", "rewards", "weights", "detector"}
_TEXTS_FOR_PEOPLE = {"why", "about", "title"}
_LEXICON_KEYS = {"lexicon", *get_args(ListName)}


@dataclass(slots=True)
class _Pass:
    """What one pass knows: the files as read, the lexicons that taxonomies may use, and what was found."""

    scorable: frozenset[str]
    min_distinct: int
    models: Mapping[str, type[BaseModel]]
    examine: Examine
    files: list[str] = field(default_factory=list)
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
) -> list[Problem]:
    """Return every problem of the files, sorted by place; an empty list means that all can be used.

    `paths` are files, folders, or names of shipped taxonomies; none means all that ships. `scorable` holds the claim
    kinds that scorers can judge. Taxonomies are tried with `lexicons`, else with those among the paths, in a folder
    `lexicons` beside them, and the shipped ones. `models` maps `recipe` to its model, and `examine` knows what the
    keys of a recipe mean together. Raises nothing: what cannot be read is a problem too.
    """
    work = _Pass(scorable, min_distinct, models or {}, examine)
    files = list(_expand(paths, work.found))
    work.files = [str(file) for file in files]
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
    return sorted({replace(problem, file=_shown(problem.file)) for problem in work.found})


def _shown(file: str) -> str:
    # GitHub wants paths from the repository's root, where CI stands; terminals like them short.
    here, full = Path.cwd(), Path(file).absolute()
    return str(full.relative_to(here)) if full.is_relative_to(here) else file


def kind_of(data: Any) -> str:
    """Return `taxonomy`, `lexicon`, `recipe`, or `unknown`, by the keys of a file."""
    keys = set(data) if isinstance(data, dict) else set()
    if keys & {"weakness", "skills"}:
        return "taxonomy"
    if keys & _RECIPE_KEYS:
        return "recipe"
    return "lexicon" if keys & _LEXICON_KEYS else "unknown"


def _expand(paths: Sequence[str | Path], found: set[Problem]) -> Iterable[Path]:
    files: dict[Path, None] = {}
    for path in paths or (shipped_path("taxonomies"), shipped_path("recipes")):
        try:
            file = resolve_taxonomy(path) if not Path(path).exists() else Path(path)
        except ConfigError as error:
            found.add(problem_of(error, str(path)))
            continue
        if file.is_dir():
            inside = sorted(
                each for each in file.rglob("*.y*ml") if each.suffix in (".yaml", ".yml") and each.is_file()
            )
            files.update(dict.fromkeys(inside))
            if not inside:
                found.add(Problem(str(file), 1, 1, "the folder has no YAML file", "name one that has"))
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
            # One that is checked anyway shows all its problems there.
            if given:
                work.found.add(problem_of(error, str(file)))
    return list(loaded.values())


def _check_taxonomy(work: _Pass, document: Document) -> None:
    model, problems = check_model(document, TaxonomyFile)
    # Names that stand twice are found below, each at its place, also where the schema stops earlier.
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
            work.found.update(check_draws(document, place, weakness, work.lexicons, work.min_distinct))


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
                hint = f"it is at line {line} already: keep one"
                work.found.add(document.problem((name, place), f"{show(word)} stands twice in {name}", hint))
            article = item.get("article") if isinstance(item, dict) else None
            if article in ("a", "an") and article != article_of(word):
                what, hint = f"{article} {word!r} sounds wrong", f"is it {article_of(word)!r}? else leave it as it is"
                work.found.add(document.problem((name, place, "article"), what, hint, severity="warning"))


def _find_tags(document: Document, value: Any, path: tuple[str | int, ...]) -> Iterable[Problem]:
    """Yield a warning for each text that prompts are made of and that some trainers would take for a picture."""
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
    problems = check_model(document, model)[1]
    named = document.data.get("taxonomy")
    for place, word in enumerate(named if isinstance(named, list) else [named]):
        path = ("taxonomy", place) if isinstance(named, list) else ("taxonomy",)
        problems += _check_word(document, path, word, resolve_taxonomy)
    problems += _check_word(document, ("lexicon",), document.data.get("lexicon"), resolve_lexicon)
    work.found.update(problems)
    for where, what, hint, severity in () if problems else work.examine(Path(document.file)):
        key = tuple(where.split("."))
        if key[0] in model.model_fields:
            work.found.add(document.problem(key, what, hint, severity=severity))
        elif not where.startswith(tuple(work.files)):  # else it is said there
            work.found.add(document.problem((), f"{where}: {what}" if where else what, hint, severity=severity))


def _check_word(document: Document, path: tuple[str | int, ...], word: Any, resolve: Any) -> list[Problem]:
    if not isinstance(word, str) or not word:
        return []
    try:
        file = resolve(word)
    except ConfigError as error:
        return [document.problem(path, error.what, error.hint)]
    # As when it is built: a path is looked for beside the recipe first, then from here.
    if not (Path(document.file).parent / file).is_file() and not file.is_file():
        what, hint = f"there is no file {word!r}", "a path counts from the recipe, or from where the command runs"
        return [document.problem(path, what, hint)]
    return []


def _check_unknown(work: _Pass, document: Document) -> None:
    work.found.update(document.problems)
    keys = list(document.data) if isinstance(document.data, dict) else []
    near = did_you_mean(keys[0], {"weakness", "skills", "lexicon", "taxonomy"}) if keys else ""
    what = f"the file is no taxonomy, lexicon or recipe: its keys are {show(keys)}" if keys else "the file is empty"
    if document.data is not None and not keys:
        what = f"the file is a {type(document.data).__name__}, not keys with values"
    hint = near if near.startswith("did") else "a taxonomy has `weakness:` and `skills:`, a lexicon `lexicon:`"
    work.found.add(document.problem((), what, hint))


def _check_weaknesses(work: _Pass) -> None:
    first: dict[str, Document] = {}
    for kind, document in work.documents:
        name = document.data.get("weakness") if kind == "taxonomy" else None
        if isinstance(name, str) and first.setdefault(name, document) is not document:
            hint = f"{first[name].file} has it too: one recipe cannot use both"
            what = f"the weakness {name!r} comes twice"
            work.found.add(document.problem(("weakness",), what, hint, severity="warning"))


_CHECKS = {
    "taxonomy": _check_taxonomy,
    "lexicon": _check_lexicon,
    "recipe": _check_recipe,
    "unknown": _check_unknown,
}
