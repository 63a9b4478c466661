"""The line to the servers: one event loop in a thread of its own, and one transport, for all calls.

Answers are received while their caller writes earlier ones to disk, and no time-out runs out because it was busy. A few
requests more than may be open stand ready, so that a place that falls free is taken at once.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import cached_property
from typing import Any, TypeVar

from datagen.backends.openai.fleet import Fleet
from datagen.backends.openai.options import OpenAIOptions
from datagen.backends.openai.refusals import Refusals
from datagen.backends.openai.transport import Transport

Item = TypeVar("Item")
Made = TypeVar("Made")
Work = Callable[[Transport, Item], Coroutine[Any, Any, Made]]
QUIET_SECONDS = 0.5
"""After this time without an answer, a caller gets a turn."""
CANCEL_SECONDS = 5.0
"""How long cancelled requests may take to end."""
_END = object()


class Line:
    """Sends the requests of all calls to the servers. Its thread ends when nobody uses it any more."""

    def __init__(self, options: OpenAIOptions, refusals: Refusals) -> None:
        self.options, self.refusals = options, refusals
        self.fleet = Fleet(options.addresses, options.concurrency)

    @cached_property
    def transport(self) -> Transport:
        """What sends the requests of this line, for use inside its loop."""
        return Transport(self.options, self.refusals, self.fleet)

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(target=_serve, args=(loop, self.transport), daemon=True, name="requests").start()
        weakref.finalize(self, loop.call_soon_threadsafe, loop.stop).atexit = False
        return loop

    def run(self, work: Work[Item, Made], items: Iterable[Item | None]) -> Iterator[Made]:
        """Yield results in the order of the items while later ones are open; closing the iterator cancels them.

        An item None says that there is none now; with none open, that is the end.
        """
        made: dict[int, Made] = {}
        wanted = 0
        for answer in self._flow(work, iter(items)):
            if answer is not None:
                made[answer[0]] = answer[1]
            while wanted in made:
                yield made.pop(wanted)
                wanted += 1

    def flow(self, work: Work[Item, Made], items: Iterator[Item | None]) -> Iterator[Made | None]:
        """Yield results as they come, None when there is none for a while; see `datagen.pipeline.flow`."""
        for answer in self._flow(work, items):
            yield None if answer is None else answer[1]

    def _flow(self, work: Work[Item, Made], items: Iterator[Item | None]) -> Iterator[tuple[int, Made] | None]:
        """Yield number and result of each item as it comes."""
        loop, transport = self._loop, self.transport
        tasks: dict[int, asyncio.Task[Made]] = {}  # used in the loop alone
        answers = queue.SimpleQueue[tuple[int, asyncio.Task[Made]]]()

        def begin(number: int, item: Item) -> None:
            task = tasks[number] = loop.create_task(work(transport, item))
            task.add_done_callback(lambda done: answers.put((number, tasks.pop(number, done))))

        def cancel() -> None:
            for task in list(tasks.values()):
                task.cancel()

        number, open_, more = 0, 0, True
        try:
            while True:
                while more and open_ < self.fleet.ready:
                    item: Any = next(items, _END)
                    if item is None:
                        break
                    if more := item is not _END:
                        loop.call_soon_threadsafe(begin, number, item)
                        number, open_ = number + 1, open_ + 1
                if not open_:
                    return
                try:
                    place, task = answers.get(timeout=QUIET_SECONDS)
                except queue.Empty:
                    yield None
                    continue
                open_ -= 1
                yield place, task.result()
        finally:
            if open_:
                loop.call_soon_threadsafe(cancel)
                _drain(answers, open_)


def _drain(answers: queue.SimpleQueue[Any], count: int) -> None:
    """Wait until cancelled requests have ended."""
    for _ in range(count):
        try:
            answers.get(timeout=CANCEL_SECONDS)
        except queue.Empty:
            return


def _serve(loop: asyncio.AbstractEventLoop, transport: Transport) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(transport.close())
        loop.close()
