"""The pages of the site that are generated from the code: `write_reference(folder)` writes them as Markdown.

What they say stands in the code: in `datagen.catalog`, which `datagen list` and `datagen explain` print too, in the
models of user-written files, in the command line, in docstrings.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic import BaseModel

import datagen
from datagen import errors, program
from datagen.catalog import (
    FAMILIES,
    FOLDERS,
    Option,
    describe_options,
    explain,
    find_model,
    list_entries,
    noun_of_kind,
    summarise,
)
from datagen.cli import app
from datagen.config import Recipe
from datagen.experiment import Experiment
from datagen.taxonomy.models import LexiconFile, TaxonomyFile


def write_reference(folder: Path) -> dict[str, str]:
    """Write every page anew and return their titles by file name, in the order of the site."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    titles = {}
    for name, (title, write) in PAGES.items():
        text = f"# {title}\n\n" + "\n".join(write())
        (folder / f"{name}.md").write_text(_finish(text), encoding="utf-8")
        titles[name] = title
    return titles


def write_keys() -> Iterator[str]:
    """Yield the keys of a recipe, then the keys below each."""
    yield "`datagen explain KEY` prints the same; `datagen schema DIR` writes it for editors. What the keys are for:"
    yield "docs/recipes.md. *word* is a name that `datagen list` shows, or `my_package.module`; *mapping* is that name"
    yield "with options: `{name: text, metric: mario}`.\n"
    yield from _table(describe_options(Recipe))
    for key in Recipe.model_fields:
        if model := find_model(key):
            yield f"\n## `{key}`\n"
            yield from _describe_model(model)


def write_files() -> Iterator[str]:
    """Yield the keys of the other files that people write."""
    yield "`datagen check` names every fault with its line; `datagen studio` completes these keys as you type.\n"
    files = {"A taxonomy": TaxonomyFile, "A lexicon": LexiconFile, "An experiment": Experiment}
    for title, model in files.items():
        yield f"\n## {title}\n"
        yield from _describe_model(model)


def write_kind(kind: str) -> Callable[[], Iterator[str]]:
    """Return what yields everything that is known of the words of a kind of plugin."""

    def write() -> Iterator[str]:
        yield f"`datagen explain WORD` prints the same. `datagen list {kind}` lists them:\n"
        entries = list_entries(kind)
        yield "| word | |\n|---|---|"
        yield from (f"| [`{entry.word}`](#{entry.word}) | {_cell(summarise(entry))} |" for entry in entries)
        for entry in entries:
            (known,) = [each for each in explain(entry.word) if each.kind == kind]
            yield f"\n## {entry.word}\n\n{known.about}\n"
            yield from (f"* {name}: {value}" for name, value in known.facts.items())
            if known.options:
                yield f"\n{known.about_options}\n"
                yield from _table(known.options)
            elif known.options is None:
                yield "\nOptions: those named above."

    return write


def write_shipped() -> Iterator[str]:
    """Yield the files that ship, by kind."""
    for kind in FOLDERS:
        yield f"\n## {kind.capitalize()}\n\n| {noun_of_kind(kind)} | |\n|---|---|"
        yield from (f"| `{entry.word}` | {_cell(summarise(entry))} |" for entry in list_entries(kind))


def write_errors() -> Iterator[str]:
    """Yield the exit codes, and the tree of errors."""
    yield f"{EXITS}\n## Errors\n"
    yield _document(errors)
    for name, error in vars(errors).items():
        if isinstance(error, type) and issubclass(error, errors.DatagenError):
            yield f"\n### {name}\n\n{inspect.getdoc(error)}"


EXITS = """\
| exit code | means |
|---|---|
| 0 | done, or paused at a limit that you set; the last line says how to go on |
| 1 | an error: what is wrong, where, and what to do; `check` found errors |
| 2 | a wrong command line |
| 130 | stopped by Ctrl-C; the same command goes on |

A traceback is shown only with `--debug`. With `--json`, standard output holds one value or nothing.
"""


