"""Records of datagen as small frozen values: claim, prompt, request, segment, sample, verdict, score, failure.

The stages pass these on, and the run folder stores exactly these. `to_dict` turns a value into plain JSON and
`from_dict` back; ids are hashes of content, so the same content has the same id in every run. Try `datagen preview`.

`write_reflection` and `read_reflection` hold the form of a reflection: three headed parts, the same for every backend
and scorer. The parts are those of IRG (arXiv 2509.06945), but the final prompt comes before the guidance, since a model
continues from the guidance to the image.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, get_args

ClaimKind = Literal["count", "part", "attribute", "relation", "depth", "comparison", "text", "fact"]
Cause = Literal[
    "missing",
    "extra",
    "count",
    "color",
    "attribute",
    "place",
    "depth",
    "comparison",
    "fact",
    "unread",
    "misread",
    "case",
    "merged",
    "cut",
    "denied",
]
"""Why a claim fails in an image; docs/scorers.md says what each means."""
CAUSES: tuple[Cause, ...] = get_args(Cause)
"""All causes, in the order in which they are listed everywhere."""
Modality = Literal["text", "image"]
Mode = Literal["direct", "think", "reflect"]

_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def compose(text: str) -> str:
    """Return a text in Unicode NFC, the form in which all words are compared: é is one letter."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def storable(text: str) -> str:
    """Return a text that UTF-8 can hold: a lone surrogate, half of a letter, is written as its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """Return a text to be shown, on a terminal or in a page: what would act there is written as its escape.

    That is every control character of C0 and C1 but the tab and the end of a line, the letters that turn the
    direction of those after them, and lone surrogates.
    """
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _is_text(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)


def hash_of(*parts: object) -> str:
    """Return a hash of JSON-serialisable content: 16 hexadecimal digits (SHA-256, truncated)."""
    return hashlib.sha256(_CANONICAL.encode(parts).encode()).hexdigest()[:16]


def seed_of(*parts: object) -> int:
    """Return a 63-bit seed that depends only on its parts, never on order, worker or time."""
    return int(hash_of(*parts), 16) >> 1  # 63 bits: parquet and torch take signed integers


class Record:
    """A frozen value that converts to plain JSON, field by field, and back."""

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

    Kinds differ where judges differ: arithmetic on boxes can judge neither depth nor a fact. Words are in NFC.
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
        """The objects that it names: its subject, and the second object of a relation, depth or comparison."""
        if self.kind in ("relation", "depth", "comparison"):
            return self.subject, str(self.value)
        return (self.subject,) if self.subject else ()

    @property
    def is_counted(self) -> bool:
        """Whether its value is a number of objects."""
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
        made = cls(data["kind"], data["subject"], data["name"], data["value"])
        if not (_is_text(made.kind, made.subject, made.name) and isinstance(made.value, (str, int))):
            raise TypeError("a claim has a field of another type")
        return made


@dataclass(frozen=True, slots=True)
class Prompt(Record):
    """A text for a model, the claims it makes, and where it came from.

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
        """Build a prompt with its text in NFC and an id that hashes text, claims and taxonomy path."""
        text = compose(text)
        facts = [claim.to_dict() for claim in claims]
        return cls(id=hash_of(text, facts, where["weakness"], where["skill"]), text=text, claims=claims, **where)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**Record.to_dict(self), "claims": [claim.to_dict() for claim in self.claims]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a prompt; raises KeyError or TypeError on a wrong shape."""
        made = cls(**{**data, "claims": tuple(Claim.from_dict(claim) for claim in data["claims"])})
        words = _is_text(made.id, made.text, made.weakness, made.skill, made.level, made.template, made.source)
        if not (words and isinstance(made.index, int) and isinstance(made.seed, int) and isinstance(made.slots, dict)):
            raise TypeError("a prompt has a field of another type")
        return made


@dataclass(frozen=True, slots=True)
class Request:
    """One sample to generate: candidate number `candidate` of a prompt, with its own seed."""

    prompt: Prompt
    candidate: int
    seed: int
    mode: Mode

    @property
    def sample_id(self) -> str:
        """The id that the sample will have."""
        return f"{self.prompt.id}-{self.candidate:02d}"


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a model's output: text, or an image as the bytes of a PNG, JPEG or WebP file, and its role.

    Roles: `think`, `image`; a reflection adds `look` (what the model sees), `reflect` and `refined image`, and on
    request ends in `closing look` and `close`, a reflection about the last image that no image follows.
    """

    kind: Modality
    role: str
    text: str = ""
    image: bytes = b""


