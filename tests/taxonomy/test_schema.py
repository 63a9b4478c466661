from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from datagen.errors import ConfigError
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


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot write the schema"):
        write_schemas(tmp_path / "file")
