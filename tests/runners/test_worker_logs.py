"""What workers print is kept in files of a bounded size and number, whatever Ray is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from datagen.runners import worker_logs
from datagen.runners.worker_logs import WorkerLogs
from datagen.store import RunFolder


def read_all(folder: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("logs/*.txt"))]


def test_each_line_says_who_printed_it(tmp_path: Path) -> None:
    logs = WorkerLogs(RunFolder(str(tmp_path)))
    logs.add({"ip": "10.0.0.7", "pid": 12, "actor_name": "_Model", "lines": ["loading", "half a letter: \ud83d"]})
    logs.add({"ip": "10.0.0.7", "pid": "autoscaler", "lines": ["a table"]})
    logs.say("a model process was lost: out of memory")
    logs.write(last=True)
    (text,) = read_all(tmp_path)
    assert [line.split(" ", 1)[1] for line in text.splitlines()] == [
        "10.0.0.7 12 _Model: loading",
        "10.0.0.7 12 _Model: half a letter: \\ud83d",
        "driver: a model process was lost: out of memory",
    ]


def test_files_are_bounded_and_what_comes_after_them_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_logs, "FILE_BYTES", 100)
    monkeypatch.setattr(worker_logs, "MOST_FILES", 3)
    logs = WorkerLogs(RunFolder(str(tmp_path)))
    for number in range(9):
        logs.say(f"{number} " + "x" * 100)
        logs.write(last=True)
    assert [text.count("driver: ") for text in read_all(tmp_path)] == [1, 1, 1]
    assert not logs._lines