@dataclass(frozen=True, slots=True)
class Sample:
    """The output of a model for one request.

    `switch` says who decided to go from text to image: `autonomous` (the model), `forced` (the toolkit), `none`.
    `finish` is `stop` when the model ended by itself, else why it was cut off (`length`). `settings` and `seed`
    together reproduce the sample: engine version, temperature, mode.
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
        """Return the sample that answers a request; `settings` is copied."""
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
        """All text segments, separated by blank lines."""
        return "\n\n".join(segment.text for segment in self.segments if segment.kind == "text")

    @property
    def image(self) -> bytes | None:
        """The last image as the bytes of its file, or None if the model generated none."""
        for segment in reversed(self.segments):
            if segment.kind == "image":
                return segment.image
        return None

    @property
    def image_bytes(self) -> int:
        """The size of all images together, in bytes."""
        return sum(len(segment.image) for segment in self.segments)


UNNAMED = ""
"""Label of a detected object that the detector cannot name."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One object found in an image: its name, colour, box and confidence.

    The label is in NFC, like the names in claims; `""` (`UNNAMED`) marks an object without a known name: it is then
    unknown whether a claim about the number of objects holds. The box is (x1, y1, x2, y2) in thousandths of the image,
    0..1000, y downwards (the form of GoT-R1). `confidence` is in [0, 1]; `color` is one of the ten GenEval colours, or
    `""` if unknown.
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
    """A scorer's answer: a value in [0, 1], or None if it could not judge, and a readable reason."""

    value: float | None
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score(Record):
    """A verdict with its sample, its scorer and the modality that it judges. None never counts as 0."""

    sample_id: str
    name: str
    target: Modality
    value: float | None
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a score; raises TypeError on a wrong shape, or for a value that is not in [0, 1]."""
        made = cls(**data)
        known = made.value is None or (isinstance(made.value, (int, float)) and 0 <= made.value <= 1)
        if not (known and _is_text(made.sample_id, made.name, made.target, made.reason)):
            raise TypeError("a score has a field of another type, or a value that is not in [0, 1]")
        if not isinstance(made.evidence, dict):
            raise TypeError("the evidence of a score is no mapping")
        return made


@dataclass(frozen=True, slots=True)
class Rewrite(Record):
    """A language model's rewrite of a prompt; `key` is the hash of the request."""

    key: str
    text: str
    finish: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Failure(Record):
    """A sample that could not be generated or scored, and why: data, not a crash.

    `unreached` says that this is not a result: the model did not answer at all (a server that is down or overloaded, a
    broken connection), so the next run asks again.
    """

    stage: str
    prompt_id: str
    candidate: int
    error: str
    detail: str = ""
    unreached: bool = False

    def __post_init__(self) -> None:
        for name in ("error", "detail"):  # what a model or a plugin said may be anything
            object.__setattr__(self, name, storable(getattr(self, name)))

    @classmethod
    def unanswered(cls, request: Request, error: str, detail: str = "", *, unreached: bool = False) -> Self:
        """Return the failure of a request that got no valid answer."""
        return cls("generate", request.prompt.id, request.candidate, error, detail, unreached)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a failure; raises TypeError on a wrong shape."""
        made = cls(**data)
        if not (_is_text(made.stage, made.prompt_id) and isinstance(made.candidate, int)):
            raise TypeError("a failure has a field of another type")
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `unreached` only if it is true."""
        values = Record.to_dict(self)
        return values if self.unreached else {key: value for key, value in values.items() if key != "unreached"}


HEADS = ("Required improvements", "Final prompt", "Step-by-step guidance")
"""The headings of a reflection, in order; each begins a line and ends with a colon."""


def write_reflection(improvements: str, guidance: str, final_prompt: str) -> str:
    """Return the parts of a reflection as one text with headings."""
    parts = (improvements, final_prompt, guidance)
    return "\n".join(f"{head}: {part}" for head, part in zip(HEADS, parts, strict=True))


def read_reflection(text: str) -> list[tuple[str, str]]:
    """Return the parts of a text as (heading, words) in order; text before the first heading is left out."""
    parts: list[tuple[str, str]] = []
    for line in text.split("\n"):
        head, colon, words = line.partition(":")
        if colon and head.strip() in HEADS:
            parts.append((head.strip(), words.strip()))
        elif parts:
            head, before = parts[-1]
            parts[-1] = (head, f"{before}\n{line}".strip())
    return parts
