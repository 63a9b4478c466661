"""A row meets the same shapes whoever is beside it."""

from __future__ import annotations

from datagen.backends.transformers.options import TransformersOptions
from datagen.backends.transformers.rows import Grid, Row, RowRunner, cut_after, split_fitting
from datagen.records import Failure
from tests.helpers.tiny_models import make_requests

OPTIONS = TransformersOptions(model="m", device="cpu", batch_size=3)


def make_rows(lengths: list[int]) -> list[Row]:
    requests = make_requests([f"prompt {k}" for k in range(len(lengths))], "think")
    return [Row(r, tuple(range(10, 10 + n)), r.seed) for r, n in zip(requests, lengths, strict=True)]


def test_batches_have_shapes_of_their_own_rows_alone() -> None:
    grids: list[Grid] = []

    def work(grid: Grid) -> list[int]:
        grids.append(grid)
        return [len(row.ids) for row in grid.rows]

    made = list(RowRunner(OPTIONS, pad=9).run(make_rows([5, 33, 32, 40, 7, 1]), work))
    assert made == [33, 40, 5, 32, 7, 1]
    assert [tuple(grid.tokens.shape) for grid in grids] == [(3, 64), (3, 32), (3, 32)]
    assert [len(grid.rows) for grid in grids] == [2, 3, 1]


def test_prompts_stand_on_the_right_and_padding_is_masked() -> None:
    grids: list[Grid] = []
    list(RowRunner(OPTIONS, pad=9).run(make_rows([2]), lambda grid: [grids.append(grid)]))
    (grid,) = grids
    assert grid.tokens.tolist() == [[9] * 30 + [10, 11]] * 3
    assert grid.mask.tolist() == [[0] * 30 + [1, 1]] * 3


def test_a_row_out_of_memory_is_a_failure() -> None:
    def work(grid: Grid) -> list[str]:
        if grid.size > 1 or grid.length > 32:
            raise RuntimeError("CUDA out of memory.")
        return ["made"]

    made = list(RowRunner(OPTIONS, pad=0).run(make_rows([40, 5, 5]), work))
    assert isinstance(made[0], Failure)
    assert "out of memory" in made[0].error
    assert made[1:] == ["made", "made"]


def test_too_long_is_a_failure_that_says_so() -> None:
    fitting, failures = split_fitting(make_rows([5, 50]), 20)
    assert [len(row.ids) for row in fitting] == [5]
    assert [failure.error for failure in failures] == ["the prompt is 50 tokens long; this model reads 20"]


def test_ids_are_cut_after_the_end() -> None:
    assert cut_after([1, 2, 3, 2], 2) == [1, 2]
    assert cut_after([1, 3], 2) == [1, 3]
