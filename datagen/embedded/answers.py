"""Read the tokens of a joint model into a sample: token ids, image codes, PNG, record.

Every backend that runs a model with this vocabulary uses it. Nothing is repaired: a malformed answer becomes a failure
with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from datagen.control_tokens import LAYOUT, find_token
from datagen.embedded.codec import ImageCodec, fingerprint, note_codes
from datagen.embedded.pictograms import GRID
from datagen.embedded.vocab import Vocabulary
from datagen.pictures import encode_png
from datagen.records import Failure, Request, Sample, Segment

IMAGE_TOKENS = GRID * (GRID + 1)
"""Tokens of an image between begin and end: GRID times a row token and GRID codes."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One section of an answer: a role with its text, or `image` or `refined image` with its codes."""

    role: str
    text: str = ""
    codes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the model: its pieces in order, its finish reason, and the fault in its form, if any."""

    pieces: tuple[Piece, ...]
    finish: str
    problem: str = ""

    @property
    def text(self) -> str:
        """The texts of all pieces, joined."""
        return "\n\n".join(piece.text for piece in self.pieces if piece.text)


def read_answer(vocab: Vocabulary, ids: Sequence[int]) -> Answer:
    """Read the tokens generated after a prompt for an image, without repairing anything."""
    finish = "stop" if ids and ids[-1] == vocab.eos else "length"
    pieces, rest, problem = read_sections(vocab, ids)
    if not problem and not any(piece.codes for piece in pieces):
        problem = "the model does not switch to an image"
    elif not problem and rest != [vocab.eos]:
        problem = "the model goes on where it should have ended"
    return Answer(pieces, finish, problem)


def read_sections(vocab: Vocabulary, ids: Sequence[int]) -> tuple[tuple[Piece, ...], list[int], str]:
    """Return the complete sections at the start of ids, the remaining ids, and the fault of the next section."""
    sections = {
        # begin: end, role, fault without an end
        vocab.think: (vocab.end_think, "think", "the thought never ends"),
        vocab.look: (vocab.end_look, "look", "the look at the image never ends"),
        vocab.reflect: (vocab.end_reflect, "reflect", "the reflection never ends"),
    }
    rest, pieces, problem = list(ids), list[Piece](), ""
    while rest and not problem:
        if rest[0] in sections:
            end, role, endless = sections[rest[0]]
            if end in rest:
                cut = rest.index(end)
                text = vocab.tokenizer.decode(rest[1:cut], skip_special_tokens=False)
                if token := find_token(text, LAYOUT):
                    problem = f"{endless.removesuffix(' never ends')} holds {token!r}"
                    break
                pieces.append(Piece(role, text=text))
                rest = rest[cut + 1 :]
            else:
                problem = endless
        elif rest[0] == vocab.image:
            codes = _read_codes(vocab, rest)
            if codes is None:
                problem = "the image is not six whole rows and an end"
            else:
                pieces.append(Piece("image", codes=codes))
                rest = rest[IMAGE_TOKENS + 2 :]
        else:
            break
    return tuple(pieces), rest, problem


def _read_codes(vocab: Vocabulary, ids: Sequence[int]) -> tuple[int, ...] | None:
    """Return the codes of the image that begins at `ids[0]`, or None if it is incomplete."""
    body = ids[1 : 1 + IMAGE_TOKENS]
    lines = [body[k : k + GRID + 1] for k in range(0, len(body), GRID + 1)]
    whole = len(lines) == GRID and all(
        len(line) == GRID + 1 and line[0] == vocab.rows[row] and min(line[1:]) >= vocab.first_code
        for row, line in enumerate(lines)
    )
    if not whole or list(ids[1 + IMAGE_TOKENS : 2 + IMAGE_TOKENS]) != [vocab.end_image]:
        return None
    return tuple(token - vocab.first_code for line in lines for token in line[1:])


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns answers of a joint model into samples; images are decoded in batches of exactly `batch`."""

    vocab: Vocabulary
    codec: ImageCodec
    engine: str
    settings: Mapping[str, Any]
    device: str = "cpu"
    batch: int = 64
    tokenizer: str = field(init=False)
    """Fingerprint of the image tokenizer, made once: it reads all weights back from the device."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokenizer", fingerprint(self.codec))

    def read(
        self, requests: Sequence[Request], written: Sequence[Answer], switch: str = "autonomous"
    ) -> Iterator[Sample | Failure]:
        """Yield one sample for each request, in order, or a failure that says what is wrong with its answer."""
        codes = {
            (k, j): piece.codes
            for k, answer in enumerate(written)
            for j, piece in enumerate(answer.pieces)
            if piece.codes and not answer.problem
        }
        images = render_codes(self.codec, self.tokenizer, codes, self.batch, self.device)
        for k, (request, answer) in enumerate(zip(requests, written, strict=True)):
            if answer.problem:
                yield Failure.unanswered(request, answer.problem, answer.text)
                continue
            segments = tuple(
                Segment("image", piece.role, image=images[k, j])
                if piece.codes
                else Segment("text", piece.role, text=piece.text)
                for j, piece in enumerate(answer.pieces)
            )
            yield Sample.make(
                request, segments, engine=self.engine, switch=switch, finish=answer.finish, settings=self.settings
            )


@dataclass(slots=True)
class Fitting:
    """Prompts as token ids, the indices of those that leave room for an answer, and failures for the others."""

    ids: list[list[int]]
    kept: list[int] = field(default_factory=list)
    failures: dict[int, Failure] = field(default_factory=dict)

    @classmethod
    def sort(cls, vocab: Vocabulary, requests: Sequence[Request], limit: int) -> Fitting:
        """Encode prompts; those of more than `limit` tokens become failures."""
        # A reflection starts like mode `think`; its further steps follow in `chat.reflect`.
        modes = ["think" if request.mode == "reflect" else request.mode for request in requests]
        fitting = cls([vocab.drawing_ids(r.prompt.text, mode) for r, mode in zip(requests, modes, strict=True)])
        for k, ids in enumerate(fitting.ids):
            if len(ids) <= limit:
                fitting.kept.append(k)
            else:
                what = f"the prompt is {len(ids)} tokens long; this model reads {limit}"
                fitting.failures[k] = Failure.unanswered(requests[k], what)
        return fitting


def render_codes(
    codec: ImageCodec, tokenizer: str, codes: Mapping[Any, tuple[int, ...]], size: int, device: str
) -> dict[Any, bytes]:
    """Decode images to PNG bytes, in batches of one fixed shape: the last batch repeats its last image.

    Each file also stores the codes it was decoded from, and `tokenizer`, the fingerprint of `codec`.
    """
    drawn: dict[Any, bytes] = {}
    keys = list(codes)
    for start in range(0, len(keys), size):
        rows = [codes[keys[min(start + k, len(keys) - 1)]] for k in range(size)]
        with torch.inference_mode():
            pixels = codec.decode(torch.tensor(rows, device=device)).cpu().numpy()
        drawn.update(
            (key, encode_png(picture, note_codes(tokenizer, codes[key])))
            for key, picture in zip(keys[start:], pixels, strict=False)
        )
    return drawn
