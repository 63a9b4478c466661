"""What nothing was made of yet may change: a start that failed does not pin the folder to its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datagen.errors import BackendError, Paused, RunError, TooManyFailures
from datagen.pipeline import Account, Budget, Silent, create_run, plan_stage, run_jobs
from datagen.runners.local import make_runner
from tests.helpers.faulty_server import FaultyServer
from tests.helpers.runs import SHARDS, build_here, hash_files, hash_records, small_recipe

CHANGES: dict[str, dict[str, Any]] = {
    "seed": {"seed": 9},
    "prompts": {"prompts": 7},
    "taxonomy": {"taxonomy": ["spatial"]},
    "backend": {"backend": {"wrong": 0.1}},
    "rewards": {"rewards": ["counting"]},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_while_nothing_is_drawn_everything_may_change(changes: dict[str, Any], tmp_path: Path) -> None:
    plan_stage(create_run(small_recipe(), str(tmp_path / "run")), Silent())
    build_here(small_recipe(**changes), tmp_path / "run")
    build_here(small_recipe(**changes), tmp_path / "fresh")
    parts = (*SHARDS, "dataset")
    assert hash_files(tmp_path / "run", *parts) == hash_files(tmp_path / "fresh", *parts)


def test_what_has_been_drawn_pins_what_made_it_and_nothing_after_it(tmp_path: Path) -> None:
    run = create_run(small_recipe(), str(tmp_path / "run"))
    plan_stage(run, Silent())
    run_jobs(run, "generate", make_runner(0), Silent())
    drawn = hash_files(tmp_path / "run", "prompts", "samples")
    for pinned in ("seed", "prompts", "backend"):
        with pytest.raises(RunError, match=f"holds a run of another recipe; changed: {pinned}"):
            create_run(small_recipe(**CHANGES[pinned]), str(tmp_path / "run"))
    build_here(small_recipe(rewards=["counting"]), tmp_path / "run")
    assert hash_files(tmp_path / "run", "prompts", "samples") == drawn
    with pytest.raises(RunError, match="holds a run of another recipe; changed: rewards"):
        create_run(small_recipe(rewards=["attribute"]), str(tmp_path / "run"))


def test_a_plan_that_another_command_works_on_is_not_taken_from_it(tmp_path: Path) -> None:
    run = create_run(small_recipe(), str(tmp_path / "run"))
    plan_stage(run, Silent())
    with run.folder.hold(), pytest.raises(RunError, match="another datagen is writing this run"):
        create_run(small_recipe(seed=9), str(tmp_path / "run"))


def served(server: FaultyServer | str, **options: Any) -> Any:
    """A recipe whose samples come from a server."""
    address = server if isinstance(server, str) else server.url
    backend = {"name": "openai", "base_url": address, "model": "tiny", "retries": 0, **options}
    return small_recipe(backend=backend, rewards=["sharpness"], failure_limit=0.5)


def test_a_wrong_address_or_model_is_mended_in_the_same_folder(tmp_path: Path) -> None:
    with FaultyServer() as server:
        for wrong in (served("http://127.0.0.1:9/v1"), served(server, model="other")):
            with pytest.raises(BackendError):
                build_here(wrong, tmp_path / "run")
        build_here(served(server), tmp_path / "run")
        build_here(served(server), tmp_path / "fresh")
    assert hash_records(tmp_path / "run", *SHARDS) == hash_records(tmp_path / "fresh", *SHARDS)


def test_requests_that_all_failed_pin_nothing(tmp_path: Path) -> None:
    with FaultyServer(lambda seed: "no_picture") as server, pytest.raises(TooManyFailures):
        build_here(served(server), tmp_path / "run")
    build_here(small_recipe(seed=9), tmp_path / "run")
    build_here(small_recipe(seed=9), tmp_path / "fresh")
    assert hash_files(tmp_path / "run", *SHARDS) == hash_files(tmp_path / "fresh", *SHARDS)


def test_how_a_server_is_reached_may_change_in_the_middle_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_KEY", "secret")
    with FaultyServer() as first, FaultyServer() as second:
        run = create_run(served(first), str(tmp_path / "run"))
        plan_stage(run, Silent())
        with pytest.raises(Paused):
            run_jobs(run, "both", make_runner(0), Silent(), Account(run, Budget(8)))
        before = hash_files(tmp_path / "run", "samples")
        moved = served(second, api_key_env="OTHER_KEY", concurrency=3, timeout_seconds=9)
        build_here(moved, tmp_path / "run")
        assert 0 < len(second.bodies) <= 20 - 8
        assert before.items() <= hash_files(tmp_path / "run", "samples").items()
        build_here(served(first), tmp_path / "fresh")
        assert hash_records(tmp_path / "run", *SHARDS) == hash_records(tmp_path / "fresh", *SHARDS)
        with pytest.raises(RunError, match=r"changed: backend\.temperature"):
            create_run(served(second, temperature=0.5), str(tmp_path / "run"))
