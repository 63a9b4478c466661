"""A row meets the same shapes whoever is beside it."""

from __future__ import annotations

from collections.abc import Iterator

from datagen.backends.transformers.options import TransformersOptions
from datagen.backends.transformers.rows import HELD, Grid, Row, RowRunner, cut_after, fit_row
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

    made = list(RowRunner(OPTIONS, pad=9).stream(iter(make_rows([5, 33, 32, 40, 7, 1])), work))
    assert made == [5, 32, 7, 33, 40, 1]
    assert [tuple(grid.tokens.shape) for grid in grids] == [(3, 32), (3, 64), (3, 32)]
    assert [len(grid.rows) for grid in grids] == [3, 2, 1]


def test_prompts_stand_on_the_right_and_padding_is_masked() -> None:
    grids: list[Grid] = []
    list(RowRunner(OPTIONS, pad=9).stream(iter(make_rows([2])), lambda grid: [grids.append(grid)]))
    (grid,) = grids
    assert grid.tokens.tolist() == [[9] * 30 + [10, 11]] * 3
    assert grid.mask.tolist() == [[0] * 30 + [1, 1]] * 3


def test_a_row_out_of_memory_is_a_failure() -> None:
    def work(grid: Grid) -> list[str]:
        if grid.size > 1 or grid.length > 32:
            raise RuntimeError("CUDA out of memory.")
        return ["made"]

    made = list(RowRunner(OPTIONS, pad=0).stream(iter(make_rows([40, 5, 5])), work))
    assert isinstance(made[0], Failure)
    assert "out of memory" in made[0].error
    assert made[1:] == ["made", "made"]


def test_too_long_is_a_failure_that_says_so() -> None:
    fitting, longer = make_rows([20, 21])
    assert fit_row(fitting, 20) is fitting
    failure = fit_row(longer, 20)
    assert isinstance(failure, Failure)
    assert failure.error == "the prompt is 21 tokens long; this model reads 20"


def run_flow(rows: list[Row | Failure | None]) -> tuple[list[int | Failure | None], list[int]]:
    """Return what came out of a flow of rows, and how many rows were held after each that was taken."""
    made: list[int | Failure | None] = []
    held: list[int] = []

    def take() -> Iterator[Row | Failure | None]:
        taken = 0
        for row in rows:
            taken += row is not None
            held.append(taken - sum(answer is not None for answer in made))
            yield row

    for answer in RowRunner(OPTIONS, pad=9).stream(take(), lambda grid: [len(row.ids) for row in grid.rows]):
        made.append(answer)
    return made, held


def test_none_to_take_runs_the_oldest_batch_and_is_handed_on_where_no_row_waits() -> None:
    first, second, third, fourth = make_rows([33, 5, 34, 6])
    made, _ = run_flow([None, first, second, third, None, None, None, fourth])
    assert made == [None, 33, 34, 5, None, 6]


def test_what_is_no_row_is_handed_on_at_once() -> None:
    (row,) = make_rows([5])
    failure = Failure.unanswered(row.request, "too long")
    assert run_flow([row, failure])[0] == [failure, 5]


def test_a_row_of_a_rare_shape_waits_for_a_few_batches_at_most() -> None:
    lengths = [32 * k for k in range(1, 13) for _ in range(2)]  # no batch of three is ever full
    made, held = run_flow([*make_rows([*lengths, 5, 5])])
    assert max(held) == HELD * 3
    assert made[:2] == [32, 32]
    assert sorted(made) == sorted([*lengths, 5, 5])


def test_modes_never_share_a_batch() -> None:
    (thinks,) = make_rows([5])
    direct = Row(make_requests(["prompt"], "direct")[0], thinks.ids, 1)
    grids: list[Grid] = []
    list(RowRunner(OPTIONS, pad=9).stream(iter([thinks, direct]), lambda grid: [grids.append(grid)]))
    assert [len(grid.rows) for grid in grids] == [1, 1]


def test_ids_are_cut_after_the_end() -> None:
    assert cut_after([1, 2, 3, 2], 2) == [1, 2]
    assert cut_after([1, 3], 2) == [1, 3]
