from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from export_cases import NOTES, POLICY, SCORERS, export, make_items, make_prompt
from PIL import Image

from datagen.export import CardNotes, ExportItem, dataset_features
from datagen.export.examples import read_rows


@pytest.fixture
def card(items: list[ExportItem], tmp_path: Path) -> str:
    export(items, tmp_path / "dataset")
    return (tmp_path / "dataset" / "README.md").read_text(encoding="utf-8")


def header_of(card: str) -> dict[str, Any]:
    _, header, _ = card.split("---\n", 2)
    return yaml.safe_load(header)


def test_header_has_what_the_hub_reads(card: str, tmp_path: Path) -> None:
    header = header_of(card)
    assert header["license"] == "unknown"
    assert header["size_categories"] == ["n<1K"]
    assert header["pretty_name"] == "first light"
    (config,) = header["configs"]
    assert config["config_name"] == "default"
    for entry in config["data_files"]:
        assert list((tmp_path / "dataset").glob(entry["path"])), entry
    splits = {split["name"]: split["num_examples"] for split in header["dataset_info"]["splits"]}
    assert sum(splits.values()) == 48
    assert splits.keys() == {"train", "validation"}
    files = sum(path.stat().st_size for path in (tmp_path / "dataset" / "data").iterdir())
    assert header["dataset_info"]["download_size"] == files


def test_header_features_are_the_features_of_the_data(card: str) -> None:
    from datasets import Features

    assert Features._from_yaml_list(header_of(card)["dataset_info"]["features"]) == dataset_features(SCORERS)


def test_the_table_of_columns_names_each(card: str) -> None:
    rows = re.findall(r"^\| (`.+?`) \| ", card.split("## Load")[1].split("## Provenance")[0], re.MULTILINE)
    named = [name for row in rows for name in re.findall("`([^`]+)`", row)]
    plain = [name for name in dataset_features(SCORERS) if not name.startswith(("reward_", "reason_"))]
    assert sorted(named) == sorted([*plain, "reward_…", "reason_…"])


def test_header_is_valid_for_the_hub_client(card: str) -> None:
    from huggingface_hub import DatasetCard

    data = DatasetCard(card).data
    assert data.language == ["en"]
    assert data.task_categories == ["text-to-image"]


@pytest.mark.parametrize(("count", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (2_000_000, "1M<n<10M")])
def test_size_category(count: int, size: str) -> None:
    from datagen.export.card import make_header

    header = yaml.safe_load(make_header(count, [], dataset_features([]), NOTES, 0).strip("-\n"))
    assert header["size_categories"] == [size]


def test_table_by_hand(tmp_path: Path) -> None:
    items = make_items([make_prompt(0), make_prompt(1), make_prompt(2, weakness="spatial")])
    export(items, tmp_path / "dataset")
    card = (tmp_path / "dataset" / "README.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in card.splitlines() if "| " in line]
    table = {row[0]: row[1:] for row in rows}
    counting = [item for item in items if item.prompt.weakness == "counting"]
    mean = sum(item.weight.image_weight for item in counting) / 8
    # candidates score 0, 0.5, 1 and None on the image; 0, 0.25, 0.5, 0.75 on the text
    assert table["counting"] == ["2", "8", "33.3%", "0.375", "0.500", "1.000", f"{mean:.3f}", "8"]
    assert table["spatial"][:3] == ["1", "4", "33.3%"]


def test_a_weakness_that_nobody_judged_shows_dashes(tmp_path: Path) -> None:
    items = [
        replace(item, passed=None, rewards=replace(item.rewards, image=None)) for item in make_items([make_prompt(0)])
    ]
    export(items, tmp_path / "dataset", validation_share=0.0)
    assert "| counting | 1 | 4 | – | 0.375 | – |" in (tmp_path / "dataset" / "README.md").read_text()


def test_pictures_exist_and_show_a_winner_and_a_loser(card: str, tmp_path: Path) -> None:
    paths = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", card)
    assert len(paths) == 4
    for path in paths:
        with Image.open(tmp_path / "dataset" / path) as picture:
            picture.load()
    assert card.count("| passed |") == card.count("| failed |") == 2


def test_words_of_prompts_and_models_cannot_act_as_markup(tmp_path: Path) -> None:
    evil = make_prompt(0, "a | b\n# c <script>alert(1)</script> ![x](http://e) `d` \\| $e$")
    export(make_items([evil]), tmp_path / "dataset", validation_share=0.0)
    card = (tmp_path / "dataset" / "README.md").read_text()
    body = card.split("---\n", 2)[2]
    assert "<script>" not in body
    assert "![x]" not in body
    assert "\n# c" not in body
    (line,) = [line for line in body.splitlines() if "| passed |" in line]
    assert line.count("|") == 6


def test_a_name_with_yaml_in_it_stays_a_name(items: list[ExportItem], tmp_path: Path) -> None:
    export(items, tmp_path / "dataset", notes=CardNotes("a: [b\nlicense: mit"))
    header = header_of((tmp_path / "dataset" / "README.md").read_text())
    assert (header["pretty_name"], header["license"]) == ("a: [b\nlicense: mit", "unknown")


def test_receipt_and_recipe_stand_in_the_card(card: str) -> None:
    blocks = re.findall(r"```(?:json|yaml)\n(.*?)```", card, flags=re.DOTALL)
    assert yaml.safe_load(blocks[0]) == POLICY.model_dump(mode="json")
    assert blocks[1] == NOTES.recipe


def test_the_loading_lines_of_the_card_run(card: str, tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)[0]
    scope: dict[str, Any] = {}
    exec(code.replace("path/to/this/folder", str(tmp_path / "dataset")), scope)
    assert scope["row"]["images"][0].size == (16, 16)
    assert len(scope["kept"]) == sum(scope["dataset"]["train"]["kept"])


@pytest.fixture
def loss(card: str) -> Any:
    scope: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)[1], scope)
    return scope["reward_weighted_loss"]


