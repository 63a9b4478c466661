"""Whoever stops listening loses no work: output that is closed, full or poor in letters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.helpers.runs import hash_files, small_values

WORDS = [sys.executable, "-m", "datagen", "build"]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(small_values()), encoding="utf-8")
    return path


def test_a_reader_that_goes_away_does_not_end_the_build(recipe: Path, tmp_path: Path) -> None:
    words = [*WORDS, str(recipe), "--run", str(tmp_path / "run")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    assert hash_files(tmp_path / "run", "dataset")


def test_a_full_disk_under_the_output_does_not_end_the_build(recipe: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        words = [*WORDS, str(recipe), "--run", str(tmp_path / "run")]
        assert subprocess.run(words, stdout=full, stderr=full, timeout=120, check=False).returncode == 0
    assert hash_files(tmp_path / "run", "dataset")


def test_letters_that_the_output_lacks_are_escaped(recipe: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "datagen", "prompts", str(recipe), "--run", str(tmp_path / "rün")]
    poor = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, env=poor, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert rb"r\xfcn/prompts/" in done.stdout
