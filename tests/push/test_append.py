"""A run added to a dataset that is there: new shards only, a card that counts both, duplicates refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from push_cases import NAME, Folder, build_run, call, read_local, reopen

from datagen.errors import DatagenError, PushError, RunError
from datagen.pipeline import Silent
from datagen.push import complete_push, prepare_push, pull_dataset
from tests.helpers.hub_server import Fault, HubServer

SHARD = r"/datasets/me/small/resolve/.*\.parquet"


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs beside the first: of another seed, of fewer prompts, with other shares, with other scorers."""
    base = tmp_path_factory.mktemp("others")
    changes = {
        "seed": {"seed": 5, "name": "second"},
        "part": {"prompts": 6},
        "shares": {"validation_share": 0.8},
        "scorers": {"seed": 5, "rewards": ["counting", "plan"]},
    }
    runs = {name: build_run(base / name, **change) for name, change in changes.items()}  # type: ignore[arg-type]
    for path in (runs["shares"] / "dataset" / "data").iterdir():  # the same prompts, sampled with other seeds
        table = pq.read_table(path)
        seeds = pa.array([seed + 1 for seed in table["seed"].to_pylist()])
        pq.write_table(table.set_column(table.schema.get_field_index("seed"), table.schema.field("seed"), seeds), path)
    return runs


@pytest.fixture
def second(others: dict[str, Path], tmp_path: Path) -> Path:
    shutil.copytree(others["seed"], tmp_path / "second")
    return tmp_path / "second"


def send(run: Path, address: str, way: str = "push") -> str:
    return complete_push(prepare_push(reopen(run), address, Silent(), way=way)).revision  # type: ignore[arg-type]


def read_rows(folder: Path, split: str) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted((folder / "data").glob(f"{split}-*"))])


def header_of(card: bytes) -> dict[str, object]:
    header = yaml.safe_load(card.decode().split("---\n")[1])
    assert isinstance(header, dict)
    return header


def test_appended_rows_are_loaded_with_the_others(hub: HubServer, run: Path, second: Path) -> None:
    from datasets import load_dataset

    send(run, NAME)
    sent, before = hub.put_bytes, hub.files("me/small")
    send(second, NAME, "append")
    after = hub.files("me/small")
    new = set(after) - set(before)
    assert hub.put_bytes - sent == sum(len(after[path]) for path in new), "more than the new shards was sent"
    assert len(new) == len(list((second / "dataset" / "data").iterdir()))
    assert all(after[path] == before[path] for path in before if path not in ("README.md", "datagen.json"))
    loaded = load_dataset("me/small")
    for split in ("train", "validation"):
        ids = [
            *read_rows(run / "dataset", split)["id"].to_pylist(),
            *read_rows(second / "dataset", split)["id"].to_pylist(),
        ]
        assert sorted(loaded[split]["id"]) == sorted(ids)


def test_the_card_counts_all_runs(hub: HubServer, run: Path, second: Path) -> None:
    send(run, NAME)
    one = header_of(hub.files("me/small")["README.md"])
    send(second, NAME, "append")
    card = hub.files("me/small")["README.md"]
    both, two = header_of(card), header_of((second / "dataset" / "README.md").read_bytes())
    infos = [each["dataset_info"] for each in (one, two, both)]
    assert [split["num_examples"] for split in infos[2]["splits"]] == [  # type: ignore[index]
        a["num_examples"] + b["num_examples"]
        for a, b in zip(infos[0]["splits"], infos[1]["splits"], strict=True)  # type: ignore[index]
    ]
    assert infos[2]["download_size"] == infos[0]["download_size"] + infos[1]["download_size"]  # type: ignore[index]
    assert both["configs"] == one["configs"], "the pattern that was there finds the new shards"
    assert "| second |" in card.decode()
    assert "| small |" in card.decode()


