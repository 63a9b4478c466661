"""Tools that scorers see through: a detector, an OCR, a judge and other models, handed in as plain callables.

Several scorers look at the same image one after the other, so `make_tools` remembers what was last seen and read, and
what models answered: two scorers that ask the same question have it answered once.

A detector with an open vocabulary has to be told what to look for. `Tools.look_for` binds it to the names that matter
for one sample; until then it knows no name, and claims are not judged.

`Later` lets a judge and a drawer answer for many samples at once, which takes an engine a fraction of the time. A
scorer asks about one sample and goes on with the answer. Here it is run with models that answer only what they were
asked before, note everything else and give up; then all that was noted is asked together, and the scorer is run again.
The true models must remember their answers, as those of `make_tools` do. `make_draw` makes a `Draw` of a backend, so
that a scorer can have a text drawn without knowing what a backend is."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from datagen.chat import ChatRequest, Reply
from datagen.pictures import PictureError, to_png
from datagen.records import Detection, Failure, Prompt, Request, Sample
from datagen.vision.colors import SAME
from datagen.vision.interfaces import Encode, Matcher, Search, sight_of

if TYPE_CHECKING:
    import numpy as np


Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Ask: TypeAlias = Callable[[Sequence[ChatRequest]], Sequence[Reply]]
"""A judge: one reply for each request, in order."""
REMEMBERED = 16_384
"""Answers of a judge, an encoder or a matcher that are kept: a whole shard."""
REMEMBERED_DRAWINGS = 1024
"""Drawings that are kept: those of a shard, unless it is a large one."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """A text to draw, and the seed that decides the picture."""

    text: str
    seed: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture as PNG bytes, or the error that says why there is none; `unreached` as in `Failure`."""

    image: bytes = b""
    error: str = ""
    unreached: bool = False


Draw: TypeAlias = Callable[[Sequence[Sketch]], Sequence[Drawing]]
"""A model that draws: one drawing for each sketch, in order."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Callables from PNG bytes to what is seen: things, and words in reading order.

    `labels` holds every object name the detector can give, or None if it can name anything; `colors` and `characters`
    likewise what it calls colours and what the reader can write, None where neither says; `most` is how many of one
    name it gives at most, None for any number. `ask` answers questions about images, one reply for each request in
    order; None where the recipe names no judge. `encoders` and `matchers` are models by the names that the recipe
    gives them, `draw` draws a text; none where the recipe names none.
    """

    detect: Callable[[bytes], list[Detection]]
    read_text: Callable[[bytes], list[str]]
    labels: frozenset[str] | None = None
    ask: Ask | None = None
    encoders: Mapping[str, Encode] = field(default_factory=dict)
    matchers: Mapping[str, Matcher] = field(default_factory=dict)
    draw: Draw | None = None
    search: Search | None = None
    colors: frozenset[str] | None = None
    characters: Container[str] | None = None
    most: int | None = None

    def find_unknown(self, names: set[str]) -> list[str]:
        """Return those object names, sorted, that the detector cannot see."""
        return [] if self.labels is None else sorted(names - self.labels)

    def name_color(self, color: str) -> str | None:
        """Return what the detector calls a claimed colour, None if it has no name for it; as claimed if any may be."""
        if self.colors is None or color in self.colors:
            return color
        other = SAME.get(color)
        return other if other in self.colors else None

    def find_unnamed(self, colors: Iterable[str]) -> list[str]:
        """Return those colours, sorted, that the detector has no name for."""
        return sorted(color for color in set(colors) if self.name_color(color) is None)

    def find_unread(self, texts: Iterable[str]) -> list[str]:
        """Return the characters of some texts that the reader cannot write, sorted.

        White space and what no eye sees are set aside. A letter counts as one with its accent, and as known if its
        plain forms are (Unicode's NFC and NFKC).
        """
        if self.characters is None:
            return []
        letters = {letter for text in texts for letter in unicodedata.normalize("NFC", text)}
        return sorted(letter for letter in letters if not _is_read(letter, self.characters))

    def look_for(self, names: Iterable[str]) -> Tools:
        """Return tools whose detector looks for these names and knows no other; itself for a closed vocabulary."""
        if self.search is None:
            return self
        search, known = self.search, frozenset(names)
        return replace(self, detect=_LastImage(lambda image: search(image, known)), labels=known)

    def forget_lost(self) -> None:
        """Let the judge and the drawer be asked again about what they were not reached for."""
        for model in (self.ask, self.draw):
            if isinstance(model, Remembered):
                model.forget_lost()


