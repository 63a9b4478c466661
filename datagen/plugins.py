"""Plugins: a word in a YAML file names a module, and there is no registry.

`counting` in `rewards:` is the file `counting.py` below `datagen/rewards/`; `my_pkg.sharpness` is a module of the
user. A file with a leading `_` is not a plugin.

Shipped taxonomies, templates and recipes lie beside the package in a checkout, where people read and change them; an
installed wheel carries a copy in `datagen/_shipped/` (`shipped_path`).
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import ModuleType
from typing import TypeVar

from datagen.errors import DatagenError, PluginError, did_you_mean
from datagen.interrupts import is_ctrl_c
from datagen.records import storable

Answer = TypeVar("Answer")
_OURS = Path(__file__).resolve().parent
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")

FORMER = {
    "compbench_3in1": "{name: compbench, metric: 3in1}",
    "compbench_attribute": "{name: compbench, metric: attribute}",
    "compbench_numeracy": "{name: compbench, metric: numeracy}",
    "compbench_spatial": "{name: compbench, metric: spatial}",
    "format_brief": "{name: format, brief: true}",
    "geneval_strict": "{name: geneval, strict: true}",
    "got_layout_judge": "{name: got_layout, judge: true}",
    "preference_wins": "{name: preference, wins: true}",
    "question_graph_cascade": "{name: question_graph, cascade: true}",
    "soft_tifa_am": "{name: soft_tifa, mean: am}",
    "soft_tifa_gm": "{name: soft_tifa, mean: gm}",
    "text_cvtg": "{name: text, metric: cvtg}",
    "text_flow_grpo": "{name: text, metric: flow_grpo}",
    "text_longtext": "{name: text, metric: longtext}",
    "text_mario": "{name: text, metric: mario}",
    "text_oneig": "{name: text, metric: oneig}",
    "text_tiif": "{name: text, metric: tiif}",
    "vqascore": "{name: vqa, form: vqascore}",
}
"""Former words of `rewards`, from before scorers took options, and how each is written now."""


def known_words(family: str) -> list[str]:
    """Return the shipped plugin names of a family (`backends`, `rewards`, `vision.detectors`, …), sorted."""
    return sorted(find_words(family))


def find_words(family: str) -> dict[str, Path]:
    """Return the file of each word of a family, including the subfolders of `rewards`. Imports nothing.

    Folders only sort: a word is the file's name alone, and is unique.
    """
    words: dict[str, Path] = {}
    for path in _OURS.joinpath(*family.split(".")).iterdir():
        file = path / "__init__.py" if path.is_dir() else path
        if path.name.startswith("_") or file.suffix != ".py" or not file.is_file():
            continue
        if family == "rewards" and path.is_dir():
            words |= find_words(f"{family}.{path.name}")
        else:
            words[path.stem] = file
    return words


def noun_of(family: str) -> str:
    """Return the noun for a plugin of a family: `backend`, `scorer`, `detector`."""
    return "scorer" if family == "rewards" else family.rpartition(".")[2].removesuffix("s")


def load_plugin(family: str, word: str, needs: str) -> ModuleType:
    """Import the module that `word` names and check that it has the attribute `needs`.

    Raises PluginError for an unknown word, a module that fails to import, or one without `needs`.
    """
    known = find_words(family)
    if "." not in word and word not in known:
        former = f"write {FORMER[word]}" if family == "rewards" and word in FORMER else ""
        raise PluginError(f"no {noun_of(family)} named {word!r}", hint=former or did_you_mean(word, known))
    name = word if "." in word else _name_module(known[word])
    module = attempt(lambda: importlib.import_module(name))
    if isinstance(module, Failed):
        error = module.error
        lost = isinstance(error, ModuleNotFoundError) and name.startswith(str(error.name))
        hint = f"is {name!r} on PYTHONPATH?" if lost else "the fault is in that module, or in one that it imports"
        place = "" if lost else find_own_line(error)
        why = f"{place}: {_explain_import(module)}" if place else _explain_import(module)
        raise PluginError(f"the {noun_of(family)} {word!r} cannot be imported: {why}", hint=hint) from error
    if not hasattr(module, needs):
        what, hint = f"the {noun_of(family)} {word!r} has no `{needs}`", f"define `{needs}` in that module"
        raise PluginError(what, where=name, hint=hint)
    return module


def _name_module(file: Path) -> str:
    parts = file.relative_to(_OURS.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _explain_import(failed: Failed) -> str:
    error = failed.error
    if isinstance(error, SystemExit):
        return f"it calls exit({error})"
    if isinstance(error, SyntaxError):
        return error.msg
    return str(error) if isinstance(error, ImportError) else failed.text


@dataclass(frozen=True, slots=True)
class Failed:
    """An exception of a plugin: its text, and the place in the plugin's code."""

    error: BaseException
    text: str
    place: str


