"""Writes JSON Schema files, so that an editor completes keys and marks mistakes while a YAML file is written.

    # yaml-language-server: $schema=../schemas/taxonomy.schema.json

as the first line of a file is what the YAML plugins of most editors read. See it: `datagen schema`. A schema cannot
say how slots, claims and templates fit together: that is `datagen check`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from datagen.errors import ConfigError
from datagen.taxonomy.models import LexiconFile, TaxonomyFile

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SHIPPED: Mapping[str, type[BaseModel]] = {"taxonomy": TaxonomyFile, "lexicon": LexiconFile}


def schema_of(name: str, model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of what a person may write, under the title `datagen <name>`."""
    return {"$schema": DIALECT, **model.model_json_schema(), "title": f"datagen {name}"}


def write_schemas(folder: str | Path, models: Mapping[str, type[BaseModel]] | None = None) -> list[Path]:
    """Write `<name>.schema.json` for taxonomy, lexicon and each of `models`; return the files, sorted.

    Raises ConfigError when the folder cannot be written.
    """
    written = []
    for name, model in {**SHIPPED, **(models or {})}.items():
        path = Path(folder) / f"{name}.schema.json"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(schema_of(name, model), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            hint = "choose a folder that can be written"
            raise ConfigError(f"cannot write the schema: {error.strerror}", where=str(path), hint=hint) from error
        written.append(path)
    return sorted(written)
