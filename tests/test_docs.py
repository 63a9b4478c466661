"""Every block of code in README.md and docs/ runs, or says above itself why it does not; what does not run is checked.

A block is run by the language at its fence: `sh`, `console` (its output is compared, `…` stands for anything) and
`python`, in the order of the page, in a folder of its own. A block whose first line names a file is written there.
Commands are checked against the command line, YAML against the models of user-written files.
"""

from __future__ import annotations

import ast
import csv
import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from datagen.cli import app
from datagen.config import Recipe
from datagen.documents.checking import check_model
from datagen.documents.reading import parse_yaml
from datagen.experiment import Experiment
from datagen.plugins import FORMER, known_words
from datagen.taxonomy.models import SkillFile, TaxonomyFile
from tests.helpers.pages import PAGES, Block, read_blocks, read_spans, split_commands
from tests.helpers.runs import ROOT, environment, run_cli

BLOCKS = [block for page in PAGES for block in read_blocks(page)]
RUN = ("sh", "console", "python")
DATA = ("yaml", "json", "csv", "jinja", "text")
COMMANDS: Any = typer.main.get_command(app)
FOREIGN = {"git", "cd", ".", "sed", "mv", "sbatch", "srun", "ray", "jq", "docker", "jupyter"}


def is_run(block: Block) -> bool:
    return block.language in RUN and not block.note.startswith(("not run: ", "run by "))


def test_every_page_stands_in_the_index() -> None:
    named = re.findall(r"\]\((\w+)\.md\)", (ROOT / "docs/index.md").read_text(encoding="utf-8"))
    assert sorted(named) == sorted(page.stem for page in (ROOT / "docs").glob("*.md") if page.stem != "index")


def test_every_block_is_found_and_has_a_language() -> None:
    fences = sum(
        line.lstrip().startswith("```") for page in PAGES for line in page.read_text(encoding="utf-8").splitlines()
    )
    assert fences == 2 * len(BLOCKS)
    assert [str(block) for block in BLOCKS if block.language not in (*RUN, *DATA)] == []


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.note], ids=str)
def test_a_note_says_how_a_block_is_run_or_why_not(block: Block) -> None:
    if block.note.startswith("run by "):
        file = ROOT / block.note.removeprefix("run by ")
        assert block.page.name in file.read_text(encoding="utf-8")
    elif block.note.startswith("run with "):
        assert block.as_run != block.text
    else:
        assert re.fullmatch(r"(not run|not ours): \w.+", block.note)


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run of the recipe quickstart."""
    folder = tmp_path_factory.mktemp("quickstart")
    done = run_cli("build", "--set", "prompts=12", "--set", "candidates=2", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "outputs/quickstart"


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A path on which `datagen` and `python` are those of the tests."""
    folder = tmp_path_factory.mktemp("bin")
    for name, words in (("datagen", "-m datagen "), ("python", "")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(map(is_run, read_blocks(page)))], ids=lambda page: page.stem
)
def test_what_a_page_shows_runs(page: Path, tmp_path: Path, quickstart: Path, path: str) -> None:
    for name in ("quickstart", "run"):
        shutil.copytree(quickstart, tmp_path / "outputs" / name)
    here, cells = tmp_path, ""
    for block in read_blocks(page):
        if block.file:
            (here / block.file).write_text(block.text, encoding="utf-8")
        if block.file or not is_run(block):
            continue
        if block.language == "python":
            cells += block.as_run
        elif block.language == "sh":
            told = run_words(["bash", "-ec", f"{block.as_run}\necho; pwd"], here, path)
            here = Path(told.splitlines()[-1])
        else:
            for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
                told = run_words(["bash", "-c", command], here, path, fails=" error, " in shown or " errors, " in shown)
                pattern = re.escape(shown).replace("…", "(?s:.*?)")
                assert re.fullmatch(pattern, told), f"{block}: {command} told\n{told}"
    if cells:
        run_words([sys.executable, "-c", cells], here, path)


