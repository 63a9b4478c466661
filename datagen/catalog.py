"""What a recipe can name, and what each word means: `datagen list` and `datagen explain WORD`.

    backends   embedded   The unified model that ships with datagen: …

Everything said here stands in the plugins themselves: the docstring of the module, its class `Options`, and constants
such as `JUDGES` and `LOSES`; in the head comment of a recipe; under `title:`, `why:` or `about:` of a taxonomy or
lexicon; in the models `Recipe` and `TaxonomyFile` for their keys. Listing parses files and imports no plugin, so that a
shell can ask at every press of a key; only explaining imports one. Not listed: plugins of one's own, which `datagen
explain my_package.module` explains.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from datagen.errors import ConfigError, PluginError, did_you_mean
from datagen.plugins import FORMER, OWN_WORD, find_words, load_plugin, noun_of, shipped_path

if TYPE_CHECKING:
    from types import ModuleType

    from pydantic import BaseModel

FAMILIES: Mapping[str, tuple[str, str]] = {
    "backends": ("backends", "build"),
    "scorers": ("rewards", "score"),
    "detectors": ("vision.detectors", "build"),
    "encoders": ("vision.encoders", "build"),
    "matchers": ("vision.matchers", "build"),
    "views": ("export.views", "view"),
    "formats": ("export.formats", "write"),
    "trackers": ("trackers", "build"),
}
"""Kinds of plugins: their family, and the function that each module defines."""
FOLDERS: Mapping[str, str] = {
    "recipes": "recipes",
    "taxonomies": "taxonomies",
    "lexicons": "taxonomies/lexicons",
    "experiments": "experiments",
}
"""Kinds of files: the folder in which they lie, in a project and in what ships."""
KEYS = "keys"
"""The kind of a recipe's keys."""
TAXONOMY_KEYS = "taxonomy_keys"
"""The kind of the keys of a taxonomy, its skills and their slots."""
KINDS = (*FAMILIES, *FOLDERS, KEYS, TAXONOMY_KEYS)
_SAYS = {"taxonomies": "title", "lexicons": "about", "experiments": "question"}
"""The key under which a file says what it is."""
_SINGULAR = {"taxonomies": "taxonomy", TAXONOMY_KEYS: "key of a taxonomy"}
_FILES = {
    KEYS: Path(__file__).with_name("config.py"),
    TAXONOMY_KEYS: Path(__file__).with_name("taxonomy") / "models.py",
}
_TOLD = re.compile(r"TARGET|JUDGES|WEIGHTS|LOSES|REFLECTS|MOST_ROUNDS|NEEDS(_\w+)?")
"""Constants of a plugin that say what it is for, what it asks of a run and what it leaves out."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A word of a kind, and the file that it names."""

    kind: str
    word: str
    file: Path


@dataclass(frozen=True, slots=True)
class Option:
    """An option as a recipe writes it: its type in words, `required` or its default, and what it is."""

    name: str
    type: str
    default: str
    about: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is known of a word. `facts` are its constants or keys by name; `options` is None if only it knows them.

    `about_options` says what holds for all options.
    """

    kind: str
    word: str
    file: str
    about: str
    facts: Mapping[str, str] = field(default_factory=dict)
    options: tuple[Option, ...] | None = ()
    about_options: str = ""


def list_entries(kind: str) -> list[Entry]:
    """Return the words of a kind in order, those of the project in which a command runs first.

    A file of the project other than a recipe is named by its path, as recipes and commands name it. Raises ConfigError
    for an unknown kind.
    """
    if kind in FAMILIES:
        family, _ = FAMILIES[kind]
        return [Entry(kind, word, path) for word, path in sorted(find_words(family).items())]
    if kind in _FILES:
        return [Entry(kind, word, _FILES[kind]) for word in _list_keys(kind)]
    if kind not in FOLDERS:
        raise ConfigError(f"nothing is called {kind!r}", where="list", hint=did_you_mean(kind, KINDS))
    shipped = shipped_path(*FOLDERS[kind].split("/"))
    own = Path(FOLDERS[kind])
    entries = []
    if own.is_dir() and own.resolve() != shipped.resolve():
        entries = [Entry(kind, path.stem if kind == "recipes" else str(path), path) for path in _list_files(own)]
    taken = {entry.word for entry in entries}
    return [*entries, *(Entry(kind, path.stem, path) for path in _list_files(shipped) if path.stem not in taken)]


def _list_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.yaml") if path.is_file())


def summarise(entry: Entry) -> str:
    """Return what an entry is in one sentence, or why its file does not say."""
    if entry.kind in _FILES:
        return _list_keys(entry.kind)[entry.word]
    try:
        about = _read_docstring(entry.file) if entry.kind in FAMILIES else _read_about(entry)
    except ConfigError as error:
        return f"broken: {error.what}"
    return first_sentence(about)


def first_sentence(text: str) -> str:
    """Return the first sentence of the first paragraph, as one line."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    found = re.match(r".*?[.!?](?=\s|$)", paragraph)
    return found.group() if found else paragraph


