"""Batches follow one another; they are halved until they fit, and what does not fit alone becomes a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch

from datagen.generation.batches import Batches, is_out_of_memory, stream_in_batches

CPU = "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."


def make_worker(fits: int, seen: list[int], huge: Sequence[int] = ()) -> Callable[[Sequence[int], int], list[str]]:
    """Return work that runs out of memory over `fits` items, and over any batch with a huge item."""

    def work(batch: Sequence[int], size: int) -> list[str]:
        seen.append(size)
        assert len(batch) <= size
        if size > fits or set(batch) & set(huge):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nand more")
        return [f"made {item}" for item in batch]

    return work


def fail(item: int, reason: str) -> str:
    return f"failed {item}: {reason}"


def test_without_trouble_batches_have_the_size_asked_for() -> None:
    seen: list[int] = []
    made = list(Batches(4).run(0, range(10), make_worker(9, seen), fail))
    assert made == [f"made {k}" for k in range(10)]
    assert seen == [4, 4, 4]


def test_a_batch_too_large_is_halved_and_the_size_remembered() -> None:
    seen: list[int] = []
    batches = Batches(16)
    work = make_worker(4, seen)
    assert list(batches.run(0, range(6), work, fail)) == [f"made {k}" for k in range(6)]
    assert seen == [16, 8, 4, 4]
    assert len(list(batches.run(0, range(6), work, fail))) == 6
    assert seen[4:] == [4, 4]


def test_another_shape_starts_from_the_size_asked_for() -> None:
    seen: list[int] = []
    batches = Batches(4)
    list(batches.run(64, range(2), make_worker(2, seen), fail))
    list(batches.run(32, range(2), make_worker(4, seen), fail))
    assert seen == [4, 2, 4]


def test_what_does_not_fit_alone_fails_and_its_neighbours_are_made() -> None:
    made = list(Batches(4).run(0, range(4), make_worker(4, [], huge=[2]), fail))
    assert made[:2] + made[3:] == ["made 0", "made 1", "made 3"]
    assert made[2].startswith("failed 2: out of memory with one sample at a time: CUDA out of memory.")
    assert "\n" not in made[2]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(CPU),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
def test_every_way_to_say_it_is_known(error: Exception) -> None:
    assert is_out_of_memory(error)

    def work(batch: Sequence[int], size: int) -> list[str]:
        if size > 1:
            raise error
        return ["made"]

    assert list(Batches(8).run(0, [0], work, fail)) == ["made"]


def test_any_other_error_passes() -> None:
    def work(batch: Sequence[int], size: int) -> list[str]:
        raise RuntimeError("expected scalar type Half but found Float")

    with pytest.raises(RuntimeError, match="scalar type"):
        list(Batches(8).run(0, [0], work, fail))


def test_work_that_forgets_an_item_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        list(Batches(8).run(0, [0, 1], lambda batch, size: ["one"], fail))


def run_flow(flow: list[int | None], size: int) -> tuple[list[str | None], list[list[int]], list[int]]:
    """Return what came out of a flow, its batches, and how many items were held after each one that was taken."""
    batches: list[list[int]] = []
    held: list[int] = []
    made: list[str | None] = []

    def take() -> Iterator[int | None]:
        taken = 0
        for item in flow:
            taken += item is not None
            held.append(taken - sum(answer is not None for answer in made))
            yield item

    def generate(batch: Sequence[int]) -> Iterator[str]:
        batches.append(list(batch))
        return (f"made {item}" for item in batch)

    for answer in stream_in_batches(generate, take(), size):
        made.append(answer)
    return made, batches, held


def test_a_flow_is_cut_into_batches_and_never_taken_further_than_one() -> None:
    made, batches, held = run_flow([*range(7)], 3)
    assert made == [f"made {k}" for k in range(7)]
    assert batches == [[0, 1, 2], [3, 4, 5], [6]]
    assert held == [1, 2, 3, 1, 2, 3, 1]


def test_a_batch_goes_out_as_it_is_where_there_is_none_to_take() -> None:
    made, batches, _ = run_flow([0, None, 1, 2, 3, None, 4], 2)
    assert batches == [[0], [1, 2], [3], [4]]
    assert made == [f"made {k}" for k in range(5)]


def test_none_is_handed_on_where_no_batch_is_begun() -> None:
    made, batches, _ = run_flow([None, 0, 1, None, None, 2], 2)
    assert made == [None, "made 0", "made 1", None, None, "made 2"]
    assert batches == [[0, 1], [2]]


def test_a_flow_without_requests_has_no_batch() -> None:
    assert run_flow([], 2) == ([], [], [])
