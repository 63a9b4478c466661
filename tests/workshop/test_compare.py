from __future__ import annotations

import json
from pathlib import Path

import pytest

from datagen.cli import read_tables, set_beside
from datagen.errors import ConfigError


def test_each_figure_stands_behind_the_earlier_one_of_its_row(tmp_path: Path) -> None:
    file = tmp_path / "before.json"
    file.write_text(json.dumps({"judge": [{"judge P(yes)": "all", "AUC": 0.5}, {"judge P(yes)": "text", "AUC": 0.25}]}))
    now = {"judge": [{"judge P(yes)": "text", "AUC": 0.75, "images": 8, "bias": None}], "new": [{"group": "a", "n": 1}]}
    assert set_beside(now, read_tables(file)) == {
        "judge": [{"judge P(yes)": "text", "AUC": "0.250 → 0.750", "images": "– → 8", "bias": None}],
        "new": [{"group": "a", "n": "– → 1"}],
    }


@pytest.mark.parametrize("text", ["", "[]", "7", '{"a": 1}', '{"a": [1]}', '{"a": [{}]}', "\x00"])
def test_what_is_no_table_of_figures_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "before.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"^.+before\.json: .+$|\n"):
        read_tables(file)
