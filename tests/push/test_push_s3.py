"""Buckets and folders: a real S3 server, an emulator of Google's and this machine, the same cases on all."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from push_cases import Folder, read_local, reopen, weigh_anew

from datagen.errors import PushError
from datagen.pipeline import Silent
from datagen.push import complete_push, prepare_push, pull_dataset
from tests.helpers.runs import Listener, command, environment
from tests.helpers.s3_server import BUCKET, KEYS, S3Server


def push(run: Path, address: str) -> Listener:
    watch = Listener()
    complete_push(prepare_push(reopen(run), address, watch))
    return watch


def strip_hashes(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files under the names they had, without card and manifest, which name the others."""
    renamed = {re.sub(r"-[0-9a-f]{16}(?=\.\w+$)", "", path): content for path, content in files.items()}
    return {path: content for path, content in renamed.items() if path not in ("README.md", "datagen.json")}


def test_the_remote_is_the_local_folder(folder: Folder, run: Path) -> None:
    push(run, folder.address)
    remote = folder.files()
    assert strip_hashes(remote) == strip_hashes(read_local(run / "dataset"))
    listed = {each["path"] for each in json.loads(remote["datagen.json"])["files"]}
    assert listed == set(remote) - {"datagen.json"}
    assert folder.address in json.loads((run / "push.json").read_text(encoding="utf-8"))


def test_pull_gives_back_equal_rows(folder: Folder, run: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    push(run, folder.address)
    pull_dataset(folder.address, tmp_path / "back", Silent())
    assert read_local(tmp_path / "back") == folder.files()
    cache = str(tmp_path / "cache")
    there = load_dataset(str(tmp_path / "back"), cache_dir=cache)
    here = load_dataset(str(run / "dataset"), cache_dir=cache)
    for split in ("train", "validation"):
        assert there[split].with_format("arrow")[:] == here[split].with_format("arrow")[:]
    card = (tmp_path / "back" / "README.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\((pictures/[^)]+)\)", card):
        assert (tmp_path / "back" / link).is_file()
    name = folder.address.rsplit("/", 1)[-1]
    fetch = shlex.join(["datagen", "pull", folder.address, name])
    assert f'load_dataset("{name}")  # after: {fetch}\n' in card


def test_what_is_there_is_not_sent_again_and_what_is_damaged_is(folder: Folder, run: Path) -> None:
    push(run, folder.address)
    before = folder.files()
    plan = prepare_push(reopen(run), folder.address, Silent()).plan
    assert not plan.missing
    path = next(path for path in before if path.endswith(".parquet"))
    folder.write(path, bytes(len(before[path])))
    assert any(f"{path} arrived damaged" in line for line in push(run, folder.address).said)
    folder.write(path, b"cut")
    push(run, folder.address)
    assert folder.files() == before


def test_new_weights_replace_the_old_and_leave_nothing_behind(folder: Folder, run: Path) -> None:
    push(run, folder.address)
    folder.write("notes.txt", b"by hand")
    folder.write("data/train-00000-of-00009-0123456789abcdef.parquet", b"left by a push that was killed")
    weigh_anew(run)
    push(run, folder.address)
    remote = folder.files()
    assert remote.pop("notes.txt") == b"by hand"
    assert strip_hashes(remote) == strip_hashes(read_local(run / "dataset"))
    assert len(remote) == len(read_local(run / "dataset")) + 1


def test_card_and_manifest_come_last_and_name_only_what_is_whole(folder: Folder, run: Path) -> None:
    order = prepare_push(reopen(run), folder.address, Silent())
    order.destination.stage([file for file in order.plan.missing if "/" in file.path], False)
    assert not {"README.md", "datagen.json"} & set(folder.files())
    with pytest.raises(PushError, match="has no dataset pushed by datagen"):
        pull_dataset(folder.address, run / "back", Silent())


def test_a_push_that_meets_another_says_so(folder: Folder, run: Path) -> None:
    push(run, folder.address)
    order = prepare_push(reopen(run), folder.address, Silent())
    manifest = json.loads(folder.files()["datagen.json"])
    manifest["runs"][0]["name"] = "another"
    folder.write("datagen.json", json.dumps(manifest).encode())
    with pytest.raises(PushError, match="was changed by somebody else during this push"):
        complete_push(order)


def test_a_file_that_arrives_damaged_every_time_is_an_error(
    folder: Folder, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = prepare_push(reopen(run), folder.address, Silent())
    victim = next(path for path in (run / "dataset" / "data").iterdir())
    content = victim.read_bytes()
    victim.write_bytes(bytes(len(content)))  # the disk here gives other bytes than were hashed
    with pytest.raises(PushError, match="arrived damaged 3 times in a row"):
        complete_push(order)
    assert not {"README.md", "datagen.json"} & set(folder.files())
    victim.write_bytes(content)
    push(run, folder.address)
    assert strip_hashes(folder.files()) == strip_hashes(read_local(run / "dataset"))


@pytest.mark.parametrize(
    ("keys", "bucket", "said"),
    [
        (KEYS["reader"], BUCKET, "no permission: "),
        (("AKNOBODY", "nothing"), BUCKET, "no permission: "),
        (KEYS["admin"], "no-such-bucket", "there is no such bucket"),
    ],
)
def test_a_bucket_that_cannot_be_written_is_one_line(
    s3: S3Server, run: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, str], bucket: str, said: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys[1])
    with pytest.raises(PushError) as caught:
        push(run, f"s3://{bucket}/denied")
    assert said in str(caught.value)
    assert keys[1] not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_a_server_that_is_not_there_is_given_up(run: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datagen.push.destination.ATTEMPTS", 2)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(PushError, match=r"gave up after 2 tries: .*NETWORK_CONNECTION"):
        push(run, "s3://bucket/x")


def test_a_full_disk_is_one_line_and_the_next_push_goes_on(run: Path, tmp_path: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("needs user namespaces, to mount a disk small enough to fill")
    disk = tmp_path / "disk"
    disk.mkdir()
    send = " ".join(command("push", run, f"file://{disk}/set"))
    script = (
        f"mount -t tmpfs -o size=200k tmpfs {disk} && {{ {send}; code=$?; ls {disk}/set; "
        f"mount -o remount,size=4m {disk}; {send}; exit $code; }}"
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, env=environment(), timeout=300
    )
    if "mount:" in done.stderr:
        pytest.skip(f"no mount in a user namespace here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "files that have arrived are kept" in done.stderr
    assert "Traceback" not in done.stderr
    assert "18 files verified" in done.stdout
    assert done.stdout.count("datagen.json") == 0
