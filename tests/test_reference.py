"""docs/reference.py: the generated pages hold everything that they are about, and what it says of itself."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import datagen
from datagen import errors, program
from datagen.catalog import FAMILIES, describe_options, find_model, list_entries, summarise
from datagen.config import Recipe
from tests.helpers.runs import ROOT


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The text of each page by name."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs/reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("pages") / "reference"
    titles = module.write_reference(folder)
    assert set(titles) == {path.stem for path in folder.iterdir()}
    return {name: (folder / f"{name}.md").read_text(encoding="utf-8") for name in titles}


def test_every_key_of_a_recipe_and_every_key_below_it_is_there(pages: dict[str, str]) -> None:
    for key in Recipe.model_fields:
        assert f"| `{key}` |" in pages["keys"]
        if model := find_model(key):
            _, section = pages["keys"].split(f"\n## `{key}`\n")
            section = section.split("\n## ")[0]
            assert [option.name for option in describe_options(model) if f"| `{option.name}` |" not in section] == []


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_word_is_there_with_its_sentence(pages: dict[str, str], kind: str) -> None:
    for entry in list_entries(kind):
        assert f"\n## {entry.word}\n" in pages[kind]
        assert summarise(entry).replace("|", "\\|") in pages[kind]


def test_every_command_error_and_public_name_is_there(pages: dict[str, str]) -> None:
    for word in (word for words in program.GROUPS.values() for word in words):
        assert f"### datagen {word}" in pages["commands"]
    kinds = [
        name for name, each in vars(errors).items() if isinstance(each, type) and each.__module__ == errors.__name__
    ]
    assert set(kinds) == set(re.findall(r"^### (\w+)$", pages["errors"], re.MULTILINE))
    assert set(datagen.__all__) - set(kinds) == set(re.findall(r"^## dg\.(\w+)$", pages["python"], re.MULTILINE))


def test_pages_hold_no_path_of_this_machine_and_link_to_pages_that_exist(pages: dict[str, str]) -> None:
    for text in pages.values():
        assert str(Path.home()) not in text
        assert str(ROOT) not in text
        assert all((ROOT / "docs" / f"{name}.md").is_file() for name in re.findall(r"\]\(\.\./(\w+)\.md\)", text))
