"""Runs work over items in batches that fit into memory: a batch that does not is halved, and tried again.

Torch says "out of memory" by a RuntimeError, on a GPU and on the CPU alike. The size that fits is remembered for each
shape of item, so that a long prompt does not slow the short ones. An item that does not fit alone is handed to `fail`:
it becomes a record, and the run goes on.

Not covered: memory that other processes take and give back. A size once halved stays halved.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from datagen.errors import first_line

Item = TypeVar("Item")
Made = TypeVar("Made")
_SIGNS = ("out of memory", "can't allocate memory")
"""What torch writes: `CUDA out of memory. …` and `DefaultCPUAllocator: can't allocate memory: …`."""


class Batches:
    """Batches of at most `size` items, fewer where memory says so."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._fits: dict[int, int] = {}

    def run(
        self,
        shape: int,
        items: Sequence[Item],
        work: Callable[[Sequence[Item], int], Sequence[Made]],
        fail: Callable[[Item, str], Made],
    ) -> Iterator[Made]:
        """Yield what `work` makes of each item, in order, or `fail(item, reason)` for one that is too large alone.

        `work` gets a batch and the size that batches have now (the last batch is shorter); it returns one result for
        each item. Items of one `shape` need about the same memory. Any other exception passes.
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
    """Tell whether an exception says that memory ran out: torch's own on any device, or Python's."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in _SIGNS)


def _attempt(
    work: Callable[[Sequence[Item], int], Sequence[Made]], batch: Sequence[Item], size: int
) -> tuple[Sequence[Made] | None, str]:
    """Return what work made, or None and why; the exception, which holds on to tensors, is gone when this returns."""
    try:
        return work(batch, size), ""
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None, f"out of memory with one sample at a time: {first_line(error)[:200]}"


def _release_memory() -> None:
    """Give back what torch keeps for later, so that smaller blocks can be had from it."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