def write_commands() -> Iterator[str]:
    """Yield each command with its arguments and options, in the order of `datagen --help`."""
    commands: Mapping[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for group, words in program.GROUPS.items():
        yield f"\n## {group}\n"
        for word in words:
            inner = getattr(commands[word], "commands", {})
            below = {f"{word} {each}": command for each, command in inner.items()} or {word: commands[word]}
            for name, command in below.items():
                yield from _describe_command(name, command)


def _describe_command(name: str, command: Any) -> Iterator[str]:
    context = typer.Context(command, info_name=f"datagen {name}")
    yield f"\n### datagen {name}\n\n```\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    yield f"{inspect.cleandoc(command.help or '')}\n"
    found = [each.get_help_record(context) for each in command.params]
    rows = [(what, text) for what, text in filter(None, found)]
    if rows:
        yield "| | |\n|---|---|"
        yield from (f"| `{what}` | {_cell(text)} |" for what, text in rows)


def write_python() -> Iterator[str]:
    """Yield what `import datagen as dg` has: functions, and classes with their members."""
    yield "How to use it: docs/python.md.\n"
    for name in datagen.__all__:
        thing = getattr(datagen, name)
        if isinstance(thing, type) and issubclass(thing, errors.DatagenError):
            continue
        if not isinstance(thing, type):
            yield f"\n## dg.{name}\n\n```python\n{name}{_sign(thing)}\n```\n\n{_document(thing)}"
            continue
        yield f"\n## dg.{name}\n\n{_document(thing)}\n"
        if dataclasses.is_dataclass(thing):
            yield "```python"
            yield from (
                f"{each.name}: {each.type}" for each in dataclasses.fields(thing) if not each.name.startswith("_")
            )
            yield "```\n"
        for member, value in vars(thing).items():
            if not member.startswith("_") and not member.startswith("model_") and (text := inspect.getdoc(value)):
                yield from _describe_member(member, value, text)


def _describe_member(name: str, value: Any, text: str) -> Iterator[str]:
    function = getattr(value, "__func__", value)
    if isinstance(value, property):
        yield f"`{name}`\n: {_indent(text)}\n"
    elif inspect.isfunction(function):
        yield f"`{name}{_sign(function)}`\n: {_indent(text)}\n"


def _sign(function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    named = [each for each in signature.parameters.values() if each.name not in ("self", "cls")]
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(signature.replace(parameters=named)))


def _indent(text: str) -> str:
    return text.replace("\n", "\n  ")


def _describe_model(model: type[BaseModel]) -> Iterator[str]:
    """Yield what a model says of itself, its keys, and then the models below it."""
    yield f"{inspect.getdoc(model)}\n"
    yield from _table(describe_options(model))
    for name, each in model.model_fields.items():
        for inner in dict.fromkeys(_find_models(each.annotation)):
            yield f"\n**Below `{name}`**: {inspect.getdoc(inner)}\n"
            yield from _table(describe_options(inner))
            yield ""


def _find_models(annotation: Any) -> Iterator[type[BaseModel]]:
    from datagen.config import Choice

    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and not issubclass(annotation, Choice):
        yield annotation
    for each in get_args(annotation):
        yield from _find_models(each)


def _table(options: Iterable[Option]) -> Iterator[str]:
    yield "| key | what it is, its value, its default |\n|---|---|"
    for each in options:
        default = "required" if each.default == "required" else f"default `{each.default}`" if each.default else ""
        told = "; ".join(part for part in (f"*{each.type}*", default) if part)
        yield f"| `{each.name}` | {_cell(f'{each.about}: {told}' if each.about else told)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _document(thing: object) -> str:
    return inspect.getdoc(thing) or ""


def _finish(text: str) -> str:
    """Return a text with the pages that it names as links, and paths of this repository told from its root."""
    text = text.replace(f"{Path(datagen.__file__).parent.parent}/", "")
    return re.sub(r"(?<![\w/(\[])docs/(\w+)\.md", r"[\1](../\1.md)", text)


PAGES: Mapping[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "keys": ("Keys of a recipe", write_keys),
    "files": ("Keys of taxonomies, lexicons and experiments", write_files),
    **{kind: (kind.capitalize(), write_kind(kind)) for kind in FAMILIES},
    "shipped": ("Recipes, taxonomies, lexicons and experiments that ship", write_shipped),
    "commands": ("Commands", write_commands),
    "errors": ("Errors and exit codes", write_errors),
    "python": ("Python", write_python),
}
"""The pages by file name, in the order of the site: title, and what yields the text."""


if __name__ == "__main__":
    write_reference(Path(__file__).parent / "reference")
