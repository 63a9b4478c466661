"""Plugins: a word in a YAML file names a module, and there is no registry.

`counting` in `rewards:` is the file `counting.py` below `datagen/rewards/`; `my_pkg.sharpness` is a module of the
user, and `my_pkg.looks:sharpness` a function or class in one, which stands for a module (`_stand_for`). A file with a
leading `_` is not a plugin.

`__main__:sharpness` is defined in the notebook or script that is running (`HERE`). No other process can import it.

Shipped taxonomies, templates and recipes lie beside the package in a checkout, where people read and change them; an
installed wheel carries a copy in `datagen/_shipped/` (`shipped_path`).
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import linecache
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any, TypeVar

from datagen.errors import ConfigError, DatagenError, PluginError, did_you_mean
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
    name, colon, inner = word.partition(":")
    if not colon and "." not in word:
        if word not in known:
            hint = f"write {FORMER[word]}" if family == "rewards" and word in FORMER else did_you_mean(word, known)
            if Path(f"{word}.py").is_file():
                hint = f"for {word}.py write {word}:NAME, with the name of a function or class in it"
            raise PluginError(f"no {noun_of(family)} named {word!r}", hint=hint)
        name = _name_module(known[word])
    module = attempt(lambda: importlib.import_module(name))
    if isinstance(module, Failed):
        error = module.error
        lost = isinstance(error, ModuleNotFoundError) and name.startswith(str(error.name))
        hint = f"is {name!r} on PYTHONPATH?" if lost else "the fault is in that module, or in one that it imports"
        place = "" if lost else find_own_line(error)
        why = f"{place}: {_explain_import(module)}" if place else _explain_import(module)
        raise PluginError(f"the {noun_of(family)} {word!r} cannot be imported: {why}", hint=hint) from error
    if colon:
        thing = _find_inner(module, inner)
        if not callable(thing):
            raise _explain_missing(family, word)
        module = _stand_for(thing, word, needs)
    if not hasattr(module, needs):
        what, hint = f"the {noun_of(family)} {word!r} has no `{needs}`", f"define `{needs}` in that module"
        raise PluginError(what, where=name, hint=hint)
    return module


def _name_module(file: Path) -> str:
    parts = file.relative_to(_OURS.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


OWN_WORD = r"[.:]"
"""Pattern of the word of a module, function or class of one's own; no shipped word has one of these."""
HERE = "__main__:"
"""How words begin that only the running notebook or script knows."""


def name_own(thing: object) -> str:
    """Return the word of a module, function or class of the user, such as `my_pkg.looks:sharpness`.

    Raises ConfigError for what cannot be found again by that word: a lambda, a function inside a function, an object,
    and one of `__main__` of which Python does not know the source, since its changes could not be seen.
    """
    if isinstance(thing, ModuleType):
        return thing.__name__
    module, name = getattr(thing, "__module__", ""), getattr(thing, "__qualname__", "")
    if not name:
        what = f"an object of {type(thing).__name__} cannot stand in a recipe"
        raise ConfigError(what, hint="give a plain value, a word, or a function or class of your own")
    word, found = f"{module}:{name}", _find_inner(sys.modules.get(module), name)
    if found is None:
        hint = "define it with `def` or `class` at the top level of a module or notebook"
        raise ConfigError(f"{name!r} cannot be found again by its name", where=module, hint=hint)
    if found is not thing:
        hint = f"`{name}` was defined again since: give the newest"
        raise ConfigError(f"{name!r} is not what that name means now", where=module, hint=hint)
    if word.startswith(HERE) and not read_source(word):
        what = f"the source of {name!r} is not known, so its changes could not be seen"
        raise ConfigError(what, hint="define it in a file or a notebook")
    return word


def read_source(word: str) -> str:
    """Return the source of a function or class of the running notebook or script, empty if it is not known."""
    thing = _find_inner(sys.modules.get("__main__"), word.removeprefix(HERE))
    if isinstance(thing, type):
        return _read_class(thing)
    try:
        return inspect.getsource(thing) if callable(thing) else ""
    except (OSError, TypeError):
        return ""


def _read_class(thing: type) -> str:
    """Return the source of a class by the place of its methods: `inspect` finds none for a class of a notebook."""
    for method in filter(inspect.isfunction, vars(thing).values()):
        text, line = "".join(linecache.getlines(method.__code__.co_filename)), method.__code__.co_firstlineno
        try:
            nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
        except SyntaxError:
            continue
        for node in nodes:
            if node.name == thing.__name__ and node.lineno <= line <= (node.end_lineno or 0):
                return ast.get_source_segment(text, node) or ""
    return ""


def _find_inner(module: ModuleType | None, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _explain_missing(family: str, word: str) -> PluginError:
    name, _, inner = word.partition(":")
    if not word.startswith(HERE):
        return PluginError(f"the {noun_of(family)} {word!r} is not there", where=name, hint=f"define `{inner}` in it")
    what = f"the {noun_of(family)} {inner!r} was defined in a notebook or script, and is known only where it runs"
    hint = f"go on there, or move it to a module of its own and name it MODULE:{inner}"
    if family == "rewards":
        return PluginError(what, hint=f"{hint}: datagen score RUN --set rewards=[…]")
    return PluginError(what, hint=f"{hint} in another run")


@lru_cache(maxsize=256)
def _stand_for(thing: Callable[..., Any], word: str, needs: str) -> ModuleType:
    """Return a function or class as the module that it stands for; its public attributes are those of the module.

    What a module `build`s is what a class or function returns for the options as keywords. Else a function is what the
    module `needs`, such as `score`, and a class is made without arguments, when one of its methods is first called. A
    scorer judges the image as such unless it has `TARGET` and `JUDGES`.
    """
    module = ModuleType(word, thing.__doc__)
    own = {name: getattr(thing, name) for name in dir(thing) if not name.startswith("_")}
    if needs == "score":
        own = {"TARGET": "image", "JUDGES": frozenset(), **own}
    if needs == "build":
        own["build"] = lambda options: thing(**options)
    elif not isinstance(thing, type):
        own[needs] = thing
    else:
        make = lru_cache(maxsize=1)(thing)
        methods = [name for name, value in own.items() if inspect.isfunction(value)]
        own |= {name: partial(_call_method, make, name) for name in methods}
    module.__dict__.update(own)
    return module


def _call_method(make: Callable[[], object], name: str, *args: Any, **options: Any) -> Any:
    return getattr(make(), name)(*args, **options)


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
    the version of datagen covers it, and none what is defined `HERE`. For an installed module, only its own package
    counts.
    """
    word, colon, _ = word.partition(":")
    if word == "__main__" or not (colon or "." in word):
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
