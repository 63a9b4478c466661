"""`datagen list` and `datagen explain`: what they say is what the plugins say of themselves."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from typer.testing import CliRunner

from datagen.catalog import (
    FAMILIES,
    KINDS,
    Entry,
    describe_options,
    explain,
    find_model,
    first_sentence,
    list_entries,
    summarise,
)
from datagen.cli import app
from datagen.config import Family, Policy, Recipe
from datagen.errors import ConfigError, PluginError
from datagen.plugins import known_words, load_plugin
from tests.helpers.runs import environment, run_cli


def call(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("kind", KINDS)
def test_every_word_is_listed_on_one_line_that_says_what_it_is(kind: str) -> None:
    lines = call("list", kind).splitlines()
    assert lines[0] == kind
    assert len(lines) == len(list_entries(kind)) + 1
    for line, entry in zip(lines[1:], list_entries(kind), strict=True):
        word, _, about = line.strip().partition(" ")
        assert word == entry.word
        assert about.strip() == summarise(entry) != ""
        assert "broken" not in about


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_words_of_a_family_are_those_that_a_recipe_takes(kind: str) -> None:
    assert [entry.word for entry in list_entries(kind)] == known_words(FAMILIES[kind][0])


@pytest.mark.parametrize("entry", [each for kind in KINDS for each in list_entries(kind)], ids=lambda each: each.word)
def test_every_word_is_explained_with_its_own_text_and_all_its_options(entry: Entry) -> None:
    kind, word = entry.kind, entry.word
    (known,) = [each for each in explain(word) if each.kind == kind]
    assert Path(known.file).samefile(entry.file)
    assert known.about or known.facts
    if kind in FAMILIES:
        family = Family(*FAMILIES[kind], closed=kind == "scorers")
        module = family.load(word)
        assert known.about.split("\n")[0] == (module.__doc__ or "").split("\n")[0]
        model = family.options_of(module)
        assert (None if model is None else list(model.model_fields)) == (
            None if known.options is None else [option.name for option in known.options]
        )


def test_an_explanation_has_docstring_facts_and_options() -> None:
    shown = call("explain", "http")
    assert "Judges the image by a named reward of a service over HTTP" in shown
    assert "target  image" in shown
    assert "judges  no claims: the sample as such" in shown
    (line,) = [each for each in shown.splitlines() if each.startswith("batch ")]
    assert line.split("  ")[0] == "batch"
    assert "integer, 1 to 512" in line
    assert "samples in one request" in line


def test_a_word_of_several_kinds_is_explained_as_each() -> None:
    assert [known.kind for known in explain("counting")] == ["scorers", "taxonomies"]
    assert "one_kind" in call("explain", "counting")


def test_a_key_of_a_recipe_is_explained_with_the_keys_below_it() -> None:
    (known,) = explain("weights")
    assert known.kind == "keys"
    assert known.options is not None
    assert [option.name for option in known.options] == list(Policy.model_fields)
    assert "| `rank` |" in known.about_options
    assert {known.kind for known in explain("rewards")} == {"keys"}
    (seed,) = explain("seed")
    assert (seed.facts["value"], seed.options) == ("integer, 0 to 9,223,372,036,854,775,807", ())


def test_a_key_below_another_is_explained_alone() -> None:
    (known,) = explain("weights.policy")
    assert (known.kind, known.word, known.options) == ("keys", "weights.policy", ())
    assert known.facts["value"].startswith("rwr | softmax")
    assert "at least 0.01" in call("explain", "weights.beta")


def test_every_key_says_what_it_is() -> None:
    models = [Recipe, *filter(None, map(find_model, Recipe.model_fields))]
    options = {f"{model.__name__}.{each.name}": each.about for model in models for each in describe_options(model)}
    assert [name for name, about in options.items() if not about] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("explain", "coutning"), "did you mean 'counting'?"),
        (("explain", "text_mario"), "{name: text, metric: mario}"),
        (("explain", "zzzzzz"), "see: datagen list"),
        (("explain", "beta"), "see: datagen explain weights.beta"),
        (("explain", "rwr"), "see: datagen explain weights.policy"),
        (("explain", "weights.polcy"), "did you mean 'policy'?"),
        (("explain", "train.backend.temperature"), "see: datagen explain train.backend"),
        (("list", "scoers"), "did you mean 'scorers'?"),
    ],
)
def test_an_unknown_word_names_the_near_one(words: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, ConfigError)
    assert said in result.exception.hint


def test_a_module_of_ones_own_may_be_named_like_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "track.py").write_text("", encoding="utf-8")
    with pytest.raises(PluginError, match="cannot be imported"):
        explain("track.losses")


def test_the_files_of_a_project_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call("init", ".")
    name = next(Path("recipes").iterdir()).stem
    assert list_entries("recipes")[0].word == name
    assert list_entries("taxonomies")[0].word == f"taxonomies/{name}.yaml"
    assert "Small groups and pairs" in call("list", "taxonomies")
    assert {known.kind for known in explain(name)} == {"recipes", "taxonomies"}
    Path(f"taxonomies/{name}.yaml").write_text("version: [", encoding="utf-8")
    assert "broken: " in call("list", "taxonomies")


def test_a_module_of_ones_own_is_explained_by_its_dotted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_catalog").mkdir()
    for name, code in (("wide", "TARGET = 'image'\ndef score(prompt, sample, tools): ..."), ("none", "x = 1")):
        (tmp_path / f"own_catalog/{name}.py").write_text(f'"""Judges it. More."""\n{code}\n', encoding="utf-8")
    (known,) = explain("own_catalog.wide")
    assert (known.kind, known.about, known.facts) == ("scorers", "Judges it. More.", {"target": "image"})
    with pytest.raises(PluginError, match="is no plugin"):
        explain("own_catalog.none")
    with pytest.raises(PluginError, match="cannot be imported"):
        explain("own_catalog.lost")


def test_types_are_said_in_words() -> None:
    model = Family("backends", "build").options_of(load_plugin("backends", "openai", "build"))
    assert model is not None
    options = {option.name: option for option in describe_options(model)}
    assert options["model"].default == "required"
    assert options["api"].type == "chat | images"
    assert options["base_url"].type == "text | list of text"
    assert options["temperature"].type == "number, 0 to 5 | null"
    assert options["think_body"].default == "{think: true}"


def test_a_sentence_ends_where_the_next_begins() -> None:
    assert (
        first_sentence("By A et al., 2000 (arXiv 2503.1). Then\nmore.\n\nMore.") == "By A et al., 2000 (arXiv 2503.1)."
    )
    assert first_sentence("No end\nhere\n\nMore.") == "No end here"


def test_json_has_the_documented_keys() -> None:
    listed = json.loads(call("list", "views", "--json"))
    assert [set(each) for each in listed["views"]] == [{"word", "about", "file"}] * len(known_words("export.views"))
    (known,) = json.loads(call("explain", "pieces", "--json"))
    assert set(known) == {"kind", "word", "file", "about", "facts", "options", "about_options"}
    assert set(known["options"][0]) == {"name", "type", "default", "about"}


def test_listing_imports_no_plugin_and_nothing_heavy() -> None:
    code = (
        "import sys\nfrom datagen.cli import app\n"
        "try: app(['list'])\nexcept SystemExit: pass\n"
        "heavy = ('torch', 'numpy', 'datasets', 'pyarrow', 'PIL', 'datagen.rewards', 'datagen.export')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_terminal_of_60_columns_cuts_each_line_and_a_pipe_does_not(tmp_path: Path) -> None:
    piped = run_cli("list", "scorers", cwd=tmp_path).stdout
    assert max(map(len, piped.splitlines())) > 100
    assert "\x1b" not in piped
    shown = run_in_terminal("list", "scorers", cwd=tmp_path, columns=60)
    assert max(map(len, shown.splitlines())) <= 60
    assert len(shown.splitlines()) == len(piped.splitlines())
    assert "…" in shown


def run_in_terminal(*words: str, cwd: Path, columns: int) -> str:
    """What a command prints on a terminal of that width, without colours."""
    main, side = os.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {**environment(), "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": str(columns)}
    with subprocess.Popen(
        [sys.executable, "-m", "datagen", *words], stdout=side, stderr=side, stdin=side, env=env, cwd=cwd
    ) as running:
        os.close(side)
        shown = b""
        while True:
            try:
                piece = os.read(main, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
    os.close(main)
    assert running.returncode == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r\n", "\n")


def test_the_keys_of_a_taxonomy_are_explained_with_their_values() -> None:
    shown = call("explain", "levels")
    assert "the values that some slots have there" in shown
    assert "every form: docs/skills.md" in call("explain", "claims")
    written = {"weakness", "skills", "constraints", "from", "join", "range", "values"}
    assert written <= {entry.word for entry in list_entries("taxonomy_keys")}


def list_examples() -> list[tuple[str, str]]:
    """Return the blocks in docstrings of plugins that are keys of a recipe, but those that leave something out."""
    keys = "|".join(Recipe.model_fields)
    return [
        (entry.word, dedent(block))
        for kind in FAMILIES
        for entry in list_entries(kind)
        for block in re.findall(r"(?m)(?:^ {4}.*\n?)+", ast.get_docstring(ast.parse(entry.file.read_bytes())) or "")
        if re.match(rf" +(?:{keys}):", block) and "…" not in block
    ]


@pytest.mark.parametrize(("word", "text"), list_examples())
def test_the_example_of_a_plugin_is_what_a_recipe_takes(word: str, text: str) -> None:
    values = yaml.safe_load(text)
    prompts = {} if values.get("backend", {}).get("name") == "dataset" else {"taxonomy": ["counting"]}
    assert word in str(Recipe.load({**prompts, **values}))