def _is_read(letter: str, characters: Container[str]) -> bool:
    if letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf") or "\ufe00" <= letter <= "\ufe0f":
        return True  # nothing of it is drawn: joiners, marks of direction, variants
    return letter in characters or all(
        plain in characters or plain.isspace() for plain in unicodedata.normalize("NFKC", letter)
    )


class _LastImage(Generic[Answer]):
    """Calls a function once per image as long as the image stays the same; an exception is not remembered."""

    def __init__(self, call: Callable[[bytes], list[Answer]]) -> None:
        self._call = call
        self._image: bytes | None = None
        self._answer: list[Answer] = []

    def __call__(self, image: bytes) -> list[Answer]:
        if image != self._image:
            self._image = None
            self._answer = self._call(image)
            self._image = image
        return list(self._answer)


class Remembered(Generic[Asked, Answer]):
    """Asks a model about each thing once, all new ones of a call in one batch, and keeps the last `most` answers.

    `name` makes of a thing what it is known by. `find_loss` says why an answer is none, since the model was not
    reached; such answers raise ConnectionError where they are wanted, so that no scorer takes them for what the model
    said. They are kept too, until `forget_lost`: a model that is down is not asked again and again.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Asked]], Iterable[Answer]],
        name: Callable[[Asked], Hashable],
        most: int,
        find_loss: Callable[[Answer], str] = lambda answer: "",
    ) -> None:
        self.name = name
        self._ask, self._most, self._find_loss = ask, most, find_loss
        self._known: dict[Hashable, Answer] = {}

    def __call__(self, things: Sequence[Asked]) -> list[Answer]:
        """Return one answer for each thing; raises ConnectionError where the model was not reached for one."""
        answers = [self._known[name] for name in self.learn(things)]
        for name in list(islice(self._known, max(0, len(self._known) - self._most))):
            del self._known[name]
        if lost := next(filter(None, map(self._find_loss, answers)), ""):
            raise ConnectionError(lost)
        return answers

    def learn(self, things: Sequence[Asked]) -> list[Hashable]:
        """Ask about those things that are not known yet, and return what each is known by.

        Raises what the model raises, and ValueError where it gives too few answers or too many.
        """
        names = [self.name(thing) for thing in things]
        new = {name: thing for name, thing in zip(names, things, strict=True) if name not in self._known}
        found = list(self._ask(list(new.values()))) if new else []
        if len(found) != len(new):
            raise ValueError(f"the model gave {len(found)} answers to {len(new)} questions")
        self._known.update(zip(new, found, strict=True))
        return names

    def forget_lost(self) -> None:
        """Forget what was not answered, so that it is asked again."""
        self._known = {name: answer for name, answer in self._known.items() if not self._find_loss(answer)}


def _remember_rows(encode: Encode) -> Encode:
    known = Remembered(encode, _digest, REMEMBERED)

    def encode_once(images: Sequence[bytes]) -> np.ndarray:
        import numpy as np

        rows = known(images)
        width = max(map(len, rows), default=1)  # nothing but unreadable images: the encoder cannot tell its width
        return np.array([row if len(row) == width else np.full(width, np.nan) for row in rows], np.float32).reshape(
            len(rows), width
        )

    return encode_once


def _name_request(request: ChatRequest) -> Hashable:
    parts = [(m.role, tuple((part.text, _digest(part.image)) for part in m.parts)) for m in request.messages]
    return tuple(parts), repr(request.sampling)


def _name_pair(pair: tuple[str, bytes]) -> Hashable:
    return pair[0], _digest(pair[1])


def _digest(image: bytes) -> bytes:
    return hashlib.blake2b(image, digest_size=16).digest()


def _explain_loss(who: str, answer: Reply | Drawing) -> str:
    return f"the {who} was not reached: {answer.error}" if answer.unreached else ""


def make_tools(
    detect: Callable[..., list[Detection]],
    read_text: Callable[[bytes], list[str]],
    *,
    ask: Ask | None = None,
    encoders: Mapping[str, Encode] | None = None,
    matchers: Mapping[str, Matcher] | None = None,
    draw: Draw | None = None,
) -> Tools:
    """Return tools that look at the current image once, and know what detector and reader say of themselves (`Sight`).

    A detector that reads has a `read_text` of its own, which is asked in place of the one given. A detector that says
    `open_vocabulary = True` is a `Search`: it sees nothing until `look_for` names things.
    """
    rows = {name: _remember_rows(encode) for name, encode in (encoders or {}).items()}
    matches = {name: Remembered(match, _name_pair, REMEMBERED) for name, match in (matchers or {}).items()}
    judge = None if ask is None else Remembered(ask, _name_request, REMEMBERED, partial(_explain_loss, "judge"))
    drawer = (
        None
        if draw is None
        else Remembered(draw, lambda sketch: sketch, REMEMBERED_DRAWINGS, partial(_explain_loss, "drawer"))
    )
    search = detect if getattr(detect, "open_vocabulary", False) else None
    sight = sight_of(detect)
    read = getattr(detect, "read_text", read_text)
    characters = sight.characters if sight.reads else getattr(read_text, "characters", None)
    tools = Tools(
        _LastImage(detect),
        _LastImage(read),
        sight.labels,
        judge,
        rows,
        matches,
        drawer,
        search,
        sight.colors,
        characters,
        sight.most,
    )
    return tools.look_for(())


class UnansweredError(Exception):
    """What a scorer asked is not known yet: it is to be run again."""


class Later:
    """The judge and the drawer of `tools`, asked later: `bind` them to the tools of a scorer, then `ask`."""

    def __init__(self, tools: Tools) -> None:
        self._judge = _Postponed(tools.ask) if isinstance(tools.ask, Remembered) else None
        self._drawer = _Postponed(tools.draw) if isinstance(tools.draw, Remembered) else None

    def bind(self, tools: Tools) -> Tools:
        """Return tools whose models raise UnansweredError at what they were not asked before."""
        return replace(tools, ask=self._judge, draw=self._drawer)

    def ask(self) -> None:
        """Ask each model, in one call, all that was noted since the last time. What it raises is raised.

        What it was not reached for raises where a scorer wants it.
        """
        for postponed in (self._judge, self._drawer):
            if postponed is not None:
                postponed.ask()


class _Postponed(Generic[Asked, Answer]):
    def __init__(self, model: Remembered[Asked, Answer]) -> None:
        self._model = model
        self._asked: set[Hashable] = set()
        self._noted: list[Asked] = []

    def __call__(self, things: Sequence[Asked]) -> list[Answer]:
        # A scorer may ask again with what it learned: each pass gets one question further, until nothing is new.
        if self._asked.issuperset(map(self._model.name, things)):
            return self._model(things)
        self._noted += things
        raise UnansweredError

    def ask(self) -> None:
        noted, self._noted = self._noted, []
        if noted:
            self._model.learn(noted)
            self._asked.update(map(self._model.name, noted))


Generate = Callable[[Sequence[Request]], Iterable[Sample | Failure]]
"""A backend's `generate`: one sample or failure for each request, in any order."""


