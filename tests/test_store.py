"""The run folder: files whole or not at all, the same bytes for the same records, damage named."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from datagen.errors import RunError
from datagen.records import Claim, Failure, Prompt, Sample, Score, Segment
from datagen.store import RunFolder
from tests.helpers.runs import environment

PROMPT = Prompt.make(
    "zwei Äpfel",
    (Claim("count", "apple", "", 2),),
    weakness="w",
    skill="s",
    level="easy",
    index=0,
    seed=1,
    template="t",
)
SAMPLE = Sample(
    f"{PROMPT.id}-00", PROMPT.id, 0, 2**62, "think", "e", "autonomous", "stop",
    (Segment("text", "think", text="a plan"), Segment("image", "image", image=b"\x89PNG")), {"t": 1.0},
)  # fmt: skip
SCORE = Score(SAMPLE.id, "counting", "image", None, "cannot see", {"found": {"apple": 1}})
FAILURE = Failure("generate", PROMPT.id, 1, "no image", "some\nlines")


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run" if request.param == "local" else f"memory://{tmp_path.name}/run")


def fill(folder: RunFolder) -> None:
    folder.write_prompts(3, [PROMPT])
    folder.write_samples(3, [SAMPLE])
    folder.write_scores(3, [SCORE])
    folder.write_failures(3, [FAILURE])


def test_records_come_back_as_they_were(folder: RunFolder) -> None:
    fill(folder)
    assert folder.read_prompts(3) == [PROMPT]
    assert folder.read_samples(3) == [SAMPLE]
    assert folder.read_scores(3) == [SCORE]
    assert folder.read_failures(3) == [FAILURE]
    assert folder.list_shards("samples") == [3]
    assert folder.count_samples(3) == 1
    assert not folder.find_damage("samples", [3]) + folder.find_damage("scores", [3])


def test_notes_and_log(folder: RunFolder) -> None:
    assert not folder.exists()
    folder.write_notes({"recipe": {"a": 1}})
    folder.log("one")
    folder.log("two")
    assert folder.exists()
    assert folder.read_notes() == {"recipe": {"a": 1}}


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fill(RunFolder(tmp_path / name))
    for file in ("prompts/00003.jsonl", "samples/00003.parquet", "scores/00003.jsonl", "failures/00003.jsonl"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_leftovers_do_not_count_and_are_cleared(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    fill(folder)
    left = [tmp_path / "samples/.00004.parquet.123.part", tmp_path / ".run.yaml.9.part"]
    left += [
        tmp_path / name for name in (".dataset.partial/half", "exports/.sft.partial/half", "exports/.dpo.old/data")
    ]
    (tmp_path / "exports/dpo").mkdir(parents=True)
    (tmp_path / "exports/.swapped.old").mkdir()  # killed between the two renames
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    assert folder.list_shards("samples") == [3]
    with folder.hold():
        assert not any(path.exists() for path in left)
    assert {path.name for path in (tmp_path / "exports").iterdir()} == {"dpo", "swapped"}
    assert folder.read_samples(3) == [SAMPLE]


@pytest.mark.parametrize("keep", [0, 3, 100, -1, -5])
def test_a_cut_parquet_file_is_found_and_named(tmp_path: Path, keep: int) -> None:
    folder = RunFolder(tmp_path)
    fill(folder)
    path = tmp_path / "samples/00003.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    assert [damage.where for damage in folder.find_damage("samples", [3])] == [str(path)]
    with pytest.raises(RunError, match="damaged") as caught:
        folder.read_samples(3)
    assert str(path) in caught.value.where
    assert "delete that file" in caught.value.hint


def test_a_half_written_line_is_found_and_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_scores(0, [SCORE, SCORE, SCORE])
    path = tmp_path / "scores/00000.jsonl"
    path.write_bytes(path.read_bytes()[:-7])
    assert [damage.what for damage in folder.find_damage("scores", [0])] == ["its last line is cut"]
    with pytest.raises(RunError, match="cut"):
        folder.read_scores(0)
    path.write_bytes(path.read_bytes() + b"\n")
    assert folder.find_damage("scores", [0])
    with pytest.raises(RunError) as caught:
        folder.read_scores(0)
    assert caught.value.where == f"{path}:3"


@pytest.mark.parametrize("line", ['{"stage": "x"}', "[1]", '"text"', "{}", '{"sample_id": 1, "other": 2}'])
def test_a_line_of_another_shape_is_named(tmp_path: Path, line: str) -> None:
    folder = RunFolder(tmp_path)
    folder.write_scores(0, [SCORE])
    path = tmp_path / "scores/00000.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(RunError, match="damaged") as caught:
        folder.read_scores(0)
    assert caught.value.where.endswith(":2")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("settings", None, "a row has no value in the column settings"),
        ("settings", "{", "is damaged: Expecting property name"),
        ("settings", "[1]", "the settings of a row are no JSON object"),
        ("seed", None, "a row has no value in the column seed"),
        (
            "segments",
            [{"kind": None, "role": "image", "text": "", "image": b"x"}],
            "no value in the column segments.kind",
        ),
    ],
)
def test_a_row_that_no_sample_was_written_as_is_a_damage(column: str, value: object, said: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = RunFolder(tmp_path)
    folder.write_samples(0, [SAMPLE, SAMPLE])
    path = tmp_path / "samples/00000.parquet"
    table = pq.read_table(path)
    place = table.column_names.index(column)
    values = [value, *table.column(place).to_pylist()[1:]]
    pq.write_table(table.set_column(place, table.field(place), pa.array(values, table.field(place).type)), path)
    with pytest.raises(RunError, match=rf"00000\.parquet: .*{re.escape(said)}"):
        folder.read_samples(0)


def test_a_parquet_file_of_something_else_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "samples").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "samples/00000.parquet")
    with pytest.raises(RunError, match="columns"):
        RunFolder(tmp_path).read_samples(0)


def test_missing_files_and_foreign_folders(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(RunError, match="missing"):
        folder.read_prompts(0)
    with pytest.raises(RunError, match="not a run"):
        folder.read_notes()
    (tmp_path / "run.yaml").write_text("[broken", encoding="utf-8")
    with pytest.raises(RunError, match="broken YAML"):
        folder.read_notes()
    (tmp_path / "run.yaml").write_text("a: 1", encoding="utf-8")
    with pytest.raises(RunError, match="not the note of a run"):
        folder.read_notes()
    with pytest.raises(RunError, match="cannot be used"):
        RunFolder("nosuchprotocol://x/y")


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(RunError, match="cannot be written"):
        RunFolder(tmp_path / "file/run").write_prompts(0, [PROMPT])


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    # The limit on file size makes the kernel refuse the write half way, as a full disk does.
    code = (
        "import resource, signal, sys; from datagen.store import RunFolder; from datagen.errors import RunError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); folder = RunFolder(sys.argv[1])\n"
        "folder.write_file('small', b'1' * 1000); resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "try: folder.write_file('large', b'1' * 5000)\n"
        "except RunError as error: print(error)\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment(), timeout=120)
    assert "cannot be written: File too large" in done.stdout, done.stderr
    assert "finished shards are kept" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_a_run_is_held_by_one_process(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    code = f"from datagen.store import RunFolder\nwith RunFolder({str(tmp_path / 'run')!r}).hold(): print('held')"
    arguments = [sys.executable, "-c", code]
    with folder.hold():
        second = subprocess.run(arguments, capture_output=True, text=True, env=environment(), timeout=120)
    assert "another datagen is writing this run" in second.stderr
    third = subprocess.run(arguments, capture_output=True, text=True, env=environment(), timeout=120)
    assert third.stdout == "held\n"


def test_files_of_a_store_are_read_at_the_same_time_and_come_in_order(tmp_path: Path) -> None:
    far, together = RunFolder(f"memory://{tmp_path.name}/run"), threading.Barrier(8)

    def look(shard: int) -> int:
        together.wait(timeout=60)
        return -shard

    assert list(far.map_files(look, range(24), 8)) == [-shard for shard in range(24)]
    near = RunFolder(tmp_path / "run")
    assert {*near.map_files(lambda shard: threading.get_ident(), range(24), 8)} == {threading.get_ident()}
