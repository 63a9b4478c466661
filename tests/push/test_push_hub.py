"""The real clients against a loopback hub: what is pushed is what is read, once, in one commit."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from push_cases import NAME, add_view, call, hub_environment, read_local, read_pushed, reopen, weigh_anew

from datagen.errors import PushError
from datagen.pipeline import Silent, export_run, open_run, weigh_run
from datagen.push import complete_push, prepare_push, pull_dataset
from tests.helpers.hub_server import TOKEN, HubServer
from tests.helpers.runs import command, environment


def push(run: Path, **options: object) -> str:
    return complete_push(prepare_push(reopen(run), NAME, Silent(), **options)).revision  # type: ignore[arg-type]


def test_the_remote_is_the_local_folder_and_its_manifest(hub: HubServer, run: Path, tmp_path: Path) -> None:
    revision = push(run)
    remote, local = hub.files("me/small"), read_pushed(run)
    manifest = json.loads(remote.pop("datagen.json"))
    assert remote == local
    assert {each["path"] for each in manifest["files"]} == set(local)
    assert hub.repos["me/small"].commits[-1][0] == revision
    assert hub.count("POST /api/datasets/me/small/commit") == 1
    assert hub.put_bytes == sum(len(v) for path, v in local.items() if path.endswith((".parquet", ".png")))
    assert hub.repos["me/small"].private


def test_the_run_notes_what_was_verified(hub: HubServer, run: Path, tmp_path: Path) -> None:
    revision = push(run)
    record = json.loads((run / "push.json").read_text(encoding="utf-8"))
    assert record == {NAME: {"revision": revision, **json.loads(hub.files("me/small")["datagen.json"])}}
    assert revision in (run / "log.txt").read_text(encoding="utf-8")


def test_plain_load_dataset_gives_equal_rows(hub: HubServer, run: Path) -> None:
    from datasets import load_dataset

    push(run)
    there, here = load_dataset("me/small"), load_dataset(str(run / "dataset"))
    assert {split: there[split].num_rows for split in there} == {split: here[split].num_rows for split in here}
    for split in here:
        assert there[split].features == here[split].features
        assert there[split].with_format("arrow")[:] == here[split].with_format("arrow")[:]
    assert there["train"][0]["images"][0].size == (96, 96)


def test_pull_gives_back_the_same_files(hub: HubServer, run: Path, tmp_path: Path) -> None:
    push(run)
    pull_dataset(NAME, tmp_path / "back", Silent())
    back = read_local(tmp_path / "back")
    assert back == hub.files("me/small")
    assert not list(tmp_path.glob(".back*"))


def test_what_is_there_is_not_sent_again(hub: HubServer, run: Path) -> None:
    first = push(run)
    sent, commits = hub.put_bytes, len(hub.repos["me/small"].commits)
    assert push(run) == first
    assert (hub.put_bytes, len(hub.repos["me/small"].commits)) == (sent, commits)


def test_contents_that_the_hub_holds_are_not_sent_to_another_dataset(hub: HubServer, run: Path) -> None:
    push(run)
    sent = hub.put_bytes
    complete_push(prepare_push(reopen(run), "hf://datasets/me/second", Silent()))
    assert hub.put_bytes == sent
    assert {**hub.files("me/second"), "datagen.json": b""} == {**read_pushed(run, "me/second"), "datagen.json": b""}


def test_new_weights_go_to_the_same_dataset_and_old_files_leave_it(hub: HubServer, run: Path, tmp_path: Path) -> None:
    push(run)
    before = hub.files("me/small")
    weigh_anew(run)
    push(run)
    after = hub.files("me/small")
    assert {path for path in after if path.endswith(".parquet")} == {
        "data/train-00000-of-00001.parquet",
        "data/validation-00000-of-00001.parquet",
    }
    assert {**after, "datagen.json": b""} == {**read_pushed(run), "datagen.json": b""}
    assert before["README.md"] != after["README.md"]
    assert len(hub.repos["me/small"].commits) == 3  # the hub's own first one, and two


def test_an_older_revision_can_be_pulled(hub: HubServer, run: Path, tmp_path: Path) -> None:
    revision, before = push(run), hub.files("me/small")
    weigh_anew(run)
    push(run)
    pull_dataset(f"{NAME}@{revision}", tmp_path / "back", Silent())
    assert read_local(tmp_path / "back") == before
    with pytest.raises(PushError, match="404"):
        pull_dataset(f"{NAME}@{'0' * 40}", tmp_path / "none", Silent())


def test_files_that_others_put_there_stay(hub: HubServer, run: Path, tmp_path: Path) -> None:
    push(run)
    hub.commit("me/small", {**hub.repos["me/small"].commits[-1][1], "notes.txt": b"by hand"})
    weigh_anew(run)
    push(run)
    assert hub.files("me/small")["notes.txt"] == b"by hand"


def test_views_become_configs_if_they_are_parquet(hub: HubServer, run: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    pairs, lines = add_view(run, "pairs"), add_view(run, "lines")
    for folder in (pairs, lines):
        (folder / "README.md").write_text("what it keeps", encoding="utf-8")
    table = pq.read_table(run / "dataset" / "data" / "train-00000-of-00009.parquet", columns=["prompt", "seed"])
    pq.write_table(table, pairs / "train.parquet")
    (lines / "train.jsonl").write_text('{"prompt": "a"}\n', encoding="utf-8")
    push(run, views=["pairs", "lines"])
    files = hub.files("me/small")
    assert {"pairs/train.parquet", "pairs/README.md", "lines/train.jsonl"} <= set(files)
    assert load_dataset("me/small", "pairs", split="train").to_list() == table.to_pylist()
    assert load_dataset("me/small", split="train").num_rows == 36
    assert "config_name: lines" not in files["README.md"].decode()


def test_a_name_without_an_owner_is_ones_own(hub: HubServer, run: Path) -> None:
    complete_push(prepare_push(reopen(run), "hf://datasets/small", Silent()))
    assert 'load_dataset("me/small")  # or streaming=True' in hub.files("me/small")["README.md"].decode()


def test_public_is_said_and_shown(hub: HubServer, run: Path) -> None:
    shown = call("push", run, NAME, "--public")
    assert "PUBLIC: everybody can see it" in shown
    assert not hub.repos["me/small"].private


def test_dry_run_shows_the_table_and_touches_nothing(hub: HubServer, run: Path, tmp_path: Path) -> None:
    shown = call("push", run, NAME, "--dry-run")
    for words in ("is not there yet", "private", "default", "train 36, validation 12", "18 files", "apache-2.0"):
        assert words in shown
    assert re.search(r"commits +1\n", shown)
    assert "not checked: the recipe names no benchmark files" in shown
    assert hub.repos == {}
    assert not hub.count("^(POST|PUT)")
    assert not (run / "push.json").exists()


def test_the_contamination_result_is_shown(hub: HubServer, tmp_path: Path) -> None:
    from push_cases import build_run

    benchmark = tmp_path / "bench.txt"
    benchmark.write_text("a photo of two dogs\n", encoding="utf-8")
    run = build_run(tmp_path / "run", prompts=4, contamination=[str(benchmark)])
    assert "checked against bench.txt: 0 prompts were refused" in call("push", run, NAME, "--dry-run")


def test_the_token_is_in_nothing_that_is_written(hub: HubServer, run: Path, tmp_path: Path) -> None:
    shown = call("push", run, NAME)
    written = b"".join([*read_local(run).values(), *hub.files("me/small").values(), shown.encode()])
    assert TOKEN.encode() not in written
    assert any("/store/" in request for request in hub.requests)


def test_over_xet_only_new_chunks_travel(run: Path, tmp_path: Path) -> None:
    """The client's own chunked storage, which a real hub speaks; the server takes chunks and forgets them."""
    with HubServer() as hub:
        settings = {**hub_environment(hub.url, tmp_path / "home"), "HF_HUB_DISABLE_XET": "0"}
        sent = []
        for policy in ("rwr", "best", "best"):
            opened = open_run(str(run), [f"weights.policy={policy}"])
            export_run(opened, weigh_run(opened, Silent()), Silent())
            before = hub.xet_bytes
            done = subprocess.run(
                command("push", run, NAME),
                env={**environment(), **settings},
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, done.stderr
            sent.append(hub.xet_bytes - before)
        size = sum(path.stat().st_size for path in (run / "dataset" / "data").iterdir())
        assert sent[0] > size / 2
        assert 0 < sent[1] < sent[0]
        assert sent[2] == 0
        assert hub.put_bytes == 0
        assert len(hub.repos["me/small"].commits) == 3
