"""Injected faults and their outcomes: the table of docs/push.md, row by row."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from push_cases import NAME, point_client_at, read_local, read_pushed, reopen

from datagen.errors import PushError
from datagen.pipeline import Silent
from datagen.push import complete_push, prepare_push, pull_dataset
from tests.helpers.hub_server import TOKEN, Fault, HubServer
from tests.helpers.runs import Listener

COMMIT, STORE = "POST /api/datasets/me/small/commit", "PUT /store/"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of our own begin short; those of the hub's client and those that a server asks for are what they are."""
    monkeypatch.setattr("datagen.push.destination.FIRST_WAIT_SECONDS", 0.05)


def push(run: Path) -> Listener:
    watch = Listener()
    complete_push(prepare_push(reopen(run), NAME, watch))
    return watch


def check_whole(hub: HubServer, run: Path) -> None:
    """The remote equals the local, came in one commit, and nothing was sent twice but what a fault had eaten."""
    remote = hub.files("me/small")
    assert {**remote, "datagen.json": b""} == {**read_pushed(run), "datagen.json": b""}
    assert len(hub.repos["me/small"].commits) == 2
    record = json.loads((run / "push.json").read_text(encoding="utf-8"))
    assert record[NAME]["revision"] == hub.repos["me/small"].commits[-1][0]


@pytest.mark.parametrize(
    ("fault", "requests", "said"),
    [
        (Fault("objects/batch", status=429, headers={"Retry-After": "0"}), 2, "429"),
        (Fault(COMMIT, status=429, headers={"Retry-After": "1"}, message="128 commits per hour"), 2, "128 commits"),
        (Fault(COMMIT, status=429, headers={"ratelimit": '"api";r=0;t=1'}), 2, "again in 1 s"),
        (Fault(STORE, status=500, skip=5), 17, "500"),
        (Fault(COMMIT, status=503), 2, "503"),
        (Fault(STORE, "cut", skip=5), 17, "PUT"),
        (Fault(COMMIT, "cut"), 2, "no answer"),
        (Fault(COMMIT, "lose"), 1, "no answer"),
        (Fault(STORE, "damage", skip=5), 17, "does not match its hash"),
        (Fault("GET /api/datasets/me/small/tree", "cut"), 3, ""),
        (Fault("POST /api/repos/create", status=502), 2, "502"),
        (Fault("POST /api/validate-yaml", status=500), 2, "500"),
    ],
    ids=lambda value: f"{value.act} {value.status} {value.match}" if isinstance(value, Fault) else "",
)
def test_what_may_work_later_is_tried_again(hub: HubServer, run: Path, fault: Fault, requests: int, said: str) -> None:
    where = fault.match
    hub.faults.append(fault)
    watch = push(run)
    assert hub.count(where) == requests
    assert said in "\n".join(watch.said)
    check_whole(hub, run)


def test_what_goes_wrong_before_a_push_begins_is_said(hub: HubServer, run: Path) -> None:
    hub.faults.append(Fault("GET /api/datasets/me/small$", status=503, message="asleep", times=2))
    watch = Listener()
    prepare_push(reopen(run), NAME, watch)
    assert [line.split(":")[0] for line in watch.said if "asleep" in line] == ["the hub answers 503"] * 2


