"""The card as `datasets` and the hub's viewer read it: exactly what `datasets` itself would write for the data."""

from __future__ import annotations

from pathlib import Path

import pytest
from push_cases import NAME, add_view, build_run, call, reopen

from datagen.pipeline import Silent
from datagen.push import complete_push, prepare_push, pull_dataset
from tests.helpers.hub_server import HubServer

VIEW = "pairs-datasets"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of different seeds, each with a view that has pictures."""
    base = tmp_path_factory.mktemp("cards")
    found = [build_run(base / f"run {seed}", seed=seed) for seed in (0, 5)]
    for run in found:
        call("export", run, "--view", "pairs", "--format", "datasets")
    return found


def send(run: Path, address: str, way: str = "push", views: tuple[str, ...] = ()) -> None:
    complete_push(prepare_push(reopen(run), address, Silent(), way=way, views=views))  # type: ignore[arg-type]


def write_anew(text: str) -> str:
    """A card with `configs` and `dataset_info` taken out and put back by `datasets`."""
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCard

    card = DatasetCard(text)
    configs = MetadataConfigs.from_dataset_card_data(card.data)
    infos = DatasetInfosDict.from_dataset_card_data(card.data)
    card.data.pop("configs")
    card.data.pop("dataset_info")
    configs.to_dataset_card_data(card.data)
    infos.to_dataset_card_data(card.data)
    return str(card)


@pytest.mark.parametrize("views", [(), (VIEW,)], ids=["plain", "with a view"])
@pytest.mark.parametrize("count", [1, 2], ids=["pushed", "appended"])
def test_the_header_is_what_datasets_writes_and_reads(
    hub: HubServer, runs: list[Path], tmp_path: Path, views: tuple[str, ...], count: int
) -> None:
    from datasets import Image, List, load_dataset, load_dataset_builder

    for run, way in zip(runs[:count], ("push", "append"), strict=False):
        send(run, NAME, way, views)
    text = hub.files("me/small")["README.md"].decode()
    assert write_anew(text) == text
    pull_dataset(NAME, tmp_path / "back", Silent())
    for where in ("me/small", str(tmp_path / "back")):
        for config in ("default", *views):
            told = load_dataset_builder(where, config, cache_dir=str(tmp_path / "cache")).info
            loaded = load_dataset(where, config, cache_dir=str(tmp_path / "cache"))
            assert {name: split.num_examples for name, split in told.splits.items()} == loaded.num_rows
            assert all(split.features == told.features for split in loaded.values())
            assert told.features["images"] == List(Image()), "what the viewer shows as pictures"
            assert loaded["train"][0]["images"][0].size == (96, 96)


def test_files_that_no_split_owns_travel_alone(hub: HubServer, runs: list[Path], tmp_path: Path) -> None:
    folder = add_view(runs[0], "parts")
    (folder / "part-0.parquet").write_bytes(
        (runs[0] / "exports" / VIEW / "data").glob("train*").__next__().read_bytes()
    )
    send(runs[0], NAME, views=("parts",))
    assert "parts/part-0.parquet" in hub.files("me/small")
    assert "config_name: parts" not in hub.files("me/small")["README.md"].decode()
