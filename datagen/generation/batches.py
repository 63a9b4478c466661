"""Batches that follow one another without a pause, and batches that fit into memory.

`stream_in_batches` cuts a flow of requests into batches. `Batches` halves and retries one that does not fit.

Torch reports "out of memory" as a RuntimeError, on a GPU and on the CPU. The size that fits is remembered for each
shape of item, so that a long prompt does not slow down short ones. An item that does not fit alone goes to `fail` and
becomes a record; the run continues.

Not covered: memory that other processes take and release. A size once halved stays halved.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from datagen.errors import first_line

Item = TypeVar("Item")
Made = TypeVar("Made")
_SIGNS = ("out of memory", "can't allocate memory", "_STATUS_ALLOC_FAILED")
"""Parts of torch's messages: `CUDA out of memory. …`, `DefaultCPUAllocator: can't allocate memory: …`, and that of a
GPU's library without room for its workspace, `CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling …`."""


def stream_in_batches(
    generate: Callable[[Sequence[Item]], Iterable[Made]], requests: Iterable[Item | None], size: int
) -> Iterator[Made | None]:
    """Yield what `generate` makes of a flow of requests, in batches of `size`.

    A batch is smaller where `requests` yields None, "none to take now", or ends. Nothing is taken beyond the current
    batch. A None that finds no batch begun is handed on, so that the caller looks around.
    """
    batch: list[Item] = []
    for request in requests:
        if request is not None:
            batch.append(request)
        elif not batch:
            yield None
        if batch and (request is None or len(batch) == size):
            yield from generate(batch)
            batch = []
    if batch:
        yield from generate(batch)


class Batches:
    """Batches of at most `size` items, fewer if memory is short."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._fits: dict[Hashable, int] = {}

    def run(
        self,
        shape: Hashable,
        items: Sequence[Item],
        work: Callable[[Sequence[Item], int], Sequence[Made]],
        fail: Callable[[Item, str], Made],
    ) -> Iterator[Made]:
        """Yield the result of `work` for each item, in order, or `fail(item, reason)` for an item that does not fit.

        `work` gets a batch and the current batch size (the last batch may be shorter) and returns one result per item.
        Items of one `shape` need about the same memory. Other exceptions are not caught.
        """
        start = 0
        while start < len(items):
            size = self._fits.get(shape, self.size)
            batch = items[start : start + size]
            made, reason = _attempt(work, batch, size)
            if made is not None:
                yield from (result for _, result in zip(batch, made, strict=True))
                start += len(batch)
                continue
            _release_memory()
            if size > 1:
                self._fits[shape] = size // 2
                continue
            yield fail(batch[0], reason)
            start += 1


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception means that memory ran out, torch's on any device or Python's."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in _SIGNS)


def _attempt(
    work: Callable[[Sequence[Item], int], Sequence[Made]], batch: Sequence[Item], size: int
) -> tuple[Sequence[Made] | None, str]:
    """Return the results of `work`, or None and the reason; the exception, which keeps tensors alive, is released."""
    try:
        return work(batch, size), ""
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None, f"out of memory with one sample at a time: {first_line(error)[:200]}"


def _release_memory() -> None:
    """Return torch's cached memory to the device, so that the next batch can use it."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
