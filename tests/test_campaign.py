"""The short form of the campaign (`make campaign`): a few trials of each siege, each decided by its number."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.helpers.campaign import ANIMALS, FAULTS, SPOILED, spoil, try_kill, try_plugin, try_server, try_spoiled_file


def test_spoiled_files_are_refused_or_do_no_harm(tmp_path: Path) -> None:
    said = [try_spoiled_file(number, tmp_path) for number in range(12 * len(SPOILED))]
    assert not any(said), [*filter(None, said)]


def test_a_killed_command_ends_as_if_it_was_not(tmp_path: Path) -> None:
    said = [try_kill(number, tmp_path) for number in (1, 4)]
    assert not any(said), [*filter(None, said)]


@pytest.mark.parametrize("name", ["interrupts", "dies", "hangs", "talks to nobody", "meddles"])
def test_no_scorer_blames_datagen_or_loses_what_is_drawn(name: str, tmp_path: Path) -> None:
    assert try_plugin([*ANIMALS].index(name), tmp_path) == ""


def test_each_sample_of_a_faulty_server_is_made_or_failed_once(tmp_path: Path) -> None:
    said = [try_server(number, tmp_path) for number in range(len(FAULTS))]
    assert not any(said), [*filter(None, said)]


def test_files_are_spoiled() -> None:
    whole = b"version: 1\nskills:\n  - name: one\n"
    assert len({spoil(whole, random.Random(seed)) for seed in range(100)} - {whole}) > 50
