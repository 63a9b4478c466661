"""Answers are on disk before their shard is done: what a kill costs, and that nobody sees it in the files."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import pytest
from pyarrow import Table

from datagen.errors import BackendError, RunError
from datagen.interrupts import Interrupted
from datagen.pipeline import Silent, create_run, find_jobs, plan_stage, read_status, run_jobs
from datagen.pipeline import parts as parts_module
from datagen.pipeline.parts import Pace, Parts
from datagen.records import Failure, Request, Sample, Segment
from datagen.runners.local import make_runner
from datagen.sample_files import Rows, group_samples, sample_schema, to_table
from datagen.store import RunFolder
from tests.helpers.instant import Instant
from tests.helpers.runs import SHARDS, build_here, hash_files, small_recipe

MARKS = {"samples": ["one"], "prompts": ["one"], "scores": ["one"]}


class Killed(Interrupted):
    """As `kill -9`: nothing of a plugin's."""


def make_samples(count: int, image_bytes: int = 1000) -> list[Sample]:
    rng = random.Random(count)
    samples = []
    for k in range(count):
        text, image = (
            Segment("text", "think", text=f"plan {k}"),
            Segment("image", "image", image=rng.randbytes(image_bytes)),
        )
        segments = (text, image, text) if k % 3 else (text,)
        settings = {"temperature": 1.0, "number": k % 2}
        samples.append(Sample(f"p{k:03d}-00", f"p{k:03d}", 0, k, "think", "e/1", "none", "stop", segments, settings))
    return samples


