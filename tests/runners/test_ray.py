"""The Ray runner on a real cluster of two nodes: the files are those of one process, whatever is lost."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datagen.pipeline import Silent, build_run, create_run
from datagen.runners.ray import make_ray_runner
from tests.helpers.runs import SHARDS, build_here, hash_files, small_recipe

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")
PLANS: dict[str, dict[str, Any]] = {
    "plain": {"cluster": {"models": 2, "stretch": 3}},
    "failures": {"cluster": {"models": 2}, "backend": {"fails": 0.3}},
    "adapt": {"cluster": {"stretch": 4}, "candidates": 5, "adapt": {"start": 2, "by": ["counting", "attribute"]}},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    ray.init(address=made.address, logging_level=logging.ERROR, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def second(cluster: Any) -> Iterator[Any]:
    """A second node, which alone has room for models."""
    node = cluster.add_node(num_cpus=2, resources={"painter": 2})
    cluster.wait_for_nodes()
    yield node
    cluster.remove_node(node)


@pytest.mark.parametrize("plan", PLANS)
def test_a_cluster_writes_what_one_process_writes(cluster: Any, second: Any, plan: str, tmp_path: Path) -> None:
    recipe = small_recipe(**PLANS[plan])
    build_here(recipe, tmp_path / "here")
    build_run(create_run(recipe, str(tmp_path / "cluster")), make_ray_runner(), Silent())
    parts = (*SHARDS, "dataset")
    assert hash_files(tmp_path / "cluster", *parts) == hash_files(tmp_path / "here", *parts)
