from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from datagen.config import Recipe
from datagen.documents.reading import read_yaml
from datagen.errors import ConfigError
from datagen.plugins import shipped_path
from datagen.taxonomy.check import DIALECT, write_schemas


class Mine(BaseModel):
    color: str


def test_schemas_know_the_keys_of_each_file(tmp_path: Path) -> None:
    paths = write_schemas(tmp_path / "new" / "schemas", {"mine": Mine})
    assert [path.name for path in paths] == ["lexicon.schema.json", "mine.schema.json", "taxonomy.schema.json"]
    lexicon, mine, taxonomy = (json.loads(path.read_text()) for path in paths)
    assert taxonomy["$schema"] == DIALECT
    assert taxonomy["title"] == "datagen taxonomy"
    assert {"weakness", "skills"} <= taxonomy["properties"].keys()
    assert taxonomy["additionalProperties"] is False
    assert "from" in taxonomy["$defs"]["ListSlot"]["properties"]
    assert "objects" in lexicon["properties"]
    assert mine["properties"].keys() == {"color"}


@pytest.fixture(scope="module")
def recipe_schema(tmp_path_factory: pytest.TempPathFactory) -> jsonschema.Draft202012Validator:
    """What `datagen schema` writes for recipes."""
    folder = tmp_path_factory.mktemp("schemas")
    written = write_schemas(folder, {"recipe": Recipe})
    assert folder / "recipe.schema.json" in written
    schema = json.loads((folder / "recipe.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", sorted(shipped_path("recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_an_editor_finds_nothing_wrong_with_what_ships(
    path: Path, recipe_schema: jsonschema.Draft202012Validator
) -> None:
    found = [f"{error.json_path}: {error.message}" for error in recipe_schema.iter_errors(read_yaml(path).data)]
    assert found == []


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ({"weights": {"betta": 1}}, "$.weights"),
        ({"weights": {"policy": "best"}}, ""),
        ({"weights": {"policy": "bestest"}}, "$.weights.policy"),
        ({"allocate": {"policy": "uniformm"}}, "$.allocate"),
        ({"expand": {"styles": ["question"], "backend": {"name": "openai", "model": "m"}}}, ""),
        ({"expand": {"styles": ["question"], "backend": "openai"}}, "$.expand"),
        ({"backend": {"name": "embedded", "temprature": 0.5}}, "$.backend"),
        ({"expand": {"backend": "opnai"}}, "$.expand"),
        ({"screen": {"pi": True}}, "$.screen"),
        ({"rewards": ["countin"]}, "$.rewards[0]"),
        ({"rewards": [{"name": "text", "metric": "mario", "as": "words"}, "my_pkg.sharpness"]}, ""),
        ({"rewards": ["counting", {"name": "text", "strict": True}]}, "$.rewards[1]"),
        ({"rewards": [{"name": "counting", "any": 1}]}, "$.rewards[0]"),
        ({"rewards": [{"name": "my_pkg.sharpness", "any": 1}]}, ""),
        ({"backend": {"name": "embedded", "temperature": 0.5}}, ""),
        ({"detector": {"name": "onnx", "model": "a.onnx", "sides": 3}}, "$.detector"),
        ({"exports": {"a": {"view": {"name": "pairs", "min_margin": 0.1}, "format": "chat"}}}, ""),
        ({"exports": {"a": {"view": "pears"}}}, "$.exports.a.view"),
    ],
)
def test_an_editor_knows_keys_words_and_options(
    written: dict[str, Any], place: str, recipe_schema: jsonschema.Draft202012Validator
) -> None:
    errors = recipe_schema.iter_errors({"taxonomy": "counting", **written})
    assert [error.json_path for error in errors] == ([place] if place else [])


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot write the schema"):
        write_schemas(tmp_path / "file")
