"""Tools of scorers: a detector, an OCR, a judge and other models, as plain callables.

Several scorers look at the same image in turn, so `make_tools` caches the last detections and the last text, and the
answers of models: a question that two scorers ask is answered once.

A detector with an open vocabulary needs names to search for. `Tools.look_for` binds it to those of one sample; until
then it knows no name, and claims are not judged.

`make_draw` turns a backend into a `Draw`, so that a scorer can have images generated without knowing backends.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from datagen.chat import ChatRequest, Reply
from datagen.picture_files import PictureError
from datagen.pictures import normalise
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
"""Cached answers of a judge, an encoder or a matcher: enough for a shard."""
REMEMBERED_DRAWINGS = 1024
"""Cached pictures of the drawer: enough for a shard, unless it is large."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """A text to generate a picture of, and the seed that decides the picture."""

    text: str
    seed: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """A generated picture as it is stored, or the error that prevented it; `unreached` as in `Failure`."""

    image: bytes = b""
    error: str = ""
    unreached: bool = False


Draw: TypeAlias = Callable[[Sequence[Sketch]], Sequence[Drawing]]
"""A model that generates pictures: one drawing for each sketch, in order."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Callables that look at PNG bytes: a detector of objects, a reader of text in reading order, and other models.

    `labels` holds the object names that the detector knows, None for any name; `colors` and `characters` likewise its
    colours and the reader's characters, None if unknown; `most` is the largest number of one name that it detects, None
    for no bound. `ask` answers questions about images, one reply for each request in order. `encoders` and `matchers`
    are models by their names in the recipe; `draw` generates a picture of a text. What the recipe does not name is None
    or empty.
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
    services: dict[Hashable, Remembered[Any, Any]] = field(default_factory=dict, compare=False)
    """What scorers ask by themselves, by a key of theirs."""

    def open_service(self, key: Hashable, ask: Callable[[], Remembered[Any, Any]]) -> Remembered[Any, Any]:
        """Return what remembers the answers of a service; `ask` makes it when the key is new."""
        if key not in self.services:
            self.services[key] = ask()
        return self.services[key]

    def find_unknown(self, names: set[str]) -> list[str]:
        """Return those object names, sorted, that the detector cannot see."""
        return [] if self.labels is None else sorted(names - self.labels)

    def name_color(self, color: str) -> str | None:
        """Return the detector's name of a claimed colour, or None; the claimed name if its colours are unknown."""
        if self.colors is None or color in self.colors:
            return color
        other = SAME.get(color)
        return other if other in self.colors else None

    def find_unnamed(self, colors: Iterable[str]) -> list[str]:
        """Return the colours, sorted, that the detector has no name for."""
        return sorted(color for color in set(colors) if self.name_color(color) is None)

    def find_unread(self, texts: Iterable[str]) -> list[str]:
        """Return the characters of texts that the reader does not know, sorted.

        White space and invisible characters are ignored. A letter and its accent are one character (NFC), which is
        known if its plain forms are (NFKC).
        """
        if self.characters is None:
            return []
        letters = {letter for text in texts for letter in unicodedata.normalize("NFC", text)}
        return sorted(letter for letter in letters if not _is_read(letter, self.characters))

    def look_for(self, names: Iterable[str]) -> Tools:
        """Return tools whose detector searches for these names alone; the same tools for a closed vocabulary."""
        if self.search is None:
            return self
        search, known = self.search, frozenset(names)
        return replace(self, detect=_LastImage(lambda image: search(image, known)), labels=known)

    def forget_lost(self) -> None:
        """Forget requests for which a judge, drawer or service was not reached, so that they are sent again."""
        for model in (self.ask, self.draw, *self.services.values()):
            if isinstance(model, Remembered):
                model.forget_lost()


def _is_read(letter: str, characters: Container[str]) -> bool:
    if letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf") or "\ufe00" <= letter <= "\ufe0f":
        return True  # invisible: joiners, direction marks, variation selectors
    return letter in characters or all(
        plain in characters or plain.isspace() for plain in unicodedata.normalize("NFKC", letter)
    )