def _read_docstring(file: Path) -> str:
    return ast.get_docstring(ast.parse(file.read_bytes())) or ""


def _read_about(entry: Entry) -> str:
    """Return what a file says of itself: under a key, or in the comment at its head."""
    key = _SAYS.get(entry.kind)
    return str(_read_keys(entry.file).get(key, "")) if key else _read_comment(entry.file)


def _read_keys(file: Path) -> Mapping[str, Any]:
    from datagen.documents.reading import read_yaml

    data = read_yaml(file).data
    return data if isinstance(data, dict) else {}


def _read_comment(file: Path) -> str:
    """Return the lines of comment at the head of a file."""
    lines = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return "\n".join(lines)


def explain(word: str) -> list[Explanation]:
    """Return what a word means, of each kind that has it: `counting` is a scorer and a taxonomy.

    A dotted name is a key below one of a recipe, as in `weights.policy`, or a module of the user; a path is a file of
    the project. Raises ConfigError if nothing has that name, PluginError for a module that cannot be imported.
    """
    entries = [entry for kind in KINDS for entry in list_entries(kind)]
    found = [entry for entry in entries if word == entry.word or (entry.kind not in _FILES and word == entry.file.stem)]
    found += [entry for entry in entries if not found and Path(word) == entry.file]
    if found:
        return [_explain_entry(entry) for entry in found]
    inner = dict(_describe_inner())
    if word in inner:
        return [_tell_key(KEYS, word, inner[word])]
    if ("." in word or ":" in word) and "/" not in word:
        try:
            return [_explain_own(word)]
        except PluginError:
            first = word.split(".")[0]
            if first in _list_keys(KEYS) and find_spec(first) is None:
                raise _miss_key(word, inner) from None
            raise
    # A key without the one above it, such as `policy`, or a value of one, such as `rwr`.
    places = [key for key, option in inner.items() if word in (option.name, *option.type.split(" | "))]
    former = f"in `rewards`, write {FORMER[word]}" if word in FORMER else ""
    near = did_you_mean(word, [entry.word for entry in entries])
    below = f"see: {', '.join(f'datagen explain {place}' for place in places)}" if places else ""
    hint = former or below or (near if near.startswith("did you mean") else "see: datagen list")
    raise ConfigError(f"nothing is named {word!r}", where="explain", hint=hint)


def _miss_key(word: str, inner: Mapping[str, Option]) -> ConfigError:
    """Return the error of a dotted key that there is not, though there is the key above it."""
    above = max((key for key in inner if word.startswith(f"{key}.")), key=len, default=word.split(".")[0])
    asked, below = word[len(above) + 1 :], [key[len(above) + 1 :] for key in inner if key.startswith(f"{above}.")]
    hint = did_you_mean(asked, below) or f"see: datagen explain {above}"
    return ConfigError(f"the key {above!r} has none named {asked!r}", where="explain", hint=hint)


def _explain_entry(entry: Entry) -> Explanation:
    if entry.kind in FAMILIES:
        family, needs = FAMILIES[entry.kind]
        return _explain_module(entry.kind, entry.word, load_plugin(family, entry.word, needs))
    if entry.kind in _FILES:
        return _explain_key(entry)
    keys = _read_keys(entry.file)
    said = [_read_comment(entry.file)]
    if entry.kind in ("taxonomies", "lexicons"):
        said += [str(keys[key]).strip() for key in ("title", "why", "about") if keys.get(key)]
    about = "\n\n".join(part for part in said if part)
    return Explanation(entry.kind, entry.word, str(entry.file.absolute()), about, dict(_list_facts(entry.kind, keys)))