def run_words(words: list[str], here: Path, path: str, *, fails: bool = False) -> str:
    """What a command told, on both streams."""
    env = {**environment(), "PATH": path}
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(words, cwd=here, env=env, timeout=300, **streams)
    assert (done.returncode != 0) == fails, done.stdout
    return str(done.stdout)


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language in ("sh", "console")], ids=str)
def test_the_commands_of_a_block_exist(block: Block) -> None:
    text = block.text
    if block.language == "console":
        text = "\n".join(line for line in text.splitlines() if line.startswith("$ "))
    for words in split_commands(text):
        check_command(words)


def check_command(words: list[str]) -> None:
    """Raise if a command names a command, option, target, extra or file that is not there."""
    word, *rest = words
    if word == "datagen":
        command, name = COMMANDS, ""
        while hasattr(command, "commands"):
            name, *rest = rest
            assert name in command.commands, words
            command = command.commands[name]
        values = ["1" if re.fullmatch("[A-Z]", each) else each for each in rest]
        command.make_context(name, values)
    elif word == "make":
        assert all(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE) for target in rest)
    elif word == "pip":
        extras = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
        named = [extra for each in rest for extra in re.findall(r"datagen\[(\w+)\]", each)]
        assert set(named) <= set(extras)
    elif word == "python" and rest[0] == "-m":
        assert importlib.util.find_spec(rest[1]) is not None
    elif word == "python":
        assert (ROOT / rest[0]).is_file()
    else:
        assert word in FOREIGN, words


@pytest.mark.parametrize("page", [page for page in PAGES if read_spans(page)], ids=lambda page: page.stem)
def test_the_commands_that_a_page_names_exist(page: Path) -> None:
    for span in read_spans(page):
        _, name, *rest = span.split()
        if not name[0].isalpha() or name.isupper():
            continue
        assert name in COMMANDS.commands, span
        command = COMMANDS.commands[name]
        if hasattr(command, "commands") and rest and rest[0] in command.commands:
            command = command.commands[rest[0]]
        known = {option for each in command.params for option in each.opts} | {"--help", "--debug"}
        named = re.findall(r"(?<!\S)\[?(--?[a-z][\w-]*)", " ".join(rest))
        assert set(named) <= known, span


EVERY = [word for word in known_words("rewards") if word not in ("compbench", "http")] + [
    yaml.safe_load(each) for each in FORMER.values()
]
"""Every scorer that can stand without further options, for expressions that name some."""


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language == "yaml"], ids=str)
def test_yaml_is_valid(block: Block) -> None:
    if block.note.startswith("not ours: "):
        assert yaml.safe_load(block.text)
        return
    keys = re.findall(r"^(\w+):", block.text, re.MULTILINE)
    # Lines with the same key are alternatives.
    for text in [block.text] if len(set(keys)) == len(keys) else block.text.splitlines():
        check_yaml(text, str(block))


def check_yaml(text: str, where: str) -> None:
    """Raise if a file or a part of one is wrong: an experiment, a taxonomy, a skill, or keys of a recipe."""
    document = parse_yaml(text, where)
    assert not document.problems
    data = document.data
    if "question" in data or "skills" in data:
        _, problems = check_model(document, Experiment if "question" in data else TaxonomyFile)
        assert problems == []
    elif "slots" in data:
        SkillFile.model_validate({"name": "some", "title": "Some", **data})
    else:
        rewards = {"rewards": EVERY} if {"aggregate", "limits"} & {*data} and "rewards" not in data else {}
        taxonomy = {} if "source" in {*data, *(data.get("backend") or {})} else {"taxonomy": ["counting"]}
        Recipe.load({**taxonomy, **rewards, **data})


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language in ("json", "csv")], ids=str)
def test_data_is_whole(block: Block) -> None:
    if block.language == "json":
        assert json.loads(block.text)
    else:
        head, *rows = csv.reader(block.text.splitlines())
        assert rows
        assert {len(row) for row in rows} == {len(head)}


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language == "python"], ids=str)
def test_what_python_imports_from_datagen_is_there(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("datagen"):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, each.name) for each in node.names)
