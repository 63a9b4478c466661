"""The small parts by themselves: names, manifests, cards, waits, limits."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard

from datagen.errors import PushError, RunError
from datagen.push.dataset import Card, add_view, join, rename
from datagen.push.destination import ATTEMPTS, Again, count_folders, keep_trying
from datagen.push.files import File, Manifest, RunNote
from datagen.push.hub import cut_batches, read_wait

INFO = {
    "features": [{"name": "id", "dtype": "string"}],
    "splits": [{"name": "train", "num_bytes": 10, "num_examples": 2}],
    "download_size": 7,
    "dataset_size": 10,
}
HEADER = {
    "license": "mit",
    "size_categories": ["n<1K"],
    "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}],
    "dataset_info": INFO,
}
CARD = Card(HEADER, "\n# Title\n\n![a](pictures/00-passed.png)\n")


def test_a_file_is_its_content(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(3_000_000)
    (tmp_path / "x.bin").write_bytes(content)
    read = File.read("data/x.bin", tmp_path / "x.bin")
    assert (read.size, read.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert read == File.make("data/x.bin", content)
    assert read.named_by_content().path == f"data/x-{read.sha256[:16]}.bin"
    assert read.content() == content


def test_a_manifest_reads_what_it_writes() -> None:
    notes = [RunNote("né", "f" * 16, {"train": 3})]
    manifest = Manifest.of(notes, [File.make("b", b"1"), File.make("a/ü.png", b"22")])
    assert Manifest.parse(manifest.file.content(), "here") == manifest
    assert manifest.file == Manifest.of(notes, reversed(manifest.files)).file


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b'{"version": 1}', b"\xff", b'{"version": 1, "runs": [], "files": [{"path": "a"}]}']
    + [
        b'{"version": 1, "runs": [], "files": [{"path": "%s", "size": 1, "sha256": "0"}]}' % path
        for path in (b"/etc/x", b"a/../../x", b"", b"a\\\\b")
    ],
)
def test_a_manifest_that_is_none_names_its_place(content: bytes) -> None:
    with pytest.raises(PushError, match=r"^hf://here: "):
        Manifest.parse(content, "hf://here")


def test_a_card_reads_what_it_writes() -> None:
    assert Card.parse(CARD.text, "x") == CARD
    assert CARD.rows == {"train": 2}
    for text in ("no header", "---\nlicense: mit\n---\n", "---\n[\n---\n", "--- \n"):
        with pytest.raises(RunError, match="is no dataset card"):
            Card.parse(text, "x")


def test_a_card_that_people_wrote_in_is_read_as_the_hub_reads_it() -> None:
    header = {"pretty_name": "ends in ---", "tags": None, **HEADER, "train-eval-index": []}
    card = Card(header, CARD.body)
    assert Card.parse(card.text, "x") == card
    assert list(Card.parse(card.text, "x").header) == list(header)
    assert Card.parse(card.text.replace("\n", "\r\n"), "x") == card
    assert DatasetCard(card.text).data["pretty_name"] == "ends in ---"


def test_a_card_follows_names_by_content() -> None:
    names = {"data/train-0.parquet": "data/train-0-ab.parquet", "data/other.parquet": "data/other-cd.parquet"}
    named = rename(CARD, {**names, "pictures/00-passed.png": "pictures/00-passed-ef.png"})
    assert named.patterns("default", "train") == ["data/train-0-ab.parquet"]
    assert "](pictures/00-passed-ef.png)" in named.body
    assert CARD.patterns("default", "train") == ["data/train-*.parquet"], "the card that was given did not change"


def test_a_view_is_one_more_config() -> None:
    paths = {"train": ["pairs/train-0.parquet", "pairs/train-1.parquet"], "validation": ["pairs/validation-0.parquet"]}
    card = add_view(CARD, "pairs", paths, INFO)
    assert card.patterns("pairs", "train") == paths["train"]
    assert card.patterns("pairs", "validation") == ["pairs/validation-0.parquet"]
    assert [info["config_name"] for info in card.header["dataset_info"]] == ["default", "pairs"]
    assert card.rows == CARD.rows


def test_cards_are_joined_by_adding() -> None:
    runs = [RunNote("one", "1" * 16, {"train": 2}), RunNote("two", "2" * 16, {"train": 1998})]
    more = {**INFO, "splits": [{"name": "validation", "num_bytes": 1, "num_examples": 1}]}
    files = [{"split": "validation", "path": "data/validation-*.parquet"}]
    new = Card({**HEADER, "configs": [{"config_name": "default", "data_files": files}], "dataset_info": more}, "")
    joined = join(CARD, new, runs, "x")
    assert joined.rows == {"train": 2, "validation": 1}
    assert joined.patterns("default", "validation") == ["data/validation-*.parquet"]
    assert joined.header["size_categories"] == ["1K<n<10K"]
    again = join(joined, new, [*runs, runs[1]], "x")
    assert again.body.count("## Runs in this dataset") == 1
    assert again.body.count("| two |") == 2
    assert again.header["dataset_info"]["download_size"] == 21
    assert yaml.safe_load(again.text.split("---\n")[1]) == again.header


def test_cards_with_other_configs_are_not_joined() -> None:
    with pytest.raises(RunError, match="has the configs default, but this run has default, pairs"):
        join(CARD, add_view(CARD, "pairs", {"train": ["pairs/train.parquet"]}, INFO), [], "x")


def test_folders_are_counted_with_their_folders() -> None:
    assert count_folders(["a", "b/c", "b/d/e", "b/d/f"]) == {"": 2, "b": 2, "b/d": 2}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120),
        ({"retry-after": "soon"}, None),
        ({"ratelimit": '"api";r=0;t=55'}, 55),
        ({"ratelimit": '"api";r=3;t=55'}, None),
        ({}, None),
    ],
)
def test_what_a_server_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert read_wait(headers) == seconds


def test_batches_are_bounded_and_keep_every_file() -> None:
    rng = random.Random(2)
    files = [File(str(k), rng.choice([1, 1 << 28, 1 << 31]), "") for k in range(300)]
    batches = list(cut_batches(files))
    assert [file for batch in batches for file in batch] == files
    assert all(len(batch) == 1 or (len(batch) <= 50 and sum(f.size for f in batch) <= 1 << 30) for batch in batches)


def test_waits_double_up_to_a_minute_unless_the_server_says(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("datagen.push.destination.time.sleep", slept.append)

    def fail() -> None:
        raise OSError

    with pytest.raises(PushError, match=f"gave up after {ATTEMPTS} tries: cut"):
        keep_trying(fail, (OSError,), lambda error: Again("cut"), "x", lambda text: None)
    assert slept == [1, 2, 4, 8, 16, 32, 60]
    slept.clear()
    with pytest.raises(PushError):
        keep_trying(fail, (OSError,), lambda error: Again("busy", 300.0), "x", lambda text: None)
    assert slept == [300.0] * (ATTEMPTS - 1)
