"""How an Emu3 model writes an image among its text, and reading it back.

    <|image start|> H*W <|image token|>  H rows of W codes, each ended by <|extra_200|>  <|extra_201|> <|image end|>

The model's own vocabulary holds text and codes, so it can begin an image wherever it likes. What stands between begin
and end is a matter of form, which `Interleave` enforces while the model writes and `read_written` checks when it reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from datagen.backends.transformers.rows import cut_after

END_OF_LINE = "<|extra_200|>"
OUTSIDE = -1
"""The place of a row that writes text."""


@dataclass(frozen=True, slots=True)
class ImageForm:
    """The token ids that images of one size are made of; `header` is what stands between begin and the first code."""

    begin: int
    end: int
    end_of_file: int
    end_of_line: int
    eos: int
    header: tuple[int, ...]
    codes: tuple[int, ...]
    unwritten: tuple[int, ...]
    """Tokens that no text may hold, beside the codes: begin of sequence, padding, placeholders, parts of images."""
    height: int
    width: int

    @property
    def length(self) -> int:
        """Tokens of an image, from begin to end."""
        return 1 + len(self.header) + self.height * (self.width + 1) + 2

    def token_at(self, place: int) -> int | None:
        """Return the only token that may stand `place` tokens after begin (from 0), or None where a code stands."""
        if place < len(self.header):
            return self.header[place]
        row, column = divmod(place - len(self.header), self.width + 1)
        if row < self.height:
            return self.end_of_line if column == self.width else None
        return self.end_of_file if (row, column) == (self.height, 0) else self.end


def make_form(processor: Any, model: Any, image_px: int) -> ImageForm:
    """Read from a processor and a model what square images of `image_px` consist of; raises KeyError on a lack."""
    tokenizer, mapping = processor.tokenizer, model.vocabulary_mapping
    height, width = processor.calculate_generate_size("1:1", image_px**2, processor.downsample_ratio)
    ids = {
        name: tokenizer.convert_tokens_to_ids(token)
        for name, token in (
            ("begin", processor.image_start_token),
            ("end", processor.image_end_token),
            ("end_of_file", processor.eof_token),
            ("wrapper", processor.fake_token_around_image),
        )
    }
    header = (*tokenizer(f"{height}*{width}", add_special_tokens=False)["input_ids"], ids["wrapper"])
    end_of_line = mapping.vocab_map[END_OF_LINE]
    never = {end_of_line, ids["end"], ids["end_of_file"], ids["wrapper"], mapping.image_token_id}
    never |= {tokenizer.pad_token_id, tokenizer.bos_token_id}
    return ImageForm(
        begin=ids["begin"],
        end=ids["end"],
        end_of_file=ids["end_of_file"],
        end_of_line=end_of_line,
        eos=tokenizer.eos_token_id,
        header=header,
        codes=tuple(mapping.image_tokens),
        unwritten=tuple(sorted(never - {tokenizer.eos_token_id, None})),
        height=height,
        width=width,
    )


class Interleave:
    """A logits processor of one `generate` call: text is free, and so is when an image begins; inside, the form rules.

    A row may write `max_text` text tokens and `max_images` images; after the last image it can only end. `forced` turns
    the end of the text, or its limit, into the begin of the first image; before that there is a text of one token or
    more. `inside` says for each row whether its last
    token belongs to an image. With `started` every row stands before the first code of an image.
    """

    def __init__(
        self,
        form: ImageForm,
        vocabulary: int,
        rows: int,
        *,
        max_text: int,
        max_images: int,
        forced: bool,
        started: bool,
    ) -> None:
        self.form, self.max_text, self.max_images, self.forced = form, max_text, max_images, forced
        self.place = [len(form.header) if started else OUTSIDE] * rows
        self.images, self.texts = [int(started)] * rows, [0] * rows
        self._first = True
        self._not_text = torch.zeros(vocabulary, dtype=torch.bool)
        self._not_text[list(form.codes)] = True
        self._not_code = ~self._not_text
        self._not_text[list(form.unwritten)] = True

    @property
    def inside(self) -> list[bool]:
        """For each row, whether the last token it wrote belongs to an image; its end does not."""
        return [place != OUTSIDE for place in self.place]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Take and return scores (rows, vocabulary): minus infinity for every token that may not come next."""
        if self._first:
            self._not_text, self._not_code = self._not_text.to(scores.device), self._not_code.to(scores.device)
        else:
            for row, token in enumerate(input_ids[:, -1].tolist()):
                self._advance(row, token)
        self._first = False
        scores = scores.clone()
        for row in range(scores.shape[0]):
            self._restrict(row, scores[row])
        return scores

    def _advance(self, row: int, token: int) -> None:
        if self.place[row] != OUTSIDE:
            self.place[row] = OUTSIDE if token == self.form.end else self.place[row] + 1
        elif token == self.form.begin:
            self.place[row] = 0
            self.images[row] += 1
        else:
            self.texts[row] += 1

    def _restrict(self, row: int, scores: Tensor) -> None:
        """Change the scores (vocabulary,) of one row in place."""
        form = self.form
        if self.place[row] != OUTSIDE:
            only = form.token_at(self.place[row])
            if only is None:
                scores.masked_fill_(self._not_code, -torch.inf)  # no indexing by mask: that waits for the GPU
            else:
                _leave_only(scores, only)
            return
        starts = self.forced and self.images[row] == 0
        if self.images[row] == self.max_images:
            _leave_only(scores, form.eos)
        elif self.texts[row] >= self.max_text:
            _leave_only(scores, form.begin if starts else form.eos)
        else:
            if starts:
                ends = torch.logaddexp(scores[form.begin], scores[form.eos])
                scores[form.begin] = ends if self.texts[row] else -torch.inf
                scores[form.eos] = -torch.inf
            scores.masked_fill_(self._not_text, -torch.inf)