@pytest.mark.parametrize("seed", range(4))
def test_a_shard_holds_the_same_bytes_whatever_its_parts_were(tmp_path: Path, seed: int) -> None:
    samples, rng = make_samples(40), random.Random(seed)
    whole, joined = RunFolder(tmp_path / "whole", MARKS), RunFolder(tmp_path / "joined", MARKS)
    whole.write_samples(0, samples)
    mixed = rng.sample(samples, len(samples))
    cuts = sorted(rng.sample(range(1, 40), 5))
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, 40], strict=True)):
        joined.write_part(0, number, mixed[start:end], [])
    rows, failures = joined.read_parts(0, keep=False)
    assert (len(rows), failures) == (40, [])
    joined.join_parts(0, rows, [sample.id for sample in samples] + ["of a sample that failed"])
    name = "samples/00000.parquet"
    assert (tmp_path / "joined" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert list(joined.iter_samples(0)) == samples
    joined.remove_parts(0)
    assert joined.list_open() == []


def test_row_groups_follow_the_bytes_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    monkeypatch.setattr("datagen.sample_files.GROUP_BYTES", 5000)
    samples = make_samples(40)
    folder = RunFolder(tmp_path)
    folder.write_samples(0, samples)
    groups = list(group_samples(samples))
    assert [len(group) for group in groups] == [
        pq.ParquetFile(tmp_path / "samples/00000.parquet").metadata.row_group(k).num_rows for k in range(len(groups))
    ]
    assert 5 < len(groups) < 10
    assert folder.read_samples(0) == samples
    folder.write_part(1, 0, samples, [])
    rows, _ = folder.read_parts(1, keep=False)
    folder.join_parts(1, rows, [sample.id for sample in samples])
    assert (tmp_path / "samples/00001.parquet").read_bytes() == (tmp_path / "samples/00000.parquet").read_bytes()


def test_a_part_of_another_recipe_is_refused(tmp_path: Path) -> None:
    RunFolder(tmp_path, MARKS | {"samples": ["another"]}).write_part(0, 0, make_samples(2), [])
    with pytest.raises(RunError, match="made by another recipe: another"):
        RunFolder(tmp_path, MARKS).read_parts(0, keep=False)


@pytest.mark.parametrize("adapt", [None, {"start": 2, "by": ["counting", "attribute"]}])
def test_a_kill_costs_what_was_in_flight_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adapt: dict[str, object] | None
) -> None:
    """Killed after every seventh answer, a run asks for each sample once, and ends with the same files."""
    recipe = small_recipe(prompts=12, candidates=4, shard_prompts=6, adapt=adapt, backend={"fails": 0.2})
    build_here(recipe, tmp_path / "whole")
    asked: list[str] = []
    generate = Instant.generate

    def mortal(self: Instant, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        for number, answer in enumerate(generate(self, requests)):
            if number == 7:
                raise Killed
            asked.append(f"{answer.prompt_id}-{answer.candidate}")
            yield answer

    monkeypatch.setattr(Instant, "generate", mortal)
    monkeypatch.setattr(parts_module, "PART_BYTES", 1)  # each answer is on disk at once
    run = create_run(recipe, str(tmp_path / "torn"))
    plan_stage(run, Silent())
    kills = 0
    while find_jobs(run, "both", Silent()).jobs:
        try:
            run_jobs(run, "both", make_runner(0), Silent())
        except Killed:
            kills += 1
    assert kills >= 2
    assert len(asked) == len(set(asked)) > 7 * kills
    assert hash_files(tmp_path / "torn", *SHARDS) == hash_files(tmp_path / "whole", *SHARDS)
    assert run.folder.list_open() == []


def test_what_a_model_answered_before_it_broke_down_is_kept(tmp_path: Path) -> None:
    recipe = small_recipe(backend={"breaks": True})
    run = create_run(recipe, str(tmp_path / "run"))
    plan_stage(run, Silent())
    with pytest.raises(BackendError, match="fell off the bus"):
        run_jobs(run, "both", make_runner(0), Silent())
    kept = find_jobs(run, "both", Silent())
    assert kept.jobs[0].kept == kept.before.tried == kept.jobs[0].samples // 2 > 0
    assert (read_status(run).samples, read_status(run).kept) == (0, kept.jobs[0].kept)


def test_answers_are_written_while_the_model_is_silent(tmp_path: Path) -> None:
    run = create_run(small_recipe(), str(tmp_path / "run"))
    parts = Parts(run)
    parts.add(0, make_samples(1)[0])
    deadline = time.monotonic() + 60
    while not run.folder.list_parts(0) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [sample.id for sample in read(run.folder)] == ["p000-00"]
    parts.add(0, Failure("generate", "p001", 0, "no image"))
    parts.flush()
    names = [PurePosixPath(name).name for name in run.folder.list_parts(0)]
    assert [(name[:6], name.rpartition(".")[2]) for name in names] == [("000000", "arrow"), ("000001", "jsonl")]
    assert run.folder.read_parts(0, keep=False)[1] == [Failure("generate", "p001", 0, "no image")]


def test_an_answer_that_could_not_be_written_stops_the_run(tmp_path: Path) -> None:
    run = create_run(small_recipe(), str(tmp_path / "run"))
    (tmp_path / "run" / "samples").write_text("a file where the folder should be")
    parts, deadline = Parts(run), time.monotonic() + 60

    def add_until_it_is_told() -> None:
        while time.monotonic() < deadline:
            parts.add(0, make_samples(1)[0])
            time.sleep(0.02)

    with pytest.raises(RunError, match="cannot be written"):
        add_until_it_is_told()


def test_nothing_is_written_into_a_folder_that_was_deleted(tmp_path: Path) -> None:
    run = create_run(small_recipe(), str(tmp_path / "run"))
    parts = Parts(run)
    shutil.rmtree(tmp_path / "run")
    parts.add(0, make_samples(1)[0])
    with pytest.raises(RunError, match="was deleted"):
        parts.flush()
    assert not (tmp_path / "run").exists()


def write_for(pace: Pace, clock: list[float], *seconds: float) -> float:
    """Write parts that take so long by a clock of the test's own; return how long to wait before the next."""
    for each in seconds:
        with pace.measure():
            clock[0] += each
    return pace.wait_seconds()


def test_writing_takes_a_twentieth_of_the_time() -> None:
    clock = [100.0]
    pace = Pace(lambda: clock[0])
    assert pace.wait_seconds() == 0, "the first answer need not wait"
    assert write_for(pace, clock, *[0.0005] * 5) == pytest.approx(0.03), "a fast disk"
    assert write_for(pace, clock, *[0.01] * 5) == pytest.approx(0.2)
    assert write_for(pace, clock, *[0.3] * 5) == pytest.approx(1.0), "an object store"
    clock[0] += 0.75
    assert pace.wait_seconds() == pytest.approx(0.25)
    clock[0] += 10
    assert pace.wait_seconds() == 0, "what comes after a pause is written at once"


def test_a_disk_that_stalls_once_is_not_slow() -> None:
    clock = [0.0]
    pace = Pace(lambda: clock[0])
    assert write_for(pace, clock, *[0.002] * 5, 3.0) == pytest.approx(0.04)
    assert write_for(pace, clock, 3.0, 3.0) == pytest.approx(1.0)


def test_what_could_not_be_written_waits_for_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no answer")

    run = create_run(small_recipe(), str(tmp_path / "run"))
    parts = Parts(run)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write_part", fail)
        parts.add(0, make_samples(1)[0])
        with pytest.raises(OSError, match="no answer"):
            parts.flush()
    parts.flush()
    assert [sample.id for sample in read(run.folder)] == ["p000-00"]


def test_each_shard_of_a_flow_has_its_own_parts(tmp_path: Path) -> None:
    run = create_run(small_recipe(), str(tmp_path / "run"))
    samples = make_samples(4)
    first, second = Parts(run), Parts(run)
    for parts, shard, sample in zip((first, first, second, second), (0, 1, 0, 1), samples, strict=True):
        parts.add(shard, sample)
        parts.end(shard)
    for shard in (0, 1):
        rows, _ = run.folder.read_parts(shard, keep=False)
        assert [sample.id in rows for sample in samples] == [shard == k % 2 for k in range(4)]
        assert len(run.folder.list_parts(shard)) == 2, "a part is never written over"


def read(folder: RunFolder) -> list[Sample]:
    from datagen.sample_files import to_samples

    rows, _ = folder.read_parts(0, keep=False)
    return [sample for table in rows.group(["p000-00"]) for sample in to_samples(table)]


def test_a_part_that_fits_into_memory_is_opened_once() -> None:
    samples = [Sample(f"p-{k:02d}", "p", k, 1, "direct", "e", "", "stop", (), {}) for k in range(8)]
    tables = [to_table(samples[k : k + 2], sample_schema()) for k in range(0, 8, 2)]
    opened = list[int]()

    def open_part(number: int) -> Table:
        opened.append(number)
        return tables[number]

    rows = Rows()
    for number in range(4):
        rows.add(partial(open_part, number))
    (group,) = rows.group(sample.id for sample in reversed(samples))
    assert group.column("id").to_pylist() == [sample.id for sample in reversed(samples)]
    assert opened == [0, 1, 2, 3]
    tables[1] = tables[2]  # the run that they are in is at work
    with pytest.raises(RunError, match="samples beside p-01 changed while they were read"):
        list(rows.group(["p-01", "p-02"]))


def test_shards_that_end_together_are_logged_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, log = list[int](), RunFolder.log_dated

    def count_lines(folder: RunFolder, lines: Sequence[str]) -> None:
        written.append(len(lines))
        log(folder, lines)

    monkeypatch.setattr(RunFolder, "log_dated", count_lines)
    run = create_run(small_recipe(prompts=20, shard_prompts=2), str(tmp_path))
    plan_stage(run, Silent())
    monkeypatch.setattr(Pace, "wait_seconds", lambda pace: 60.0)
    run_jobs(run, "both", make_runner(0), Silent())
    assert written == [1, 10]
    lines = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()[1:]
    assert [line.split()[2] for line in lines] == [f"{shard:05d}:" for shard in range(10)]
