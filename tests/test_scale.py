"""The simulation of large fleets: all work is done once, and what it says of costs and failures is in order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scale import BETTER, FREE, PLAIN, STORES, Costs, Design, Fleet, Simulation, Store, simulate

COSTS = Costs.read()
NOWHERE = Store(0.0, 1e18, 1e18)
"""A store that costs nothing."""


@pytest.mark.parametrize("design", [PLAIN, BETTER, replace(BETTER, reads_ahead=True, writes_behind=True)])
@pytest.mark.parametrize("seconds", [1.0, 60.0])
@pytest.mark.parametrize("workers", [1, 7, 50])
@pytest.mark.parametrize("store", ["s3", "gs", "disk"])
def test_all_work_is_done_once_and_every_second_is_accounted_for(
    design: Design, seconds: float, workers: int, store: str
) -> None:
    simulation = Simulation(design, Fleet(workers, seconds, failures=8), STORES[store], COSTS, shards=3)
    result = simulation.run()
    assert result.made == 3 * simulation.size
    assert set(simulation.left) == {0}
    parts = (result.useful, result.failed, result.down, result.files, result.waiting)
    # What is left for the end is what no worker was seen to do: it is none, or workers without a stretch.
    assert min(*parts, result.end) >= -1e-9
    assert sum(parts) + result.end == pytest.approx(1)


@pytest.mark.parametrize("workers", [1, 4, 16])
@pytest.mark.parametrize("held", [2, 4])
def test_without_costs_equal_workers_take_the_exact_time(workers: int, held: int) -> None:
    design = Design(stretch=8, held=held, shard_prompts=16, taper=0)
    fleet = Fleet(workers, 2.0, sigma=0, spread=0, failures=0)
    result = Simulation(design, fleet, NOWHERE, FREE, shards=8).run()
    assert result.made == 512
    assert result.span == pytest.approx(512 * 2.0 / workers)
    assert result.useful == pytest.approx(1)


def test_the_last_stretch_of_one_worker_is_what_the_others_wait_for() -> None:
    design = Design(stretch=4, shard_prompts=1)
    result = Simulation(design, Fleet(2, 3.0, sigma=0, spread=0, failures=0), NOWHERE, FREE, shards=3).run()
    assert result.span == pytest.approx(2 * 4 * 3.0)
    assert result.useful == pytest.approx(3 / 4)
    assert result.end == pytest.approx(1 / 4)


@pytest.mark.parametrize("seconds", [1.0, 10.0, 60.0])
def test_more_failures_never_raise_efficiency(seconds: float) -> None:
    fleets = [Fleet(40, seconds, failures=failures) for failures in (0.0, 1.0, 6.0, 30.0)]
    useful = [simulate(PLAIN, fleet, STORES["s3"], COSTS, hours=4).useful for fleet in fleets]
    assert useful == sorted(useful, reverse=True)


def test_a_slow_driver_is_what_workers_wait_for() -> None:
    slow = replace(COSTS, stretch=1.0)
    fast, held_up = (simulate(PLAIN, Fleet(50, 1.0), STORES["s3"], costs, hours=0.5) for costs in (COSTS, slow))
    assert held_up.driver > 0.9
    assert fast.driver < 0.5
    assert held_up.waiting > 0.3 > 0.05 > fast.waiting


def test_a_store_takes_no_more_than_its_limit() -> None:
    few = replace(STORES["s3"], writes=20.0)
    result = simulate(replace(PLAIN, rest=0.03), Fleet(100, 1.0), few, COSTS, hours=0.5)
    assert result.writes <= 20.0 * 1.01
    assert result.made % (PLAIN.shard_prompts * PLAIN.candidates) == 0


def test_the_same_seed_gives_the_same_run() -> None:
    runs = [simulate(PLAIN, Fleet(20, 10.0), STORES["s3"], COSTS, hours=0.5, seed=seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("workers", [10, 1000, 10_000])
def test_a_fleet_writes_about_a_hundred_parts_a_second_at_most(workers: int) -> None:
    fleet = Fleet(workers, 1.0)
    assert workers / fleet.longest_rest <= max(100, workers / 10)
    assert fleet.longest_rest >= 1


def test_a_model_waits_for_its_files_unless_they_are_read_and_written_meanwhile() -> None:
    fleet, s3 = Fleet(4, 1.0, failures=0), STORES["s3"]
    waiting, not_waiting = (
        simulate(design, fleet, s3, COSTS, hours=1)
        for design in (Design(stretch=16), Design(stretch=16, reads_ahead=True, writes_behind=True))
    )
    # Of a stretch of 16 s: run.yaml, size and content of prompts at its start, run.yaml and a part at its end.
    assert waiting.files / waiting.useful == pytest.approx(5 * 0.15 / 16, rel=0.1)
    assert not_waiting.files == 0
    assert not_waiting.useful > waiting.useful


def test_smaller_stretches_at_the_end_end_sooner() -> None:
    fleet = Fleet(20, 10.0, failures=0)
    design = Design(stretch=64, holds_one_last=False)
    spans = [simulate(replace(design, taper=taper), fleet, STORES["s3"], COSTS, 1).span for taper in (0, 2, 4)]
    assert spans == sorted(spans, reverse=True)
