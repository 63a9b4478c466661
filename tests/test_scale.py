"""The simulation of large fleets: all work is done once, and what it says of costs and failures is in order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scale import FREE, PLAIN, STORES, Costs, Design, Fleet, Simulation, Store, recommend, simulate

COSTS = Costs.read()
NOWHERE = Store(0.0, 1e18, 1e18)
"""A store that costs nothing."""


@pytest.mark.parametrize("seconds", [1.0, 10.0, 60.0])
@pytest.mark.parametrize("workers", [1, 7, 50])
@pytest.mark.parametrize("store", ["s3", "gs", "disk"])
def test_all_work_is_done_once_and_every_second_is_accounted_for(seconds: float, workers: int, store: str) -> None:
    simulation = Simulation(recommend(seconds), Fleet(workers, seconds, failures=4), STORES[store], COSTS, shards=2)
    result = simulation.run()
    assert result.made == 2 * simulation.size
    assert set(simulation.left) == {0}
    assert 0 < result.useful <= 1
    assert min(result.failed, result.down, result.waiting, result.end) >= -1e-9
    assert result.useful + result.failed + result.down + result.waiting + result.end == pytest.approx(1)


@pytest.mark.parametrize("workers", [1, 4, 16])
@pytest.mark.parametrize("ahead", [0, 3])
def test_without_costs_equal_workers_take_the_exact_time(workers: int, ahead: int) -> None:
    design = Design(stretch=8, ahead=ahead, shard_prompts=16)
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
    useful = [simulate(recommend(seconds), fleet, STORES["s3"], COSTS, hours=4).useful for fleet in fleets]
    assert useful == sorted(useful, reverse=True)


def test_a_slow_driver_is_what_workers_wait_for() -> None:
    slow = replace(COSTS, stretch=1.0)
    fast, held_up = (simulate(PLAIN, Fleet(50, 1.0), STORES["s3"], costs, hours=0.5) for costs in (COSTS, slow))
    assert held_up.driver > 0.99
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
