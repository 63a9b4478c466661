"""What is exported and pushed says nothing of the machine: no path, no home, no server, unless the recipe asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from datagen.addresses import hide_addresses, without_addresses
from datagen.cli import app
from datagen.config import make_recipe
from datagen.errors import RunError
from datagen.pipeline import Silent, export_run, find_sample, make_again, open_run, publish_recipe, weigh_run
from datagen.push import prepare_push
from datagen.records import Sample
from datagen.store import RunFolder
from tests.helpers.faulty_server import FaultyServer
from tests.helpers.runs import build_here, small_recipe

TOLD = ("secret", "somebody", "10.1.2.3", "127.0.0.1", "localhost", "base_url", "MY_KEY")
"""What must not be published; every folder of the run below has `secret` in its name."""
VIEWS = {
    "jsonl": {"view": "trajectories", "format": "jsonl"},
    "datasets": {"view": "trajectories", "format": "datasets"},
    "chat": {"view": "directions", "format": "chat"},
    "llamafactory": {"view": "directions", "format": "llamafactory"},
    "ms_swift": {"view": "directions", "format": "ms_swift"},
    "verl": {"view": "trajectories", "format": "verl"},
    "sensenova": {"view": "trajectories", "format": "sensenova"},
    "webdataset": {"view": "trajectories", "format": "webdataset"},
    "imagefolder": {"view": "trajectories", "format": "imagefolder"},
    "bagel": {"view": "trajectories", "format": "bagel_t2i"},
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run drawn by a server, with every file of its recipe in a folder of the machine."""
    home = tmp_path_factory.mktemp("secret")
    shipped = Path(__file__).parent.parent / "taxonomies"
    (home / "mine.yaml").write_text((shipped / "counting.yaml").read_text())
    (home / "lexicon.yaml").write_text((shipped / "lexicons" / "pictograms.yaml").read_text())
    (home / "known.txt").write_text("a photo of nothing\n")
    (home / "words.txt").write_text("rude\n")
    with FaultyServer(models=("/home/somebody/models/tiny",)) as server:
        recipe = small_recipe(
            prompts=4,
            mode="direct",
            taxonomy=[str(home / "mine.yaml")],
            lexicon=str(home / "lexicon.yaml"),
            contamination=[str(home / "known.txt")],
            screen={"words": [str(home / "words.txt")]},
            rewards=["tests.helpers.telling"],
            weights={"policy": "uniform"},
            backend={
                **{"name": "openai", "base_url": server.url, "model": "/home/somebody/models/tiny", "api": "images"},
                **{"api_key_env": "MY_KEY", "retries": 0, "extra_body": {"cache": "/home/somebody/cache/kv"}},
            },
            judge={"name": "openai", "base_url": "http://localhost:9/v1", "model": "judge"},
            exports=VIEWS,
        )
        build_here(recipe, home / "run")
    return home / "run"


def read_published(run: Path) -> Iterator[tuple[str, str]]:
    """Yield every file of the dataset and of its views by name, and all the text in it but that of pictures."""
    for part in ("dataset", "exports"):
        for path in sorted((run / part).rglob("*")):
            if path.suffix == ".parquet":
                yield path.name, repr([_drop_bytes(row) for row in pq.read_table(path).to_pylist()])
                yield path.name, repr(pq.read_schema(path).metadata)
            elif path.is_file() and path.suffix != ".png":
                yield path.name, path.read_bytes().decode("utf-8", errors="replace")


def _drop_bytes(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _drop_bytes(each) for key, each in value.items()}
    return (
        [_drop_bytes(each) for each in value] if isinstance(value, list) else "" if isinstance(value, bytes) else value
    )


def test_nothing_that_is_published_tells_of_the_machine(built: Path) -> None:
    texts = list(read_published(built))
    assert {"README.md", "train.jsonl"} <= {name for name, _ in texts}
    for name, text in texts:
        assert not [word for word in (*TOLD, str(Path.home()) + "/") if word in text], name
    card = (built / "dataset" / "README.md").read_text()
    assert "mine.yaml" in card
    assert "known.txt" in card
    assert "read labels.txt, asked &#91;address&#93;" in card
    row = pq.read_table(next((built / "dataset" / "data").glob("train-*"))).to_pylist()[0]
    assert json.loads(row["settings"])["model"] == "tiny"
    assert json.loads(row["provenance"])["model"]["model"] == "tiny"
    assert row["reason_tests_helpers_telling"] == "read labels.txt, asked [address] [address]"


def test_samples_do_not_note_where_the_server_was(built: Path) -> None:
    (sample, *_) = list(RunFolder(str(built)).read_samples(0))
    assert "base_url" not in sample.settings
    assert sample.settings["model"] == "/home/somebody/models/tiny"


def test_addresses_are_published_on_request_and_a_push_wants_the_same(built: Path, tmp_path: Path) -> None:
    def call(*words: str) -> str:
        return CliRunner().invoke(app, list(words), catch_exceptions=False).output

    target = f"file://{tmp_path}/pushed"
    assert "files verified" in call("push", str(built), target)
    call("weigh", str(built), "--set", "addresses=true")
    with pytest.raises(RunError, match="is stale: made under other settings than the run has now"):
        call("push", str(built), target)
    call("export", str(built))
    card = (built / "dataset" / "README.md").read_text()
    assert str(built.parent / "mine.yaml") in card
    assert "base_url: http://127.0.0.1" in card
    call("weigh", str(built), "--set", "addresses=false")
    call("export", str(built))


