"""The program: its commands in the order of `--help`, and how to call it from here.

A command that is printed works as it stands: `datagen build` where `datagen` is on the path, else
`.venv/bin/datagen build` or `.venv/bin/python -m datagen build`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

NAME = "datagen"
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Make": (
        *("init", "new", "check", "preview", "studio", "plan", "doctor"),
        *("build", "prompts", "generate", "score", "weigh", "export"),
        *("report", "schema", "geneval", "slurm"),
    ),
    "Look": ("list", "explain", "status", "view", "diff", "sample", "mark", "regen"),
    "Share": ("push", "append", "pull"),
    "Train": ("train", "loop", "experiment"),
    "Measure": ("diagnose", "audit", "bench"),
}
"""All commands by what they are for."""
_OURS = re.compile(
    rf"(?<![\w/.-])(?<!-m ){NAME} (?=(?:{'|'.join(word for words in GROUPS.values() for word in words)})\b)"
)


def command(*words: object, folder: str | Path = ".") -> str:
    """Return a command line of this program that works in a folder; words that need it are quoted."""
    return " ".join([_call(folder), *(shlex.quote(str(word)) for word in words)])


def from_here(text: str) -> str:
    """Return a sentence as it holds here: its commands, written `datagen export RUN`, as this program was called, and
    its paths as `shorten_paths` tells them."""
    return _OURS.sub(lambda _: f"{_call()} ", shorten_paths(text))


def shorten_paths(text: str) -> str:
    """Return a text with the paths below the working directory told from there; others stay as they are."""
    here = Path.cwd()
    if here == Path("/") or str(here) not in text:
        return text
    return re.sub(rf"(?<![\w/:.]){re.escape(str(here))}/(?=[^\s/])", "", text)


def _call(folder: str | Path = ".") -> str:
    """Return how this program is called from a folder; by its name, where nothing else is known."""
    script = Path(sys.argv[0])
    is_module = script.name == "__main__.py" and script.parent.name == NAME
    if not is_module and (script.name != NAME or os.sep not in sys.argv[0]):
        return NAME
    file = os.path.abspath(sys.executable if is_module else script)  # not resolved: a venv links to its Python
    found = shutil.which(os.path.basename(file))
    if found and os.path.abspath(found) == file:
        shown = os.path.basename(file)
    elif Path(file).is_relative_to(Path.cwd()):
        shown = os.path.relpath(file, folder)
        shown = shown if os.sep in shown else f".{os.sep}{shown}"
    else:
        shown = file
    return shlex.quote(shown) + (f" -m {NAME}" if is_module else "")
