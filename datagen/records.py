"""The nouns of datagen as small frozen values: claim, prompt, request, segment, sample, verdict, score, failure.

Every stage hands these on, and the run folder stores exactly them. A value turns into plain JSON with `to_dict` and
back with `from_dict`; ids are hashes of content, so the same thing has the same name in every run.
See one: `datagen preview`.

The form of a reflection: three headed parts, as every backend writes them and every scorer reads them.

The parts are those of IRG (arXiv 2509.06945). Here the final prompt stands before the guidance, since a model that
draws goes on from the guidance to the image.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

ClaimKind = Literal["count", "part", "attribute", "relation", "depth", "comparison", "text", "fact"]
Modality = Literal["text", "image"]
Mode = Literal["direct", "think", "reflect"]

_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def compose(text: str) -> str:
    """Return a text with its letters composed (NFC), as in every word that is compared: é is one letter."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def hash_of(*parts: object) -> str:
    """Return 16 hexadecimal digits that name JSON-serialisable content (SHA-256, truncated)."""
    return hashlib.sha256(_CANONICAL.encode(parts).encode()).hexdigest()[:16]


def seed_of(*parts: object) -> int:
    """Return a 63-bit seed that is a pure function of its parts: never of order, worker or time."""
    return int(hash_of(*parts), 16) >> 1


class Record:
    """A frozen value that turns into plain JSON, field by field, and back."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a value; raises TypeError on a wrong shape."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Claim(Record):
    """One machine-checkable fact that a prompt asserts.

    | kind | subject | name | value |
    |---|---|---|---|
    | count | object, singular | | how many, exactly (int); 0: none |
    | part | object | a colour | how many of them have it, exactly (int); 0: none |
    | attribute | object | what of it (`color`, `material`, …) | which (str) |
    | relation | object | `left of`, `right of`, `above`, `below` | the other object |
    | depth | object | `in front of`, `behind`, `partly hides`, `partly hidden by` | the other object |
    | comparison | object | `more than`, `fewer than`, `as many as` | the other object; both are there |
    | text | | | the words to be seen, to the letter |
    | fact | object, or empty | | what is visibly true: of the object ("has wings"), or a whole sentence |

    Kinds are apart where judges are: no arithmetic on boxes sees depth, and none reads a fact. Words are composed.
    """

    kind: ClaimKind
    subject: str = ""
    name: str = ""
    value: str | int = ""

    def __post_init__(self) -> None:
        for name in ("subject", "name", "value"):
            text = getattr(self, name)
            if isinstance(text, str) and not text.isascii():
                object.__setattr__(self, name, compose(text))

    @property
    def things(self) -> tuple[str, ...]:
        """The objects that it names: its subject, and the other one where it holds two against each other."""
        if self.kind in ("relation", "depth", "comparison"):
            return self.subject, str(self.value)
        return (self.subject,) if self.subject else ()

    @property
    def is_counted(self) -> bool:
        """Whether its value is a number of things."""
        return self.kind in ("count", "part")

    def __str__(self) -> str:
        if self.kind == "count":
            return f"count({self.subject}, {self.value})"
        if self.kind == "fact" and self.subject:
            return f"fact({self.subject}, {json.dumps(self.value, ensure_ascii=False)})"
        if self.kind == "fact":
            return f"fact({json.dumps(self.value, ensure_ascii=False)})"
        if self.kind == "text":
            return f"text({json.dumps(self.value, ensure_ascii=False)})"
        return f"{self.kind}({self.subject}, {self.name}, {self.value})"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a claim; raises KeyError or TypeError on a wrong shape."""
        return cls(data["kind"], data["subject"], data["name"], data["value"])