def _list_facts(kind: str, keys: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the keys of a file say: the skills of a taxonomy, the words of a lexicon, the keys of a recipe."""
    if kind == "taxonomies":
        skills = keys.get("skills") or []
        yield from ((str(each.get("name")), str(each.get("title", ""))) for each in skills if isinstance(each, dict))
        return
    for key, value in keys.items():
        if kind == "lexicons" and isinstance(value, list):
            yield key, ", ".join(map(_name_word, value))
        elif kind != "lexicons" and key != "version":
            yield key, _write(value)


def _explain_key(entry: Entry) -> Explanation:
    """Explain a key; the keys below a key of a recipe are its options."""
    key = _describe_keys(entry.kind)[entry.word]
    model = find_model(entry.word) if entry.kind == KEYS else None
    options = tuple(describe_options(model)) if model else ()
    about_options = inspect.cleandoc(model.__doc__ or "") if model else ""
    return _tell_key(entry.kind, entry.word, key, options, about_options)


def _tell_key(
    kind: str, word: str, key: Option, options: tuple[Option, ...] = (), about_options: str = ""
) -> Explanation:
    facts = {"value": key.type, "default": key.default}
    return Explanation(kind, word, str(_FILES[kind]), key.about, facts, options, about_options)


def _describe_inner() -> Iterator[tuple[str, Option]]:
    """Yield the keys below those of a recipe, dotted as `--set` takes them."""
    for key in _list_keys(KEYS):
        if model := find_model(key):
            yield from ((f"{key}.{option.name}", option) for option in describe_options(model))


@cache
def _describe_keys(kind: str) -> Mapping[str, Option]:
    return {key.name: key for model in _list_models(kind) for key in describe_options(model)}


def _list_keys(kind: str) -> Mapping[str, str]:
    """Return what each key is; unlike `_describe_keys` this loads no plugin for the default of a key."""
    fields = (item for model in _list_models(kind) for item in model.model_fields.items())
    return {field.alias or name: field.description or "" for name, field in fields}


def _list_models(kind: str) -> tuple[type[BaseModel], ...]:
    if kind == KEYS:
        from datagen.config import Recipe

        return (Recipe,)
    from datagen.taxonomy.models import JoinSlot, ListSlot, RangeSlot, SkillFile, TaxonomyFile, ValuesSlot

    return (TaxonomyFile, SkillFile, ListSlot, JoinSlot, RangeSlot, ValuesSlot)


def find_model(key: str) -> type[BaseModel] | None:
    """Return the model of the keys below a recipe's key, None if it holds a plain value or a plugin."""
    from pydantic import BaseModel

    from datagen.config import Choice, Recipe

    waiting = [Recipe.model_fields[key].annotation]
    while waiting:
        each: Any = waiting.pop()
        if isinstance(each, type) and issubclass(each, BaseModel) and not issubclass(each, Choice):
            return each
        waiting += get_args(each)
    return None


def _name_word(value: Any) -> str:
    return str(next(iter(value.values()))) if isinstance(value, dict) and value else str(value)


def _explain_own(word: str) -> Explanation:
    """Explain a module of the user as what its function makes it."""
    asked = dict.fromkeys(needs for _, needs in FAMILIES.values())
    for needs in asked:
        kinds = [kind for kind, (_, each) in FAMILIES.items() if each == needs]
        try:
            module = load_plugin(FAMILIES[kinds[0]][0], word, needs)
        except PluginError as error:
            if not error.what.endswith(f"has no `{needs}`"):
                raise
        else:
            return replace(_explain_module(kinds[0], word, module), kind=" or ".join(kinds))
    what = f"the module {word!r} is no plugin"
    raise PluginError(what, where=word, hint=f"a plugin defines one of {', '.join(asked)}")


def _explain_module(kind: str, word: str, module: ModuleType) -> Explanation:
    from datagen.config import Family

    family, needs = FAMILIES[kind]
    model = Family(family, needs, closed=family == "rewards").options_of(module)
    facts = {
        name.lower().replace("_", " "): _tell(value)
        for name, value in vars(module).items()
        if _TOLD.fullmatch(name) and isinstance(value, (str, int, frozenset))
    }
    options = None if model is None else tuple(describe_options(model))
    about_options = inspect.cleandoc(model.__doc__ or "") if model and options else ""
    return Explanation(
        kind,
        word,
        getattr(module, "__file__", None) or word,
        inspect.getdoc(module) or "",
        facts,
        options,
        about_options,
    )


def _tell(value: str | int | frozenset[str]) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "no claims: the sample as such"
    return str(value) or "nothing"


def describe_options(model: type[BaseModel]) -> Iterator[Option]:
    """Yield the options of a plugin's model, as its JSON Schema has them."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    for name, found in schema.get("properties", {}).items():
        default = _write(found["default"]) if "default" in found else ""
        if name in schema.get("required", ()):
            default = "required"
        elif not default:
            default = _write(model.model_fields[name].get_default(call_default_factory=True))
        yield Option(name, describe_type(found, definitions), default, str(found.get("description", "")))


def describe_type(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return a JSON Schema's type in words: `integer, 1 to 8`, `gm | am`, `list of text`."""
    if "$ref" in schema:
        return describe_type(definitions.get(schema["$ref"].rpartition("/")[2], {}), definitions)
    if "enum" in schema or "const" in schema:
        return " | ".join(_write(each) for each in schema.get("enum", [schema.get("const")]))
    if either := schema.get("anyOf") or schema.get("oneOf"):
        if any(each.get("pattern") == OWN_WORD for each in either):
            return "word | mapping"
        return " | ".join(dict.fromkeys(describe_type(each, definitions) for each in either))
    kind = {"string": "text", "boolean": "true | false", "object": "mapping", "null": "null"}.get(
        schema.get("type", ""), schema.get("type", "anything")
    )
    if kind == "array":
        items = schema.get("items") or next(iter(schema.get("prefixItems", [])), None)
        return f"list of {describe_type(items, definitions)}" if items else "list"
    if kind == "text" and schema.get("format") in ("path", "file-path", "directory-path"):
        return {"file-path": "file", "directory-path": "folder"}.get(schema["format"], "path")
    return f"{kind}{_describe_bounds(schema)}"


def _describe_bounds(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if least is not None and most is not None:
        return f", {_show_number(least)} to {_show_number(most)}"
    parts = ((least, "at least"), (above, "above"), (most, "at most"), (below, "below"))
    return "".join(f", {words} {_show_number(value)}" for value, words in parts if value is not None)


def _show_number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _write(value: Any) -> str:
    """Return a plain value on one line, as YAML has it."""
    from pydantic_core import to_jsonable_python

    from datagen.documents.reading import dump_yaml

    plain = to_jsonable_python(value, fallback=str)
    text = dump_yaml(plain, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def noun_of_kind(kind: str) -> str:
    """Return the singular of a kind: `scorer` of `scorers`."""
    return noun_of(FAMILIES[kind][0]) if kind in FAMILIES else _SINGULAR.get(kind, kind.removesuffix("s"))


def complete_word(kinds: Iterable[str], begin: str) -> list[str]:
    """Return what a shell may complete a word to, sorted: the words of some kinds, of `runs` too, that begin so.

    Only names that mean the same in every shell when they are written as they are.
    """
    names = {name for kind in kinds for name in (_list_runs() if kind == "runs" else _list_words(kind))}
    return sorted(name for name in names if name.startswith(begin) and re.fullmatch(r"[\w./+@%-]+", name, re.ASCII))


def complete_key(begin: str) -> list[str]:
    """Return the keys of a recipe that begin so, sorted, dotted as `--set` takes them: `weights.policy`."""
    from datagen.config import Recipe

    # What is under `exports` and `limits` is named by whoever writes the recipe.
    fields = Recipe.model_fields.items()
    models = {key: None if get_origin(field.annotation) is dict else find_model(key) for key, field in fields}
    names = [*models, *(f"{key}.{name}" for key, model in models.items() if model for name in model.model_fields)]
    return sorted(name for name in names if name.startswith(begin))


def _list_runs() -> list[str]:
    return [path.parent.name for path in Path("outputs").glob("*/run.yaml")]


def _list_words(kind: str) -> list[str]:
    return [entry.word for entry in list_entries(kind)]