def test_no_network_is_said_and_given_up(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HubServer() as server:
        point_client_at(server, tmp_path / "home", monkeypatch)
    monkeypatch.setattr("datagen.push.destination.ATTEMPTS", 2)
    watch = Listener()
    with pytest.raises(PushError, match="gave up after 2 tries: no answer: "):
        prepare_push(reopen(run), NAME, watch)
    assert any("no answer: " in line and "again in" in line for line in watch.said)


def test_retry_after_is_obeyed(hub: HubServer, run: Path) -> None:
    hub.faults.append(Fault(COMMIT, status=429, headers={"Retry-After": "2"}))
    push(run)
    first, second = (hub.moments[k] for k, request in enumerate(hub.requests) if request.startswith(COMMIT))
    assert second - first >= 2.0


def test_a_listing_that_shows_another_hash_is_not_believed(hub: HubServer, run: Path) -> None:
    hub.faults.append(Fault("GET /api/datasets/me/small/tree", "lie", skip=1, times=100))
    with pytest.raises(PushError) as caught:
        push(run)
    assert "arrived damaged 3 times in a row" in str(caught.value)
    assert not (run / "push.json").exists()
    hub.faults.clear()
    push(run)
    assert hub.count(STORE) == 16


def test_a_listing_that_shows_another_hash_once_is_mended(hub: HubServer, run: Path) -> None:
    hub.faults.append(Fault("GET /api/datasets/me/small/tree", "lie", skip=1))
    push(run)
    remote = hub.files("me/small")
    assert {**remote, "datagen.json": b""} == {**read_pushed(run), "datagen.json": b""}


def test_faults_without_end_are_one_error_and_what_was_sent_is_kept(
    hub: HubServer, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datagen.push.destination.ATTEMPTS", 2)
    hub.faults.append(Fault(COMMIT, status=503, message="down for the night", times=100))
    with pytest.raises(PushError) as caught:
        push(run)
    assert str(caught.value) == (
        f"{NAME}: gave up after 2 tries: the hub answers 503: down for the night\n"
        "run the same command again: files that have arrived are kept"
    )
    assert hub.files("me/small") == {}
    hub.faults.clear()
    push(run)
    assert hub.count(STORE) == 16
    check_whole(hub, run)


def expire(hub: HubServer) -> None:
    hub.tokens.clear()


def revoke_write(hub: HubServer) -> None:
    hub.faults.append(Fault(COMMIT, status=403, message="your token cannot write", times=100))


def fill(hub: HubServer) -> None:
    hub.faults.append(Fault(STORE, status=507, message="no space left", skip=4, times=100))


def fill_quota(hub: HubServer) -> None:
    hub.faults.append(Fault("objects/batch", status=403, message="Private storage limit reached", times=100))


@pytest.mark.parametrize(
    ("spoil", "said", "hint"),
    [
        (expire, "the hub does not accept the token (any more): ", "hf auth login"),
        (revoke_write, "no permission: ", "your token cannot write"),
        (fill, "has no room left: no space left", "make room there"),
        (fill_quota, "has no room left: Private storage limit reached", "make room there"),
    ],
)
def test_what_no_waiting_mends_is_one_line_and_nothing_is_lost(
    hub: HubServer, run: Path, spoil: Callable[[HubServer], None], said: str, hint: str
) -> None:
    watch = Listener()
    order = prepare_push(reopen(run), NAME, watch)
    spoil(hub)
    with pytest.raises(PushError) as caught:
        complete_push(order)
    assert said in str(caught.value)
    assert hint in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2
    assert not (run / "push.json").exists()
    hub.faults.clear()
    hub.tokens.add(TOKEN)
    push(run)
    check_whole(hub, run)
    assert hub.put_bytes <= 1.5 * sum(len(content) for content in hub.store.values())


def test_a_token_that_expires_half_way_keeps_what_was_sent(hub: HubServer, run: Path) -> None:
    watch = Listener()
    order = prepare_push(reopen(run), NAME, watch)
    invalid = {"X-Error-Message": "Invalid credentials in Authorization header"}
    hub.faults.append(Fault("POST /api/validate-yaml", status=401, headers=invalid, times=100))
    with pytest.raises(PushError, match="does not accept the token"):
        complete_push(order)
    assert hub.count(STORE) == 16
    assert hub.files("me/small") == {}
    hub.faults.clear()
    push(run)
    assert hub.count(STORE) == 16
    check_whole(hub, run)


def test_a_server_that_repeats_the_token_does_not_bring_it_into_an_error(hub: HubServer, run: Path) -> None:
    hub.faults.append(Fault(COMMIT, status=503, message=f"overloaded, dear {TOKEN}"))
    hub.faults.append(Fault(COMMIT, status=403, message=f"not you, {TOKEN}", times=100))
    watch = Listener()
    with pytest.raises(PushError) as caught:
        complete_push(prepare_push(reopen(run), NAME, watch))
    assert "not you, <token>" in str(caught.value)
    assert any("dear <token>" in line for line in watch.said)
    trace = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in str(caught.value) + "".join(watch.said) + trace


def test_signatures_of_the_store_are_in_no_message(hub: HubServer, run: Path) -> None:
    hub.faults.append(Fault(STORE, status=500))
    watch = push(run)
    assert "/store/" in "".join(watch.said)
    assert "s3cr3t" not in "".join(watch.said)


def test_somebody_elses_commit_is_not_overwritten(hub: HubServer, run: Path) -> None:
    push(run)
    (run / "dataset" / "data" / "extra.txt").write_bytes(b"more")
    order = prepare_push(reopen(run), NAME, Silent())
    hub.commit("me/small", {**hub.repos["me/small"].commits[-1][1], "README.md": b"by hand"})
    with pytest.raises(PushError, match="was changed by somebody else during this push"):
        complete_push(order)
    assert hub.files("me/small")["README.md"] == b"by hand"


def test_a_pull_over_a_bad_line_ends_whole(hub: HubServer, run: Path, tmp_path: Path) -> None:
    push(run)
    for status in (500, 503):
        hub.faults.append(Fault("GET /datasets/me/small/resolve/.*parquet", status=status, skip=3))
    pull_dataset(NAME, tmp_path / "back", Silent())
    assert read_local(tmp_path / "back") == hub.files("me/small")


def test_a_pull_of_a_damaged_file_names_it(hub: HubServer, run: Path, tmp_path: Path) -> None:
    push(run)
    path = "data/train-00003-of-00009.parquet"
    content = hub.files("me/small")[path]
    hub.repos["me/small"].commits[-1][1][path] = content[:-1] + b"?"
    with pytest.raises(PushError, match=f"{path} differs from the manifest"):
        pull_dataset(NAME, tmp_path / "back", Silent())
    assert not (tmp_path / "back").exists()
    hub.repos["me/small"].commits[-1][1][path] = content
    pull_dataset(NAME, tmp_path / "back", Silent())
    assert read_local(tmp_path / "back") == hub.files("me/small")