def _leave_only(scores: Tensor, token: int) -> None:
    scores.fill_(-torch.inf)
    scores[token] = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of what the model wrote: text as token ids, or an image as its codes, height * width of them."""

    kind: Literal["text", "image"]
    ids: tuple[int, ...]


class FormError(Exception):
    """What was written is not text and whole images; the message says why."""


def read_written(form: ImageForm, ids: Sequence[int], started: bool) -> list[Part]:
    """Cut token ids into text and images, in order; the end of all, and what comes after it, is left away.

    With `started` the ids begin inside an image, after its header. Raises FormError when an image is not whole, or text
    holds what only images may.
    """
    rest = cut_after(ids, form.eos)
    rest = rest[:-1] if rest and rest[-1] == form.eos else rest
    parts: list[Part] = []
    text: list[int] = []
    strange = {*form.codes, *form.unwritten}
    if started:
        rest = [form.begin, *form.header, *rest]
    while rest:
        if rest[0] == form.begin:
            parts += [Part("text", tuple(text))] if text else []
            parts.append(Part("image", _read_image(form, rest[: form.length])))
            text, rest = [], rest[form.length :]
        elif rest[0] in strange:
            raise FormError(f"token {rest[0]} stands in the text, and belongs into an image")
        else:
            text.append(rest.pop(0))
    return parts + ([Part("text", tuple(text))] if text else [])


def _read_image(form: ImageForm, ids: Sequence[int]) -> tuple[int, ...]:
    codes, known = [], set(form.codes)
    for place, token in enumerate(ids[1:]):
        only = form.token_at(place)
        if only is None and token in known:
            codes.append(token)
        elif token != only:
            raise FormError(f"the image breaks its form at token {place + 2} of {form.length}")
    if len(ids) < form.length:
        raise FormError(f"the image ends after {len(ids)} of {form.length} tokens")
    return tuple(codes)