@dataclass(frozen=True, slots=True)
class Prompt(Record):
    """Words for a model and the claims they make, with where they came from.

    `index` counts within the skill; the prompt is a pure function of (`seed`, `weakness/skill`, `index`).
    """

    id: str
    text: str
    claims: tuple[Claim, ...]
    weakness: str
    skill: str
    level: str
    index: int
    seed: int
    template: str
    slots: dict[str, str | int] = field(default_factory=dict)
    source: str = "template"

    @property
    def path(self) -> str:
        """The taxonomy path, such as `counting/one_kind`."""
        return f"{self.weakness}/{self.skill}"

    @classmethod
    def make(cls, text: str, claims: tuple[Claim, ...], **where: Any) -> Self:
        """Build a prompt, its text composed, and give it the id of its content: text, claims and taxonomy path."""
        text = compose(text)
        facts = [claim.to_dict() for claim in claims]
        return cls(id=hash_of(text, facts, where["weakness"], where["skill"]), text=text, claims=claims, **where)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**Record.to_dict(self), "claims": [claim.to_dict() for claim in self.claims]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a prompt; raises KeyError or TypeError on a wrong shape."""
        return cls(**{**data, "claims": tuple(Claim.from_dict(claim) for claim in data["claims"])})


@dataclass(frozen=True, slots=True)
class Request:
    """One sample to make: candidate number `candidate` of a prompt, from a seed of its own."""

    prompt: Prompt
    candidate: int
    seed: int
    mode: Mode

    @property
    def sample_id(self) -> str:
        """The id that the sample will carry."""
        return f"{self.prompt.id}-{self.candidate:02d}"


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of what a model wrote: text, or an image as PNG bytes, and the role it plays.

    Roles: `think`, `image`; a reflection adds `look` (what the model sees), `reflect` and `refined image`.
    """

    kind: Modality
    role: str
    text: str = ""
    image: bytes = b""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one model wrote in one go for one prompt.

    `switch` says who decided to go from text to image: `autonomous` (the model), `forced` (the toolkit), `none`.
    `finish` is `stop` when the model ended by itself, else what cut it (`length`). `settings` holds what, with `seed`,
    makes the sample again: engine version, temperature, mode.
    """

    id: str
    prompt_id: str
    candidate: int
    seed: int
    mode: Mode
    engine: str
    switch: str
    finish: str
    segments: tuple[Segment, ...]
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def make(
        cls,
        request: Request,
        segments: tuple[Segment, ...],
        *,
        engine: str,
        switch: str,
        finish: str,
        settings: Mapping[str, Any],
    ) -> Self:
        """Return the record of a request that was answered; `settings` is copied."""
        return cls(
            id=request.sample_id,
            prompt_id=request.prompt.id,
            candidate=request.candidate,
            seed=request.seed,
            mode=request.mode,
            engine=engine,
            switch=switch,
            finish=finish,
            segments=segments,
            settings=dict(settings),
        )

    @property
    def text(self) -> str:
        """All text segments, joined by blank lines."""
        return "\n\n".join(segment.text for segment in self.segments if segment.kind == "text")

    @property
    def image(self) -> bytes | None:
        """The last image as PNG bytes, or None if the model drew none."""
        for segment in reversed(self.segments):
            if segment.kind == "image":
                return segment.image
        return None


UNNAMED = ""
"""Label of a detection that says: here is something, and I cannot tell what it is."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing found in an image: its object name, its colour, its box and how sure the detector is.

    The label is composed, as the names in claims are; `""` (`UNNAMED`) stands for something that is there and cannot be
    named: a claim that there is nothing more is then not known to hold. The box is (x1, y1, x2, y2) in thousandths of
    the image, 0..1000, y downwards (the form of GoT-R1). `confidence` is in [0, 1]; `color` is one of the ten GenEval
    colours, or `""` if it could not be named.
    """

    label: str
    color: str
    box: tuple[int, int, int, int]
    confidence: float

    def __post_init__(self) -> None:
        if not self.label.isascii():
            object.__setattr__(self, "label", compose(self.label))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a scorer answers: a value in [0, 1], or None if it could not judge, and a reason a person can read."""

    value: float | None
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score(Record):
    """A verdict with its place: which sample, which scorer, which modality it judges. None never counts as 0."""

    sample_id: str
    name: str
    target: Modality
    value: float | None
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rewrite(Record):
    """What a language model answered when it was asked to rewrite a prompt; `key` names the question, by its hash."""

    key: str
    text: str
    finish: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Failure(Record):
    """What could not be made or scored, and why: data, not a crash.

    `unreached` says that this is no result: the model that was asked did not answer at all (a server that is down or
    overloaded, a connection that broke), so the next run asks again.
    """

    stage: str
    prompt_id: str
    candidate: int
    error: str
    detail: str = ""
    unreached: bool = False

    @classmethod
    def unanswered(cls, request: Request, error: str, detail: str = "", *, unreached: bool = False) -> Self:
        """Return the record of a request that was not answered, or not well."""
        return cls("generate", request.prompt.id, request.candidate, error, detail, unreached)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `unreached` only where it is so."""
        values = Record.to_dict(self)
        return values if self.unreached else {key: value for key, value in values.items() if key != "unreached"}


HEADS = ("Required improvements", "Final prompt", "Step-by-step guidance")
"""The heads of a reflection, in order; each begins a line and is followed by a colon."""


def write_reflection(improvements: str, guidance: str, final_prompt: str) -> str:
    """Return the headed parts of a reflection as one text."""
    parts = (improvements, final_prompt, guidance)
    return "\n".join(f"{head}: {part}" for head, part in zip(HEADS, parts, strict=True))


def read_reflection(text: str) -> list[tuple[str, str]]:
    """Return the headed parts of a text as (head, words) in the order they stand; what no head begins is left out."""
    parts: list[tuple[str, str]] = []
    for line in text.split("\n"):
        head, colon, words = line.partition(":")
        if colon and head.strip() in HEADS:
            parts.append((head.strip(), words.strip()))
        elif parts:
            head, before = parts[-1]
            parts[-1] = (head, f"{before}\n{line}".strip())
    return parts