def test_in_a_folder_too(folder: Folder, run: Path, second: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    send(run, folder.address)
    before = folder.files()
    send(second, folder.address, "append")
    after = folder.files()
    assert {path for path in before if path not in ("README.md", "datagen.json")} <= set(after)
    pull_dataset(folder.address, tmp_path / "back", Silent())
    assert read_local(tmp_path / "back") == after
    loaded = load_dataset(str(tmp_path / "back"), cache_dir=str(tmp_path / "cache"))
    for split in ("train", "validation"):
        rows = sum(read_rows(each / "dataset", split).num_rows for each in (run, second))
        assert loaded[split].num_rows == rows


def test_an_append_that_was_killed_before_it_was_noted_goes_on(hub: HubServer, run: Path, second: Path) -> None:
    send(run, NAME)
    revision = send(second, NAME, "append")
    (second / "push.json").unlink()
    assert send(second, NAME, "append") == revision
    assert json.loads((second / "push.json").read_text(encoding="utf-8"))[NAME]["revision"] == revision
    assert len(json.loads(hub.files("me/small")["datagen.json"])["runs"]) == 2


@pytest.mark.parametrize(
    ("which", "said", "kind"),
    [
        ("part", "12 rows are there already, such as ", PushError),
        ("shares", "rows have a prompt that is in the other split there", PushError),
        ("scorers", "has other columns; they differ in reason_attribute, reward_attribute", RunError),
    ],
)
def test_what_does_not_belong_is_refused(
    hub: HubServer, run: Path, others: dict[str, Path], which: str, said: str, kind: type[DatagenError]
) -> None:
    send(run, NAME)
    before = hub.files("me/small")
    with pytest.raises(kind) as caught:
        send(others[which], NAME, "append")
    assert said in str(caught.value)
    assert hub.files("me/small") == before


def test_a_run_of_another_licence_is_refused(hub: HubServer, run: Path, second: Path) -> None:
    send(run, NAME)
    card = second / "dataset" / "README.md"
    card.write_text(
        card.read_text(encoding="utf-8").replace("license: apache-2.0", "license: cc-by-nc-4.0", 1), "utf-8"
    )
    with pytest.raises(RunError, match=r"has the licence apache-2\.0, but this run has cc-by-nc-4\.0"):
        send(second, NAME, "append")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(SHARD, status=403, message="not for you", times=100), "no permission: not for you"),
        (Fault(SHARD, status=404, message="it is gone", times=100), "the hub answers 404: it is gone"),
        (Fault(SHARD, status=401, message="expired", times=100), "the hub does not accept the token (any more)"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Fault) else "",
)
def test_a_shard_there_that_cannot_be_had_is_one_line(
    hub: HubServer, run: Path, second: Path, fault: Fault, said: str
) -> None:
    send(run, NAME)
    hub.faults.append(fault)
    with pytest.raises(PushError) as caught:
        send(second, NAME, "append")
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_a_shard_there_that_is_no_parquet_is_named(folder: Folder, run: Path, second: Path) -> None:
    send(run, folder.address)
    path = next(path for path, content in folder.files().items() if content.startswith(b"PAR1"))
    folder.write(path, bytes(100))
    with pytest.raises(PushError, match=f"{path}: cannot be read as parquet"):
        send(second, folder.address, "append")


def test_a_duplicate_is_named_by_prompt_and_seed(hub: HubServer, run: Path, others: dict[str, Path]) -> None:
    send(run, NAME)
    with pytest.raises(PushError) as caught:
        send(others["part"], NAME, "append")
    rows = [row for split in ("train", "validation") for row in read_rows(run / "dataset", split).to_pylist()]
    assert any(f"{row['prompt']!r}, seed {row['seed']}" in str(caught.value) for row in rows)


def test_there_must_be_a_dataset_to_append_to(hub: HubServer, run: Path) -> None:
    with pytest.raises(PushError, match="there is no dataset to append to"):
        send(run, NAME, "append")


def test_a_push_does_not_drop_what_was_appended(hub: HubServer, run: Path, second: Path) -> None:
    send(run, NAME)
    send(second, NAME, "append")
    with pytest.raises(PushError, match="has the run 'second' of another recipe"):
        send(run, NAME)


def test_the_commands(hub: HubServer, run: Path, second: Path, tmp_path: Path) -> None:
    call("push", run, NAME)
    assert "commits" in call("append", second, NAME, "--dry-run")
    assert hub.count("POST /api/datasets/me/small/commit") == 1
    assert "files verified, revision" in call("append", second, NAME)
    assert "files verified, revision" in call("pull", NAME, tmp_path / "back")