def test_a_view_that_names_a_folder_of_the_machine_is_not_pushed(built: Path, tmp_path: Path) -> None:
    opened = open_run(str(built), ["exports.bagel.format={name: bagel_t2i, root: /home/somebody/exports}"])
    export_run(opened, weigh_run(opened, Silent()), Silent())
    with pytest.raises(RunError, match="its files contain a path of this machine: root is '/home/somebody/exports'"):
        prepare_push(opened, f"file://{tmp_path}/pushed", Silent(), views=["bagel"])
    prepare_push(opened, f"file://{tmp_path}/pushed", Silent(), views=["jsonl"])


def test_a_sample_that_still_notes_its_server_is_made_again_as_the_same(tmp_path: Path) -> None:
    with FaultyServer() as server:
        backend = {"name": "openai", "base_url": server.url, "model": "tiny", "api": "images", "retries": 0}
        run, _ = build_here(
            small_recipe(prompts=2, mode="direct", rewards=["counting"], backend=backend), tmp_path / "r"
        )
        found = find_sample(run, f"{next(iter(run.folder.read_prompts(0))).id}-00")
        assert isinstance(found.sample, Sample)
        assert make_again(run, found) == []
        old = {**found.sample.settings, "base_url": "http://elsewhere:8000/v1"}
        assert make_again(run, replace(found, sample=replace(found.sample, settings=old))) == []
        other = {**found.sample.settings, "temperature": 0.5}
        assert len(make_again(run, replace(found, sample=replace(found.sample, settings=other)))) == 1


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("/data/models/janus", "janus"),
        ("~/models/janus/", "janus"),
        ("../private/words.txt", "words.txt"),
        ("/home/somebody", "home"),
        ("~somebody", "home"),
        (r"C:\Users\somebody\mine.yaml", "mine.yaml"),
        ("file:///srv/models/emu", "emu"),
        ("s3://bucket/somebody/emu", "emu"),
        ("deepseek-ai/Janus-Pro-1B", "deepseek-ai/Janus-Pro-1B"),
        ("my_words/mine.yaml", "my_words/mine.yaml"),
        ("{prompt} /no_think", "{prompt} /no_think"),
        ("<think>{prompt}</think>", "<think>{prompt}</think>"),
        ("left/right and 3/4", "left/right and 3/4"),
        ("--template=/srv/chat/x.jinja", "--template=x.jinja"),
        ("no file '/srv/chat/x.jinja': gone", "no file 'x.jinja': gone"),
        ("1024x1024", "1024x1024"),
        ("found 3 stars: 2.5 too many", "found 3 stars: 2.5 too many"),
    ],
)
def test_a_path_becomes_its_name_and_what_is_none_stays(given: str, shown: str) -> None:
    assert without_addresses({"model": given}) == {"model": shown}


def test_servers_and_keys_go_wherever_they_stand() -> None:
    values = {
        **{"name": "openai", "base_url": "http://h/v1", "model": "m", "api_key_env": "K", "image_size": "64x64"},
        "engine": {
            "host": "node7",
            "rpc_port": 5,
            "addr": "x",
            "swap": 4,
            "main": "node7.cluster:29500",
            "max_tokens": 5,
        },
        "extra_body": {"callback": "https://h/x", "hosts": ["http://a/", "b"], "password": "p"},
    }
    assert without_addresses(values) == {
        **{"name": "openai", "model": "m", "image_size": "64x64"},
        "engine": {"swap": 4, "max_tokens": 5},
        "extra_body": {"hosts": ["b"]},
    }


@given(st.text(alphabet="abz019 .,:;'\"()/\\~<>{}|_-\n", max_size=60))
def test_cleaning_ends_and_cleaning_twice_changes_nothing_more_of_what_holds_no_mark(text: str) -> None:
    assert isinstance(hide_addresses(text), str)
    if not set(text) & set("/\\:"):
        assert hide_addresses(text) == text


def test_every_file_of_a_recipe_stands_by_its_name() -> None:
    recipe = make_recipe(
        {
            **{
                "taxonomy": ["counting", "rel/secret/a.yaml"],
                "lexicon": "/x/secret/b.yaml",
                "canaries": "secret/c.jsonl",
            },
            "contamination": ["/x/secret/d.txt"],
            "allocate": {"policy": "by_failure", "diagnosis": "secret/e.yaml"},
            "screen": {"words": ["shipped", "secret/f.txt"]},
            "expand": {"instruction": "secret/g.j2", "backend": {"name": "openai", "base_url": "http://secret/v1"}},
        }
    )
    shown = yaml.safe_load(publish_recipe(recipe))
    assert "secret" not in publish_recipe(recipe)
    assert shown["taxonomy"] == ["counting", "a.yaml"]
    assert (shown["lexicon"], shown["canaries"], shown["contamination"]) == ("b.yaml", "c.jsonl", ["d.txt"])
    assert (shown["allocate"]["diagnosis"], shown["screen"]["words"]) == ("e.yaml", ["shipped", "f.txt"])
    assert shown["expand"]["instruction"] == "g.j2"