def make_draw(generate: Generate) -> Draw:
    """Return a function from sketches to drawings; each text is asked for directly, without reasoning before it.

    A text that is asked for twice in a call keeps its two seeds. What the backend raises is raised.
    """

    def draw(sketches: Sequence[Sketch]) -> list[Drawing]:
        requests = [_request(sketch, number) for number, sketch in enumerate(sketches)]
        drawn = {(answer.prompt_id, answer.candidate): _read(answer) for answer in generate(requests)}
        nothing = Drawing(error="the drawer gave no answer")
        return [drawn.get((request.prompt.id, request.candidate), nothing) for request in requests]

    return draw


def _request(sketch: Sketch, number: int) -> Request:
    """Return the request for one picture; the number keeps apart what is asked for twice."""
    prompt = Prompt.make(
        sketch.text, (), weakness="drawn", skill="caption", level="easy", index=0, seed=sketch.seed, template="caption"
    )
    return Request(prompt, number, sketch.seed, "direct")


def _read(answer: Sample | Failure) -> Drawing:
    if isinstance(answer, Failure):
        return Drawing(error=answer.error, unreached=answer.unreached)
    if not answer.image:
        return Drawing(error="the drawer drew no image")
    try:
        return Drawing(to_png(answer.image))
    except PictureError as error:
        return Drawing(error=str(error))