def test_the_training_loss_of_the_card_by_hand(loss: Any) -> None:
    import torch
    import torch.nn.functional as F

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 6, 11, generator=generator)
    tokens = torch.randint(0, 11, (2, 6), generator=generator)
    is_image = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 0, 0]], dtype=torch.bool)
    labels = tokens.clone()
    labels[:, 0] = -100
    labels[1, 4:] = -100
    text_weight, image_weight = torch.tensor([0.5, 2.0]), torch.tensor([3.0, 0.0])
    token = -F.log_softmax(logits, -1)[:, :-1].gather(2, tokens[:, 1:, None])[..., 0]
    text, image = 0.5 * token[0, :2].sum() + 2.0 * token[1, :1].sum(), 3.0 * token[0, 2:].sum()
    found = loss(logits, labels, is_image, text_weight, image_weight, 4.0, 5.0, lambda_text=2.0)
    torch.testing.assert_close(found, 2 * text / 4 + image / 5)


def test_the_training_loss_of_the_card_is_that_of_datagen_train(loss: Any) -> None:
    import torch

    from datagen.training import weighted

    generator = torch.Generator().manual_seed(1)
    logits, ids = torch.randn(3, 7, 5, generator=generator), torch.randint(0, 5, (3, 7), generator=generator)
    kinds = torch.randint(0, 4, (3, 7), generator=generator)
    text, image = torch.tensor([0.5, 2.0, 1.0]), torch.tensor([3.0, 0.25, 1.0])
    is_image, labels = kinds == weighted.IMAGE, ids.masked_fill(kinds == weighted.CONTEXT, weighted.IGNORED)
    weights = torch.where(is_image, image[:, None], text[:, None])
    terms = weighted.weighted_loss(logits, labels, weights, kinds, (6.0, 4.0))
    torch.testing.assert_close(loss(logits, labels, is_image, text, image, 6.0, 4.0), sum(terms))


def test_a_weight_matters_even_alone_in_its_batch(loss: Any) -> None:
    import torch

    logits, labels = torch.randn(1, 4, 5), torch.tensor([[-100, 1, 2, 3]])
    image, one = torch.tensor([[False, False, True, True]]), torch.ones(1)
    single, double = (loss(logits, labels, image, each, each, 1.0, 2.0) for each in (one, 2 * one))
    assert double == pytest.approx(2 * single)
    assert loss(logits, labels, image, 0 * one, 0 * one, 1.0, 2.0) == 0


def test_card_and_every_row_say_where_they_come_from(items: list[ExportItem], tmp_path: Path) -> None:
    facts = {"model": {"name": "embedded"}, "fingerprint": "0f", "versions": {"torch": "2.9"}}
    notes = CardNotes("n", "cc-by-4.0", provenance=facts)
    export(items, tmp_path / "dataset", notes=notes, validation_share=0.0)
    card = (tmp_path / "dataset" / "README.md").read_text()
    assert header_of(card)["license"] == "cc-by-4.0"
    assert '| fingerprint | "0f" |' in card
    assert "cc-by-4.0, as the maker of this dataset states it |" in card
    rows = list(read_rows(tmp_path / "dataset", "train"))
    assert len(rows) == len(items)
    assert all(json.loads(row["provenance"]) == {**facts, "license": "cc-by-4.0"} for row in rows)


def test_a_licence_that_nobody_stated_is_unknown(card: str) -> None:
    assert header_of(card)["license"] == "unknown"
    assert "nothing was stated" in card


def test_pass_at_1_leaves_out_what_was_drawn_for_hard_prompts(items: list[ExportItem], tmp_path: Path) -> None:
    first = [item for item in items if item.sample.candidate < 2]
    notes = replace(NOTES, first=2)
    export(items, tmp_path / "all", notes=notes)
    export(first, tmp_path / "first", notes=notes)
    rates = []
    for name in ("all", "first"):
        card = (tmp_path / name / "README.md").read_text(encoding="utf-8")
        assert "of the first 2 of each prompt" in card
        rates.append([line.split("|")[4] for line in card.splitlines() if line.startswith(("| counting", "| spatial"))])
    assert rates[0] == rates[1]