class _LastImage(Generic[Answer]):
    """Caches the result of a function for the last image; an exception is not cached."""

    def __init__(self, call: Callable[[bytes], list[Answer]]) -> None:
        self._call = call
        self._image: bytes | None = None
        self._answer: list[Answer] = []

    def __call__(self, image: bytes) -> list[Answer]:
        if image != self._image:
            self._image = None  # so that an exception does not leave the new image with the old answer
            self._answer = self._call(image)
            self._image = image
        return list(self._answer)


class Remembered(Generic[Asked, Answer]):
    """Caches the answers of a model: asks about new things in one batch and keeps the last `most` answers.

    `name` returns the key of a thing. `find_loss` returns why an answer is missing if the model was not reached. Such
    an answer raises ConnectionError on use, so that no scorer takes it for an answer of the model. It is cached too,
    until `forget_lost`, so that a model that is down is not asked again and again.
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
        """Return one answer for each thing. Raises ConnectionError if the model was not reached for one."""
        answers = [self._known[name] for name in self.learn(things)]
        # Trimmed only after the answers are read: one call may ask about more things than the cache keeps.
        for name in list(islice(self._known, max(0, len(self._known) - self._most))):
            del self._known[name]
        if lost := next(filter(None, map(self._find_loss, answers)), ""):
            raise ConnectionError(lost)
        return answers

    def learn(self, things: Sequence[Asked]) -> list[Hashable]:
        """Ask about the things that are not cached, and return the keys of all.

        Raises what the model raises, and ValueError if it returns too few or too many answers.
        """
        names = [self.name(thing) for thing in things]
        new = {name: thing for name, thing in zip(names, things, strict=True) if name not in self._known}
        found = list(self._ask(list(new.values()))) if new else []
        if len(found) != len(new):
            raise ValueError(f"the model gave {len(found)} answers to {len(new)} questions")
        self._known.update(zip(new, found, strict=True))
        return names

    def knows(self, name: Hashable) -> bool:
        """Return whether the answer of a key is cached."""
        return name in self._known

    def keep(self, name: Hashable, answer: Answer) -> None:
        """Cache an answer that somebody else has asked for."""
        self._known[name] = answer

    def forget_lost(self) -> None:
        """Forget requests that were never answered, so that they are sent again."""
        self._known = {name: answer for name, answer in self._known.items() if not self._find_loss(answer)}


def _remember_rows(encode: Encode) -> Encode:
    known = Remembered(encode, _digest, REMEMBERED)

    def encode_once(images: Sequence[bytes]) -> np.ndarray:
        import numpy as np

        rows = known(images)
        width = max(map(len, rows), default=1)  # without one readable image the width is unknown
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
    """Return tools that look at each image once, with the vocabulary of detector and reader (`Sight`).

    A detector with its own `read_text` replaces the given one. A detector with `open_vocabulary = True` is a `Search`:
    it detects nothing until `look_for` names objects.
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


Generate = Callable[[Sequence[Request]], Iterable[Sample | Failure]]
"""A backend's `generate`: one sample or failure for each request, in any order."""


def make_draw(generate: Generate) -> Draw:
    """Return a function from sketches to drawings, which generates each text in mode `direct`, without reasoning.

    A text that occurs twice in a call keeps its two seeds. Exceptions of the backend are passed on.
    """

    def draw(sketches: Sequence[Sketch]) -> list[Drawing]:
        requests = [_request(sketch, number) for number, sketch in enumerate(sketches)]
        drawn = {(answer.prompt_id, answer.candidate): _read(answer) for answer in generate(requests)}
        nothing = Drawing(error="the drawer gave no answer")
        return [drawn.get((request.prompt.id, request.candidate), nothing) for request in requests]

    return draw


def _request(sketch: Sketch, number: int) -> Request:
    """Return the request for one picture; the number distinguishes equal texts of one call."""
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
        return Drawing(normalise(answer.image))
    except PictureError as error:
        return Drawing(error=str(error))