def attempt(call: Callable[[], Answer]) -> Answer | Failed:
    """Call plugin code and return its exception as a value, also one that would end the program.

    The only broad `except` beside that of the command line. What datagen raises on purpose goes on, and so does Ctrl-C.
    """
    try:
        return call()
    except DatagenError:
        raise
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        trace = error.__traceback__
        # The innermost frame: where in the plugin it happened.
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}" if trace else ""
        first = without_addresses((str(error).splitlines() or [""])[0])
        return Failed(error, f"{type(error).__name__}: {first}" if first else type(error).__name__, place)


def without_addresses(text: str) -> str:
    """Return what a plugin said without addresses in memory, which differ between runs, and as it can be stored."""
    return storable(_ADDRESS.sub("", text))


_INSTALLED = ("site-packages", "dist-packages")
_CODE = (".py", ".so", ".pyd")


def find_own_line(error: BaseException) -> str:
    """Return `FILE:LINE` of a user's module in which an error arose, or `""` if it arose in datagen itself.

    A syntax error stands where the parser found it. Code of installed packages and of Python counts for its caller.
    """
    if isinstance(error, SyntaxError) and error.filename and not Path(error.filename).is_relative_to(_OURS):
        return f"{error.filename}:{error.lineno}"
    libraries = Path(sysconfig.get_paths()["stdlib"])
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(_OURS):
            return ""
        if path.is_file() and not path.is_relative_to(libraries) and not set(_INSTALLED) & set(path.parts):
            return f"{path}:{frame.lineno}"
    return ""


def list_sources(word: str) -> dict[str, Path]:
    """Return the files of a user's module, and of all modules that it imports from the same project, by their path.

    Paths are relative to the folder in which the module's package lies. Imports are parsed, not executed: imports
    inside functions count, imports by a computed name and data files do not. A shipped word has no files here, since
    the version of datagen covers it. For an installed module, only its own package counts.
    """
    if "." not in word:
        return {}
    spec = attempt(lambda: importlib.util.find_spec(word))  # imports the packages around it; `load_plugin` says why not
    if spec is None or isinstance(spec, Failed) or spec.origin is None or not Path(spec.origin).is_file():
        return {}
    file = Path(spec.origin).absolute()
    # Up one folder for each dot of the word, and one more for the `__init__.py` of a package.
    root = file.parents[word.count(".") + (file.stem == "__init__")]
    found: dict[str, Path] = {}
    waiting = [word]
    while waiting:
        name = waiting.pop()
        if root.name in _INSTALLED and name.split(".")[0] != word.split(".")[0]:
            continue
        for path in _find_files(root, name):
            label = path.relative_to(root).as_posix()
            if label not in found and not path.resolve().is_relative_to(_OURS):
                found[label] = path
                waiting += _list_imports(path, label)
    return dict(sorted(found.items()))


def _find_files(root: Path, name: str) -> Iterator[Path]:
    """Yield the file of a module below a folder and the `__init__.py` of the packages around it, where they exist."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:count])
        if (package := place / "__init__.py").is_file():
            yield package
        elif count == len(parts) and place.parent.is_dir():
            yield from (path for path in sorted(place.parent.glob(f"{place.name}.*")) if path.suffix in _CODE)


def _list_imports(path: Path, label: str) -> list[str]:
    """Return the names that a Python file imports; `from a import b` gives both `a` and `a.b`."""
    if path.suffix != ".py":
        return []
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []  # the import itself will fail with a message; the file's hash counts anyway
    package = PurePath(label).parent.parts
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            whole = ".".join([*base, *(node.module.split(".") if node.module else [])])
            names += [whole, *(f"{whole}.{alias.name}" for alias in node.names if alias.name != "*")]
    return [name.strip(".") for name in names if name.strip(".")]


def shipped_path(*parts: str) -> Path:
    """Return the path of a shipped file or folder, such as `shipped_path("taxonomies", "counting.yaml")`.

    The path is not checked; opening it fails if it is missing.
    """
    installed = _OURS / "_shipped"
    return (installed if installed.is_dir() else _OURS.parent).joinpath(*parts)
