"""What people do to a dataset that was pushed: they write into its card, rename it, delete it, and pull over it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from push_cases import NAME, Folder, build_run, read_local, read_pushed, reopen, weigh_anew

from datagen.errors import PushError
from datagen.pipeline import Silent
from datagen.push import complete_push, prepare_push, pull_dataset
from tests.helpers.hub_server import Fault, HubServer
from tests.helpers.runs import Listener

WORDS = b"\nWhat a person wrote here.\n"


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run(tmp_path_factory.mktemp("second") / "run", prompts=6, seed=5, name="second")


def send(run: Path, address: str = NAME, **options: object) -> str:
    return complete_push(prepare_push(reopen(run), address, Silent(), **options)).revision  # type: ignore[arg-type]


def test_a_push_that_changes_nothing_leaves_an_edited_card(hub: HubServer, run: Path) -> None:
    send(run)
    hub.edit("me/small", "README.md", hub.files("me/small")["README.md"] + WORDS)
    commits = len(hub.repos["me/small"].commits)
    assert not prepare_push(reopen(run), NAME, Silent()).plan.missing
    assert send(run) == hub.repos["me/small"].commits[-1][0]
    assert len(hub.repos["me/small"].commits) == commits


def test_an_edited_card_is_written_over_only_if_that_is_said(hub: HubServer, run: Path) -> None:
    send(run)
    edited = hub.files("me/small")["README.md"] + WORDS
    hub.edit("me/small", "README.md", edited)
    weigh_anew(run)
    with pytest.raises(PushError, match=r"README\.md was edited there since the last push\n.*--replace"):
        send(run)
    assert hub.files("me/small")["README.md"] == edited
    send(run, replace=True)
    assert hub.files("me/small")["README.md"] == read_pushed(run)["README.md"]


def test_a_card_that_was_deleted_is_put_back(hub: HubServer, run: Path) -> None:
    send(run)
    tree = dict(hub.repos["me/small"].commits[-1][1])
    del tree["README.md"]
    hub.commit("me/small", tree)
    send(run)
    assert hub.files("me/small")["README.md"] == read_pushed(run)["README.md"]


def test_an_append_keeps_what_was_written_and_again_does_nothing(hub: HubServer, run: Path, second: Path) -> None:
    send(run)
    hub.edit("me/small", "README.md", hub.files("me/small")["README.md"] + WORDS)
    revision = send(second, way="append")
    assert WORDS in hub.files("me/small")["README.md"]
    assert send(second, way="append") == revision
    hub.edit("me/small", "README.md", hub.files("me/small")["README.md"] + WORDS)
    assert send(second, way="append") == hub.repos["me/small"].commits[-1][0]
    assert hub.files("me/small")["README.md"].count(WORDS) == 2


def test_an_edited_card_is_pulled_as_it_is(hub: HubServer, run: Path, tmp_path: Path) -> None:
    send(run)
    hub.edit("me/small", "README.md", hub.files("me/small")["README.md"] + WORDS)
    watch = Listener()
    pull_dataset(NAME, tmp_path / "back", watch)
    assert watch.said == ["README.md was edited there since the last push: kept as it is"]
    assert read_local(tmp_path / "back") == hub.files("me/small")


def test_a_card_in_a_folder_may_be_edited_too(folder: Folder, run: Path, second: Path, tmp_path: Path) -> None:
    revision = send(run, folder.address)
    edited = folder.files()["README.md"] + WORDS
    folder.write("README.md", edited)
    assert send(run, folder.address) == revision
    pull_dataset(folder.address, tmp_path / "back", Silent())
    assert read_local(tmp_path / "back") == folder.files()
    assert (tmp_path / "back" / "README.md").read_bytes() == edited
    appended = send(second, folder.address, way="append")
    assert WORDS in folder.files()["README.md"]
    before = folder.files()
    assert send(second, folder.address, way="append") == appended
    assert folder.files() == before


def test_a_renamed_dataset_is_named_and_its_old_name_not_taken(hub: HubServer, run: Path, tmp_path: Path) -> None:
    send(run)
    hub.rename("me/small", "me/large")
    for call in (lambda: send(run), lambda: pull_dataset(NAME, tmp_path / "back", Silent())):
        with pytest.raises(PushError, match="is called hf://datasets/me/large now\nuse that address"):
            call()
    assert set(hub.repos) == {"me/large"}
    assert hub.count("POST /api/repos/create") == 1
    pull_dataset("hf://datasets/me/large", tmp_path / "back", Silent())


def test_a_deleted_dataset_is_made_again(hub: HubServer, run: Path) -> None:
    send(run)
    before = hub.files("me/small")
    del hub.repos["me/small"]
    send(run)
    assert hub.files("me/small") == before
    assert hub.repos["me/small"].private


def test_a_dataset_deleted_during_a_push_is_not_made_up(hub: HubServer, run: Path) -> None:
    send(run)
    weigh_anew(run)
    order = prepare_push(reopen(run), NAME, Silent())
    del hub.repos["me/small"]
    with pytest.raises(PushError, match="was changed by somebody else during this push"):
        complete_push(order)


def test_a_pull_of_another_revision_leaves_none_of_the_first(hub: HubServer, run: Path, tmp_path: Path) -> None:
    send(run)
    hub.faults.append(Fault("GET .*/resolve/.*train-00007", status=403, message="not now", times=100))
    with pytest.raises(PushError, match="no permission: not now"):
        pull_dataset(NAME, tmp_path / "back", Silent())
    assert len(list((tmp_path / ".back.partial" / "data").iterdir())) > 2
    hub.faults.clear()
    weigh_anew(run)
    send(run)
    pull_dataset(NAME, tmp_path / "back", Silent())
    assert read_local(tmp_path / "back") == hub.files("me/small")


def test_a_run_that_was_moved_is_the_same_run(hub: HubServer, run: Path, tmp_path: Path) -> None:
    revision = send(run)
    shutil.move(run, tmp_path / "another place")
    assert send(tmp_path / "another place") == revision
