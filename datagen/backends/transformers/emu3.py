"""Emu3: text and images from one head, in one sequence and one `generate` call.

In mode `think` the model writes text and begins an image when it chooses to (`switch: autonomous`). Published
checkpoints write either text or images and cannot switch: with `switch: forced` the end of their text becomes the begin
of the image. In mode `direct` the processor puts the begin of the image into the prompt, so the switch is `forced` too.

An image has this form:

    <|image start|> H*W <|image token|>  H rows of W codes, each ended by <|extra_200|>  <|extra_201|> <|image end|>

One vocabulary holds text and codes, so an image can begin anywhere. `Interleave` enforces the form while the model
writes, and `read_written` checks it afterwards.

Images use classifier-free guidance as their authors do (scale 3, arXiv 2409.18869); text does not.

Not covered: images in prompts, images that are not square.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, Emu3ForConditionalGeneration, GenerationConfig, LogitsProcessorList

from datagen.backends.transformers.loading import ENGINE, fill_template, list_control_tokens, load_model, load_processor
from datagen.backends.transformers.options import TransformersOptions
from datagen.backends.transformers.rows import Grid, Row, RowRunner, cut_after, fit_row
from datagen.errors import BackendError
from datagen.pictures import encode_png
from datagen.records import Failure, Mode, Request, Sample, Segment

SCALE = 3.0
"""Default guidance scale."""
MODES: tuple[Mode, ...] = ("direct", "think")


class Emu3Family:
    """Generates text and images with an Emu3 model; see the module."""

    USES = frozenset(
        {"guidance_scale", "negative_prompt", "image_px", "max_images", "switch", "template", "think_template"}
    )
    lexicon = "everyday"

    def __init__(self, folder: Path, options: TransformersOptions, settings: dict[str, Any]) -> None:
        self.options = options
        self.scale = SCALE if options.guidance_scale is None else options.guidance_scale
        self.settings = {**settings, "guidance_scale": self.scale}
        self.model = load_model(Emu3ForConditionalGeneration, folder, options)
        self.processor = load_processor(folder, options)
        self.tokenizer = self.processor.tokenizer
        self.controls = list_control_tokens(self.tokenizer)
        try:
            self.form = make_form(self.processor, self.model, options.image_px)
        except (KeyError, AttributeError) as error:
            raise BackendError(f"the tokenizer lacks what images are made of: {error}", where=options.model) from error
        self.vocabulary = self.model.config.text_config.vocab_size
        longest = self.model.config.text_config.max_position_embeddings
        self.limits: dict[Mode, int] = {mode: longest - self._count_steps(mode) for mode in MODES}
        self._check_limits(longest)
        self.model.generation_config = GenerationConfig(
            pad_token_id=self.pad, bos_token_id=self.tokenizer.bos_token_id, eos_token_id=self.form.eos
        )
        self.runner = RowRunner(options, self.pad)

    @property
    def pad(self) -> int:
        """The token id that pads prompts on the left."""
        pad = self.tokenizer.pad_token_id
        return int(self.form.eos if pad is None else pad)

    def stream(self, requests: Iterator[Request | None]) -> Iterator[Sample | Failure | None]:
        """Yield one sample or failure for each request, batch by batch."""
        rows = (None if request is None else self._ask(request) for request in requests)
        return self.runner.stream(rows, self._make)

    def _ask(self, request: Request) -> Row | Failure:
        ids = tuple(self._encode(request.prompt.text, request.mode))
        return fit_row(Row(request, ids, request.seed), self.limits[request.mode])

    def write(self, grid: Grid) -> list[list[int]]:
        """Return the token ids generated after each prompt of a batch, end of sequence included."""
        mode, options = grid.rows[0].request.mode, self.options
        interleave = Interleave(
            self.form,
            self.vocabulary,
            grid.size,
            max_text=options.max_tokens,
            max_images=options.max_images if mode == "think" else 1,
            forced=options.switch == "forced",
            started=mode == "direct",
        )
        steps = self._count_steps(mode)
        # Order matters: the form first, then guidance over the tokens it leaves, then the choice of one token.
        processors: list[Any] = [interleave, grid.make_picker(steps, options)]
        if self.scale > 1:
            unprompted = self._encode(options.negative_prompt, mode)
            processors.insert(1, Guidance(self.model, unprompted, self.scale, interleave))
        written = self.model.generate(
            input_ids=grid.tokens,
            attention_mask=grid.mask,
            do_sample=False,
            max_new_tokens=steps,
            logits_processor=LogitsProcessorList(processors),
        )
        return [cut_after(row, self.form.eos) for row in written[: len(grid.rows), grid.length :].tolist()]

    def _make(self, grid: Grid) -> list[Sample | Failure]:
        return [self.read(row.request, ids) for row, ids in zip(grid.rows, self.write(grid), strict=True)]

    def read(self, request: Request, ids: Sequence[int]) -> Sample | Failure:
        """Return the token ids after a prompt as a sample, or a failure that says what is wrong with them."""
        direct = request.mode == "direct"
        try:
            parts = read_written(self.form, ids, started=direct)
        except FormError as error:
            return Failure.unanswered(request, str(error), self._decode(ids)[:500])
        segments = tuple(segment for part in parts for segment in self._to_segments(part))
        kinds = [segment.kind for segment in segments]
        if "image" not in kinds:
            return Failure.unanswered(request, "the model does not switch to an image", self._decode(ids)[:500])
        if not direct and kinds[0] != "text":
            return Failure.unanswered(request, "the model begins its image without a thought")
        cut = sum(len(part.ids) for part in parts if part.kind == "text") >= self.options.max_tokens
        return Sample.make(
            request,
            segments,
            engine=ENGINE,
            switch="forced" if direct else self.options.switch,
            finish="length" if cut or self.form.eos not in ids else "stop",
            settings=self.settings,
        )

    def _to_segments(self, part: Part) -> list[Segment]:
        if part.kind == "image":
            return [Segment("image", "image", image=self._draw(part.ids))]
        text = self._decode(part.ids).strip()
        return [Segment("text", "think", text=text)] if text else []

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _draw(self, codes: Sequence[int]) -> bytes:
        """Decode one image by itself: one fixed shape, so its pixels do not depend on other images."""
        form = self.form
        lines = torch.tensor(codes).view(form.height, form.width)
        ends = torch.full((form.height, 1), form.end_of_line)
        tail = torch.tensor([form.end_of_file, form.end, form.eos])
        tokens = torch.cat((torch.cat((lines, ends), dim=1).flatten(), tail))[None]
        drawn = self.model.decode_image_tokens(
            image_tokens=tokens.to(self.options.device), height=form.height, width=form.width
        )
        pictures = self.processor.postprocess(list(drawn.float().cpu()), return_tensors="PIL.Image.Image")
        return encode_png(np.asarray(pictures["pixel_values"][0]))

    def _encode(self, text: str, mode: Mode) -> list[int]:
        options = self.options
        template = options.template if mode == "direct" else options.think_template or options.template
        asked = fill_template(template, text, self.controls)
        image = {"ratio": "1:1", "image_area": options.image_px**2} if mode == "direct" else {}
        inputs = self.processor(
            text=[asked], return_for_image_generation=mode == "direct", return_tensors="pt", **image
        )
        ids: list[int] = inputs["input_ids"][0].tolist()
        return ids

    def _count_steps(self, mode: Mode) -> int:
        form, options = self.form, self.options
        if mode == "direct":
            return form.length - 1 - len(form.header) + 1  # begin and header are in the prompt; one more for the eos
        return options.max_tokens + options.max_images * form.length + 1

    def _check_limits(self, longest: int) -> None:
        mode = min(self.limits, key=lambda mode: self.limits[mode])
        if self.limits[mode] < 1:
            raise BackendError(
                f"an answer can take {self._count_steps(mode)} tokens, and this model reads {longest} in all",
                where=self.options.model,
                hint=f"an image of {self.options.image_px} px takes {self.form.length}: a smaller image_px, "
                "fewer max_images or fewer max_tokens",
            )


class Guidance:
    """A logits processor for classifier-free guidance of images, not of text.

    A second pass of the model reads the empty (or negative) prompt and then the same tokens, but attends to those of
    images only. So it keeps step with rows that begin their images at different times. Inside images the score is
    `u + scale * (c - u)`; outside it is unchanged.
    """

    def __init__(self, model: Any, unprompted: Sequence[int], scale: float, interleave: Interleave) -> None:
        self.model, self.scale, self.interleave = model, scale, interleave
        self._prompt = torch.tensor([list(unprompted)])
        self._mask: Tensor | None = None
        self._cache = DynamicCache()

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Take and return scores (rows, vocabulary). Runs after `Interleave` and keeps its minus infinities."""
        inside = torch.tensor(self.interleave.inside, device=scores.device)[:, None]
        if self._mask is None:
            tokens = self._prompt.to(scores.device).expand(scores.shape[0], -1)
            self._mask = torch.ones_like(tokens)
        else:
            tokens = input_ids[:, -1:]
            # A text token is written into the cache but masked, so the unprompted pass never sees the thought.
            self._mask = torch.cat((self._mask, inside.to(self._mask.dtype)), dim=1)
        # Positions count visible tokens alone, or the hidden text would shift the image.
        positions = (self._mask.cumsum(-1) - 1)[:, -tokens.shape[1] :]
        output = self.model(
            input_ids=tokens,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        free = output.logits[:, -1].float()
        return torch.where(inside & (scores > -torch.inf), free + self.scale * (scores - free), scores)


END_OF_LINE = "<|extra_200|>"
OUTSIDE = -1
"""Value of `place` for a row that writes text."""


@dataclass(frozen=True, slots=True)
class ImageForm:
    """The token ids that make up images of one size; `header` lies between begin and the first code."""

    begin: int
    end: int
    end_of_file: int
    end_of_line: int
    eos: int
    header: tuple[int, ...]
    codes: tuple[int, ...]
    unwritten: tuple[int, ...]
    """Tokens other than codes that text must not contain: begin of sequence, padding, placeholders, image markers."""
    height: int
    width: int

    @property
    def length(self) -> int:
        """Number of tokens of an image, from begin to end."""
        return 1 + len(self.header) + self.height * (self.width + 1) + 2

    def token_at(self, place: int) -> int | None:
        """Return the only token allowed `place` tokens after begin (from 0), or None where a code belongs."""
        if place < len(self.header):
            return self.header[place]
        row, column = divmod(place - len(self.header), self.width + 1)
        if row < self.height:
            return self.end_of_line if column == self.width else None
        return self.end_of_file if (row, column) == (self.height, 0) else self.end


def make_form(processor: Any, model: Any, image_px: int) -> ImageForm:
    """Return the form of square images of `image_px` pixels. Raises KeyError if the tokenizer lacks a token."""
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
    """A logits processor of one `generate` call that holds images to their form and leaves text free.

    A row may write `max_text` text tokens and `max_images` images; after the last image it can only end. `forced` turns
    the end of the text, or its limit, into the begin of the first image, after at least one token of text. `inside`
    tells for each row whether its last token belongs to an image. With `started` every row begins right before the
    first code of an image.
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
        """For each row, whether its last token belongs to an image. The end token does not."""
        return [place != OUTSIDE for place in self.place]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Take and return scores (rows, vocabulary): minus infinity for every token that may not come next."""
        if self._first:  # the last token is the prompt's, not one that this call generated
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
                # The probability of ending the text moves to beginning the image; an empty text may do neither.
                ends = torch.logaddexp(scores[form.begin], scores[form.eos])
                scores[form.begin] = ends if self.texts[row] else -torch.inf
                scores[form.eos] = -torch.inf
            scores.masked_fill_(self._not_text, -torch.inf)


def _leave_only(scores: Tensor, token: int) -> None:
    scores.fill_(-torch.inf)
    scores[token] = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A run of generated tokens: text as token ids, or an image as its height * width codes."""

    kind: Literal["text", "image"]
    ids: tuple[int, ...]


class FormError(Exception):
    """Generated tokens that are not text and whole images; the message says why."""


def read_written(form: ImageForm, ids: Sequence[int], started: bool) -> list[Part]:
    """Split token ids into text and images, in order, up to the end of sequence.

    With `started` the ids begin inside an image, after its header. Raises FormError when an image is incomplete, or
    text contains a token of images.
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
            raise FormError(f"token {rest[0]} is in the text and belongs in an image")
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
