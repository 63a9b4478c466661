"""Questions to the judge and the drawer, asked ahead of the scorers for many samples.

A scorer asks about one sample and needs the answer to go on, while an engine answers many questions at once in a
fraction of the time. So a scorer is first tried with models that know only earlier answers: they note a new question
and raise. Questions are then asked together, and the scorer is tried again when all that it lacked has come. In the end
it scores with the real models, which remember every answer (`tools.Remembered`).

A judge that takes questions one by one (`chat.StreamingChat`) is asked without a pause; others are asked all questions
that are noted, in one call.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from datagen.chat import ChatRequest, Reply
from datagen.scoring.tools import Remembered, Tools

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
StreamChat = Callable[[Iterator[ChatRequest | None]], Iterator[Reply]]
Try = Callable[[], bool]
"""Runs a scorer with bound tools; returns whether it lacked an answer."""


class UnansweredError(Exception):
    """A scorer asked a question that has no answer yet; it must run again."""


@dataclass(slots=True)
class Group:
    """Scorers that are tried together: how many still lack an answer, and how many questions they noted."""

    left: int = 0
    noted: int = 0


@dataclass(slots=True, eq=False)
class _Trial:
    call: Try
    group: Group
    lacks: set[Hashable] = field(default_factory=set)


class Asking:
    """Asks what scorers want to know; `stream` is the judge's `stream_chat`, if it has one."""

    def __init__(self, tools: Tools, stream: StreamChat | None = None) -> None:
        self._tools = tools
        judge = _Postponed(tools.ask, self._note, stream) if isinstance(tools.ask, Remembered) else None
        drawer = _Postponed(tools.draw, self._note) if isinstance(tools.draw, Remembered) else None
        self._judge, self._drawer = judge, drawer
        self._lacking: defaultdict[Hashable, list[_Trial]] = defaultdict(list)
        """Those that wait for an answer, by its key."""
        self._noted: set[Hashable] = set()
        """Keys that the scorer that is being tried lacks."""

    @property
    def waiting(self) -> int:
        """How many questions were noted and not asked yet."""
        return sum(len(each.noted) for each in (self._judge, self._drawer) if each is not None)

    def bind(self, tools: Tools) -> Tools:
        """Return tools whose models raise UnansweredError for new questions."""
        return replace(tools, ask=self._judge, draw=self._drawer)

    def begin(self, group: Group, call: Try) -> None:
        """Try a scorer as one of a group."""
        group.left += 1
        self._try(_Trial(call, group))

    def settle(self, group: Group) -> None:
        """Ask until nobody of a group lacks an answer. Raises what the models raise; the group is then left alone."""
        while group.left:
            for model in (self._judge, self._drawer):
                if model is not None and model.has_work:
                    answered = model.step()
                    break
            else:
                return  # cannot be: whoever lacks an answer has noted its question
            for name in answered:
                for trial in self._lacking.pop(name, ()):
                    trial.lacks.discard(name)
                    if not trial.lacks:
                        self._try(trial)

    def give_up(self) -> None:
        """Forget everybody who lacks an answer, after an exception of a model: scorers then ask for themselves."""
        for trials in self._lacking.values():
            for trial in trials:
                trial.group.left -= bool(trial.lacks)
                trial.lacks = set()
        self._lacking.clear()
        for model in (self._judge, self._drawer):
            if model is not None:
                model.reset()

    def _note(self, name: Hashable) -> None:
        self._noted.add(name)

    def _try(self, trial: _Trial) -> None:
        self._noted = set()
        if not trial.call() or not self._noted:
            trial.group.left -= 1
            return
        trial.lacks = self._noted
        trial.group.noted += len(trial.lacks)
        for name in trial.lacks:
            self._lacking[name].append(trial)


class _Postponed(Generic[Asked, Answer]):
    """A model that only remembers, and notes what it is asked besides; `step` asks."""

    def __init__(
        self,
        model: Remembered[Asked, Answer],
        note: Callable[[Hashable], None],
        stream: Callable[[Iterator[Any]], Iterator[Any]] | None = None,
    ) -> None:
        self._model, self._note, self._stream_of = model, note, stream
        self.noted: dict[Hashable, Asked] = {}
        self.reset()

    def reset(self) -> None:
        """Forget what is noted and asked."""
        self.noted.clear()
        self._open: deque[Hashable] = deque()
        self._stream: Iterator[Answer] | None = None

    @property
    def has_work(self) -> bool:
        """Whether something is noted, or asked and not answered."""
        return bool(self.noted or self._open)

    def __call__(self, things: Sequence[Asked]) -> list[Answer]:
        missing = {name: thing for thing in things if not self._model.knows(name := self._model.name(thing))}
        if not missing:
            return self._model(things)
        for name, thing in missing.items():
            self._note(name)
            if name not in self._open:
                self.noted.setdefault(name, thing)
        raise UnansweredError

    def step(self) -> list[Hashable]:
        """Ask, and return the keys of what has been answered: all that was noted, or of a stream the next one."""
        if self._stream_of is None:
            noted, self.noted = self.noted, {}
            self._model.learn(list(noted.values()))  # not a call: an answer that was lost raises in the scorer
            return list(noted)
        if self._stream is None:
            self._stream = self._stream_of(self._feed())
        answer = next(self._stream, None)
        if answer is None:
            self._stream = None
            if self._open:
                raise ValueError(f"the model gave no answer to {len(self._open)} questions")
            return []
        name = self._open.popleft()
        self._model.keep(name, answer)
        return [name]

    def _feed(self) -> Iterator[Asked | None]:
        while True:
            if not self.noted:
                yield None
                continue
            name = next(iter(self.noted))
            self._open.append(name)
            yield self.noted.pop(name)
