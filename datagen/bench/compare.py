"""Two measurements of the same kind side by side: the figures of an earlier `--json` file before those of today."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datagen.errors import ConfigError

Tables = Mapping[str, Sequence[Mapping[str, Any]]]


def read_tables(file: Path) -> Tables:
    """Return the tables that `--json` wrote to a file; raises ConfigError for anything else."""
    try:
        tables = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the earlier figures cannot be read: {error}", where=str(file)) from None
    if not isinstance(tables, dict) or not all(_is_table(rows) for rows in tables.values()):
        raise ConfigError(
            "no tables of figures", where=str(file), hint="Name a file that --json of this command wrote."
        )
    return tables


def _is_table(rows: object) -> bool:
    return isinstance(rows, list) and all(isinstance(row, dict) and row for row in rows)


def set_beside(tables: Tables, before: Tables) -> dict[str, list[dict[str, Any]]]:
    """Return the tables with each number as `before → now`; a row is known by its first column.

    What was not measured before is `–`, and what is not measured now is left out.
    """
    return {title: [_join(row, _find(before.get(title, ()), row)) for row in rows] for title, rows in tables.items()}


def _find(rows: Sequence[Mapping[str, Any]], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    name, value = next(iter(wanted.items()))
    return next((row for row in rows if row.get(name) == value), {})


def _join(row: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: f"{_show(before.get(name))} → {_show(value)}" if isinstance(value, (int, float)) else value
        for name, value in row.items()
    }


def _show(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "–" if value is None else f"{value}"
