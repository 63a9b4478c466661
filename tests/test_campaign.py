"""The short form of the campaign (`make campaign`): a few trials of each siege, each decided by its number."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings

from tests.helpers.campaign import (
    ANIMALS,
    CHANGED,
    FAULTS,
    KILLED,
    try_changed_files,
    try_disk,
    try_foreign_file,
    try_hostile_model,
    try_kills,
    try_plugin,
    try_server,
)
from tests.helpers.hostile import TAG, find_in_card, find_in_page
from tests.helpers.mutations import mutations, spoil

CARD = "---\nconfigs:\n- config_name: default\n  data_files:\n  - {split: train, path: data/train-*}\n---\n"


@pytest.mark.parametrize("kind", CHANGED)
def test_changed_files_are_refused_or_do_no_harm(kind: str, tmp_path: Path) -> None:
    said = try_changed_files(CHANGED.index(kind), tmp_path)
    assert not any(said), [*filter(None, said)]


def test_nothing_of_a_foreign_shard_is_taken_in(tmp_path: Path) -> None:
    said = [each for number in range(6) for each in try_foreign_file(number, tmp_path)]
    assert not any(said), [*filter(None, said)]


@pytest.mark.parametrize("stage", ["generate", "score", "served"])
def test_a_command_killed_again_and_again_ends_as_if_it_was_not(stage: str, tmp_path: Path) -> None:
    said = try_kills(KILLED.index(stage), tmp_path)
    assert len(said) > 1
    assert not any(said), [*filter(None, said)]


def test_a_full_disk_costs_nothing_once_it_has_grown(tmp_path: Path) -> None:
    said = [*try_disk(0, tmp_path)]
    if not said:
        pytest.skip("needs user namespaces, to mount a disk small enough to fill")
    assert not any(said), [*filter(None, said)]


@pytest.mark.parametrize("name", ["interrupts", "dies", "hangs", "talks to nobody", "meddles"])
def test_no_scorer_blames_datagen_or_loses_what_is_drawn(name: str, tmp_path: Path) -> None:
    said = [*try_plugin([*ANIMALS].index(name), tmp_path)]
    assert said == [""]


def test_each_sample_of_a_faulty_server_is_made_or_failed_once(tmp_path: Path) -> None:
    said = [each for number in range(len(FAULTS)) for each in try_server(number, tmp_path)]
    assert not any(said), [*filter(None, said)]


def test_what_a_hostile_model_says_and_shows_acts_nowhere(tmp_path: Path) -> None:
    said = [each for number in range(4) for each in try_hostile_model(number, tmp_path)]
    assert len(said) > 100
    assert not any(said), [*filter(None, said)]


def test_what_acts_would_be_found() -> None:
    assert find_in_page(f"<p><{TAG}></p>")
    assert find_in_page("<p onhostile=1></p>")
    assert find_in_page("<p>\x1b[31m</p>")
    assert not find_in_page(f"<p>&lt;{TAG}></p>")
    for body in (f"a <{TAG}>", "[a link](hostile:)", "# hostile heading", "\x07"):
        assert find_in_card(f"{CARD}{body}\n"), body
    assert not find_in_card(f"{CARD}a &lt;{TAG}>\n")


def test_files_are_spoiled() -> None:
    whole = b"version: 1\nskills:\n  - name: one\n"
    assert len({spoil(whole, random.Random(seed)) for seed in range(100)} - {whole}) > 50


def test_structures_are_changed() -> None:
    whole, seen = b"version: 1\nskills:\n- name: one\n", set[bytes]()

    @settings(max_examples=60, database=None, derandomize=True, phases=[Phase.generate])
    @given(mutations("one.yaml", whole))
    def collect(content: bytes) -> None:
        seen.add(content)

    collect()
    assert len(seen - {whole}) > 30
