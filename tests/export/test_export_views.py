from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from export_cases import export

from datagen.errors import ConfigError, PluginError, RunError
from datagen.export import ExportItem, ViewPlan, check_view, export_view
from datagen.export.examples import group_rows, parts_of, read_rows

PLAN = ViewPlan("whole", "trajectories", "jsonl", {}, {})


@pytest.fixture
def dataset(items: list[ExportItem], tmp_path: Path) -> Path:
    return export(items, tmp_path / "dataset").path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_come_back_in_order_with_their_images(dataset: Path, items: list[ExportItem]) -> None:
    rows = [row for split in ("train", "validation") for row in read_rows(dataset, split)]
    by_id = {item.sample.id: item for item in items}
    assert {row["id"] for row in rows} == set(by_id)
    assert all(row["images"] == [by_id[row["id"]].sample.image] for row in rows)


def test_groups_are_prompts(dataset: Path) -> None:
    groups = list(group_rows(read_rows(dataset, "train")))
    assert all(len({row["prompt_id"] for row in group}) == 1 and len(group) == 4 for group in groups)


def test_parts_carry_the_weights_of_their_modality(dataset: Path) -> None:
    row = next(row for row in read_rows(dataset, "train") if row["kept"])
    prompt, thought, image = parts_of(row)
    assert (prompt.role, prompt.text, prompt.loss) == ("prompt", row["prompt"], 0)
    assert (thought.role, thought.loss, thought.switch) == ("think", row["text_weight"], row["text_weight"])
    assert (image.role, image.loss, image.image) == ("image", row["image_weight"], row["images"][0])
    forced = parts_of({**row, "switch": "forced"})
    assert forced[1].switch == 0


def test_whole_trajectories_as_json_lines(dataset: Path, items: list[ExportItem]) -> None:
    result = export_view(dataset, dataset.with_name("exports") / "whole", PLAN)
    lines = [line for split in result.examples for line in read_lines(result.path / f"{split}.jsonl")]
    kept = {item.sample.id for item in items if item.weight.kept}
    assert {line["id"] for line in lines} == kept
    assert sum(result.examples.values()) == len(kept)
    by_id = {item.sample.id: item for item in items}
    for line in lines:
        item = by_id[line["id"]]
        assert (result.path / line["parts"][2]["image"]).read_bytes() == item.sample.image
        assert line["parts"][1]["loss"] == item.weight.text_weight
    assert "trajectories" in (result.path / "README.md").read_text(encoding="utf-8")


def test_a_second_export_replaces_the_first_and_strangers_stay(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "exports" / "whole"
    first = export_view(dataset, out, PLAN)
    content = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert export_view(dataset, out, PLAN) == first
    assert {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()} == content
    assert [path.name for path in out.parent.iterdir()] == ["whole"]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("keep")
    with pytest.raises(RunError, match="exists already"):
        export_view(dataset, mine, PLAN)
    assert (mine / "notes.txt").read_text() == "keep"


def test_a_wrong_word_or_option_is_named(dataset: Path) -> None:
    with pytest.raises(PluginError, match="trajectory"):
        check_view(replace(PLAN, view="trajectory"))
    with pytest.raises(PluginError, match="parket"):
        check_view(replace(PLAN, format="parket"))
    with pytest.raises(ConfigError, match="colour"):
        check_view(replace(PLAN, format_options={"colour": 1}))


def test_no_example_is_an_error_and_leaves_nothing(items: list[ExportItem], tmp_path: Path) -> None:
    nothing = [replace(item, weight=replace(item.weight, kept=False)) for item in items]
    dataset = export(nothing, tmp_path / "dataset").path
    with pytest.raises(RunError, match="finds no example"):
        export_view(dataset, tmp_path / "exports" / "whole", PLAN)
    assert not list((tmp_path / "exports").iterdir())


def test_a_folder_that_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not an exported dataset"):
        export_view(tmp_path, tmp_path / "exports" / "whole", PLAN)
