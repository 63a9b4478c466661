"""Bad input: each is one line that says what, where and what to do, and nothing there is touched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from push_cases import NAME, add_view, build_run, hub_environment, read_local, reopen

from datagen.errors import ConfigError, DatagenError, PushError, RunError
from datagen.pipeline import Silent, open_run, weigh_run
from datagen.push import complete_push, prepare_push, pull_dataset
from tests.helpers.hub_server import Fault, HubServer
from tests.helpers.runs import Listener, command, environment


def push(run: Path, address: str = NAME, **options: object) -> None:
    complete_push(prepare_push(reopen(run), address, Silent(), **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("somewhere", "is no destination"),
        ("ftp://host/x", "the scheme 'ftp' is not known"),
        ("hf://me/small", "is no dataset of a hub"),
        ("hf://datasets/a/b/c", "is no dataset of a hub"),
        ("hf://datasets/../x", "is no dataset of a hub"),
        ("hf://datasets/", "is no dataset of a hub"),
        ("s3://KEY:SECRET@bucket/x", "an address must not hold credentials"),
        (f"{NAME}@v1", "names a revision"),
        ("file://relative/x", "cannot be used"),
        ("file:///", "names no bucket or folder"),
        ("s3://", "names no bucket or folder"),
        ("gs:///folder", "names no bucket or folder"),
    ],
)
def test_an_address_that_is_none(run: Path, address: str, said: str) -> None:
    with pytest.raises(DatagenError) as caught:
        push(run, address)
    assert said in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_no_permission(hub: HubServer, run: Path) -> None:
    with pytest.raises(PushError) as caught:
        push(run, "hf://datasets/other/small")
    assert "no permission: You don't have the rights to create a dataset under the namespace 'other'" in str(
        caught.value
    )
    assert not hub.count("PUT")


def test_nobody_is_logged_in(hub: HubServer, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(PushError, match=r"nobody is logged in.*\n`hf auth login`"):
        push(run)


def test_nobody_is_logged_in_and_the_name_has_no_owner(
    hub: HubServer, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    watch = Listener()
    with pytest.raises(PushError, match=r"nobody is logged in\n`hf auth login`"):
        prepare_push(reopen(run), "hf://datasets/small", watch)
    assert watch.said == [], "no waiting mends it"


def test_the_token_in_the_clients_own_file_is_used(
    hub: HubServer, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    from tests.helpers.hub_server import TOKEN

    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    push(run)
    assert "README.md" in hub.files("me/small")


def test_a_dataset_of_another_recipe(hub: HubServer, run: Path, tmp_path: Path) -> None:
    other = build_run(tmp_path / "other", prompts=4, seed=9, name="other")
    push(other)
    before = hub.files("me/small")
    with pytest.raises(PushError) as caught:
        push(run)
    assert "has the run 'other' of another recipe" in str(caught.value)
    assert "--replace" in str(caught.value)
    assert hub.files("me/small") == before
    push(run, replace=True)
    assert set(hub.files("me/small")) == {
        *read_local(run / "dataset"),
        "datagen.json",
    }


def test_somebody_elses_files(hub: HubServer, run: Path) -> None:
    hub.create("me/small", private=True, files={"README.md": b"mine", "data.csv": b"a,b"})
    with pytest.raises(PushError, match=r"has files that datagen did not push: data\.csv"):
        push(run)
    assert hub.files("me/small") == {"README.md": b"mine", "data.csv": b"a,b"}


def test_an_empty_dataset_is_filled(hub: HubServer, run: Path) -> None:
    hub.create("me/small", private=True)
    push(run)
    assert "datagen.json" in hub.files("me/small")


@pytest.mark.parametrize(
    ("private", "public", "said"),
    [(False, False, "exists and is public"), (True, True, "exists and is private")],
)
def test_a_dataset_never_changes_who_may_see_it(
    hub: HubServer, run: Path, private: bool, public: bool, said: str
) -> None:
    hub.create("me/small", private=private)
    with pytest.raises(PushError, match=said):
        push(run, public=public)


def test_a_folder_cannot_be_made_public(run: Path, tmp_path: Path) -> None:
    with pytest.raises(PushError, match="cannot be made public from here"):
        push(run, f"file://{tmp_path}/there", public=True)


def test_a_manifest_that_is_none(hub: HubServer, run: Path, tmp_path: Path) -> None:
    hub.create("me/small", private=True, files={"datagen.json": b'{"version": 7}'})
    with pytest.raises(PushError, match=r"datagen\.json is no manifest of datagen: version 7"):
        push(run)


@pytest.mark.parametrize(
    "path",
    [
        "../../x",
        "/etc/x",
        "a/../../x",
        "C:\\x",
        ".git/hooks/post-checkout",
        "data/.x",
        ".",
        "",
        "a\0b",
        "a\nb",
        "\ud83d",
        7,
    ],
)
def test_a_manifest_decides_on_no_place_outside_and_no_hidden_file(path: object, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    file = {"path": path, "size": 1, "sha256": "0"}
    (there / "datagen.json").write_text(json.dumps({"version": 1, "runs": [], "files": [file]}), encoding="utf-8")
    with pytest.raises(PushError, match="is no manifest of datagen"):
        pull_dataset(f"file://{there}", tmp_path / "back", Silent())
    assert [*tmp_path.iterdir()] == [there]


def test_hidden_files_of_other_programs_are_not_published(run: Path, tmp_path: Path) -> None:
    (run / "dataset/.DS_Store").write_bytes(b"x")
    complete_push(prepare_push(reopen(run), f"file://{tmp_path}/there", Silent()))
    assert (tmp_path / "there/README.md").is_file()
    assert not [*(tmp_path / "there").rglob(".DS_Store")]


def test_a_pull_does_not_write_over_a_folder(hub: HubServer, run: Path, tmp_path: Path) -> None:
    push(run)
    with pytest.raises(RunError, match="exists already"):
        pull_dataset(NAME, tmp_path, Silent())


def test_too_many_files_for_a_folder_of_the_hub(hub: HubServer, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datagen.push.hub.Hub.limits", (11, 100))
    with pytest.raises(PushError, match="takes 11 files in a folder and 100 in all; data has 12"):
        push(run)
    assert hub.repos == {}


def test_offline_mode(hub: HubServer, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PushError, match="offline mode"):
        push(run)


def test_a_card_that_the_hub_refuses(hub: HubServer, run: Path) -> None:
    hub.faults.append(Fault("POST /api/validate-yaml", status=400, message="license is not known", times=9))
    with pytest.raises(PushError, match="license is not known"):
        push(run)
    assert hub.files("me/small") == {}


def test_a_run_that_lacks_scores(run: Path) -> None:
    (run / "scores" / "00001.jsonl").unlink()
    with pytest.raises(RunError, match="is not finished: 1 of its shards lack samples or scores"):
        push(run)


def test_a_run_without_a_dataset(run: Path) -> None:
    (run / "dataset").rename(run / "elsewhere")
    with pytest.raises(RunError, match="there is no dataset yet"):
        push(run)


def test_a_shard_that_was_cut(hub: HubServer, run: Path) -> None:
    path = run / "dataset" / "data" / "train-00003-of-00009.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunError, match=rf"{path.name}: is damaged: .*\n`datagen export"):
        push(run)
    assert hub.repos == {}


def test_a_shard_that_is_lost(hub: HubServer, run: Path) -> None:
    (run / "dataset" / "data" / "train-00003-of-00009.parquet").unlink()
    with pytest.raises(RunError, match="has 32 rows in 'train', but its card says 36"):
        push(run)
    assert hub.repos == {}


def test_a_view_that_was_cut(run: Path) -> None:
    (add_view(run, "pairs") / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(RunError, match=r"train\.parquet: is damaged"):
        push(run, views=["pairs"])


def test_a_run_without_a_view(run: Path) -> None:
    with pytest.raises(RunError, match="there is no such view"):
        push(run, views=["pairs"])


def test_a_dataset_older_than_its_weights(run: Path) -> None:
    weigh_run(open_run(str(run), ["weights.policy=best"]), Silent())
    with pytest.raises(RunError, match=r"dataset: is stale: made with other weights .*\nfirst: datagen export"):
        push(run)


def test_a_run_that_another_process_is_building(hub: HubServer, run: Path, tmp_path: Path) -> None:
    settings = hub_environment(hub.url, tmp_path / "home")
    with reopen(run).folder.hold():
        done = subprocess.run(
            command("push", run, NAME), capture_output=True, text=True, env={**environment(), **settings}, timeout=120
        )
    assert done.returncode == 1
    assert done.stderr.startswith("RunError: ")
    assert "another datagen is writing this run" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
    assert hub.repos == {}


def test_help_of_the_commands_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom datagen.cli import app\n"
        "try: app(['push', '--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('huggingface_hub', 'pyarrow', 'datagen.pipeline') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unknown_run_is_a_run_error(hub: HubServer) -> None:
    with pytest.raises(RunError, match="no such run"):
        push(Path("nowhere"))
    with pytest.raises(ConfigError):
        pull_dataset("nowhere", Path("x"), Silent())
