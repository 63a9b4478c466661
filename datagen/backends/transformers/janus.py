"""Janus: one model with a head for text and a head for images, so the toolkit switches from one to the other.

In mode `think` the model first writes a plan as text, then generates the image from the prompt and the plan. In mode
`direct` it generates the image at once. The switch is `forced` in both. A thought that reaches `max_tokens` is kept,
and the sample's finish is `length`.

Images use classifier-free guidance as their authors do (scale 5, arXiv 2501.17811).

Not covered: images in prompts, so the model cannot look at its image and generate a second one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, GenerationMixin, JanusForConditionalGeneration, StaticCache
from transformers import LogitsProcessorList as Processors

from datagen.backends.transformers.loading import ENGINE, fill_template, list_control_tokens, load_model, load_processor
from datagen.backends.transformers.options import TransformersOptions
from datagen.backends.transformers.rows import Grid, Row, RowRunner, cut_after, fit_row
from datagen.errors import BackendError
from datagen.pictures import encode_png
from datagen.records import Failure, Request, Sample, Segment, seed_of

SCALE = 5.0
"""Default guidance scale."""
PLAN_FIRST = (
    "{prompt}\n\nThink about this picture before it is drawn: name every object with its colour, how many there are, "
    "and where each one is. Answer with the plan alone."
)
"""Default template of the request for a thought."""


@dataclass(frozen=True, slots=True)
class Thought:
    """A request with the thought before its image; in mode `direct` there is none."""

    request: Request
    text: str = ""
    finish: str = "stop"


class JanusFamily:
    """Generates text and images with a Janus model; see the module."""

    USES = frozenset({"guidance_scale", "template", "think_template"})
    lexicon = "everyday"

    def __init__(self, folder: Path, options: TransformersOptions, settings: dict[str, Any]) -> None:
        self.options = options
        self.scale = SCALE if options.guidance_scale is None else options.guidance_scale
        self.think_template = options.think_template or PLAN_FIRST
        self.settings = {**settings, "guidance_scale": self.scale, "think_template": self.think_template}
        self.model = load_model(JanusForConditionalGeneration, folder, options)
        self.processor = load_processor(folder, options)
        self.tokenizer = self.processor.tokenizer
        self.controls = list_control_tokens(self.tokenizer)
        self.eos: int = self.tokenizer.eos_token_id
        pad = self.tokenizer.pad_token_id
        self.pad: int = self.eos if pad is None else pad
        self.codes: int = self.model.model.vision_model.config.num_image_tokens
        self.longest: int = self.model.config.text_config.max_position_embeddings
        if min(self.longest - options.max_tokens, self.longest - self.codes) < 1:
            raise BackendError(
                f"{options.max_tokens} tokens of text, or {self.codes} of an image, are more than this model reads",
                where=options.model,
                hint=f"max_tokens must be less than {self.longest}",
            )
        self.model.generation_config = self._make_config()
        self.thinker, self.drawer = RowRunner(options, self.pad), RowRunner(options, self.pad)

    def stream(self, requests: Iterator[Request | None]) -> Iterator[Sample | Failure | None]:
        """Yield one sample or failure for each request, batch by batch: batches of thoughts, and batches of images."""
        asked = (None if request is None else self._ask_thought(request) for request in requests)
        return self.drawer.stream(self._ask_images(self.thinker.stream(asked, self._think)), self._draw)

    def _ask_images(self, thoughts: Iterator[Thought | Failure | None]) -> Iterator[Row | Failure | None]:
        for thought in thoughts:
            yield self._ask_image(thought) if isinstance(thought, Thought) else thought

    def _ask_thought(self, request: Request) -> Row | Thought | Failure:
        if request.mode == "direct":
            return Thought(request)
        ids = self._encode(self.think_template, request.prompt.text, "text")
        return fit_row(Row(request, ids, request.seed), self.longest - self.options.max_tokens)

    def _think(self, grid: Grid) -> list[Thought | Failure]:
        # Janus's own `generate` ignores logits processors in text mode; the inherited one applies them.
        written = GenerationMixin.generate(
            self.model,
            input_ids=grid.tokens,
            attention_mask=grid.mask,
            max_new_tokens=self.options.max_tokens,
            guidance_scale=None,
            logits_processor=Processors(
                [self._make_text_only(), grid.make_picker(self.options.max_tokens, self.options)]
            ),
        )
        texts = [cut_after(row, self.eos) for row in written[: len(grid.rows), grid.length :].tolist()]
        return [self._read_thought(row.request, ids) for row, ids in zip(grid.rows, texts, strict=True)]

    def _read_thought(self, request: Request, ids: Sequence[int]) -> Thought | Failure:
        thought = str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()
        if not thought:
            return Failure.unanswered(request, "the model writes no thought")
        return Thought(request, thought, "stop" if self.eos in ids else "length")

    def _ask_image(self, thought: Thought) -> Row | Failure:
        request = thought.request
        text = f"{request.prompt.text}\n\n{thought.text}" if thought.text else request.prompt.text
        ids = self._encode(self.options.template, text, "image")
        # A seed of its own: with the request's, the image would reuse the random numbers of the thought.
        row = Row(request, ids, seed_of(request.seed, "image"), thought.text, thought.finish)
        return fit_row(row, self.longest - self.codes)

    def _draw(self, grid: Grid) -> list[Sample]:
        codes = self.model.generate(
            inputs=grid.tokens,
            attention_mask=grid.mask,
            generation_mode="image",
            past_key_values=make_cache(self.model.config, grid.length + self.codes, self.options.device),
            logits_processor=Processors([Guidance(self.scale), grid.make_picker(self.codes, self.options)]),
        )
        return [self._make_sample(row, self._decode(codes[k : k + 1])) for k, row in enumerate(grid.rows)]

    def _make_sample(self, row: Row, png: bytes) -> Sample:
        image = Segment("image", "image", image=png)
        return Sample.make(
            row.request,
            (Segment("text", "think", text=row.thought), image) if row.thought else (image,),
            engine=ENGINE,
            switch="forced",
            finish=row.finish,
            settings=self.settings,
        )

    def _decode(self, codes: Tensor) -> bytes:
        """Decode the codes (1, n) of one image by itself: one fixed shape, so its pixels do not depend on other images.

        Rescales the pixels here, not in the processor, which takes the height for the channels without torchvision.
        """
        with torch.inference_mode():
            pixels = self.model.decode_image_tokens(codes)[0].float().cpu().numpy()
        images = self.processor.image_processor
        values = (pixels * np.asarray(images.image_std) + np.asarray(images.image_mean)) / images.rescale_factor
        return encode_png(values.clip(0, 255).astype(np.uint8))

    def _encode(self, template: str, text: str, mode: str) -> tuple[int, ...]:
        asked = fill_template(template, text, self.controls)
        if self.processor.chat_template:
            message = {"role": "user", "content": [{"type": "text", "text": asked}]}
            asked = self.processor.apply_chat_template([message], add_generation_prompt=True)
        # A list of one: some versions read a bare string as a list of letters.
        inputs = self.processor(text=[asked], generation_mode=mode, return_tensors="pt")
        return tuple(inputs["input_ids"][0].tolist())

    def _make_config(self) -> Any:
        """Return a greedy configuration, since the processors choose the tokens and `Guidance` does the guidance.

        A configuration loaded from a folder can lack `generation_kwargs`, which image mode needs.
        """
        begin = self.tokenizer.convert_tokens_to_ids(self.processor.image_start_token)
        return GenerationConfig(
            pad_token_id=self.pad,
            bos_token_id=self.tokenizer.bos_token_id,
            eos_token_id=self.eos,
            do_sample=False,
            guidance_scale=1.0,
            generation_kwargs={"boi_token_id": begin},
        )

    def _make_text_only(self) -> TextOnly:
        return TextOnly([token for token in self.tokenizer.all_special_ids if token != self.eos])


def make_cache(config: Any, length: int, device: str) -> Any:
    """Return an empty cache of keys and values for `length` tokens: of its full size at once on a GPU, else growing.

    A cache that grows is copied at each token: of 7B parameters, for 64 images with guidance, 40 GB in the end. It is
    made here since transformers 5.16 and 5.17 cannot make their own for images.
    """
    if device.startswith("cuda"):
        return StaticCache(config=config.get_text_config(), max_cache_len=length)
    return DynamicCache()


class TextOnly:
    """A logits processor that keeps some tokens out of the text."""

    def __init__(self, unwritten: Sequence[int]) -> None:
        self.unwritten = torch.tensor(list(unwritten), dtype=torch.int64)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Take and return scores (rows, vocabulary)."""
        self.unwritten = self.unwritten.to(scores.device)
        return scores.index_fill(-1, self.unwritten, -torch.inf)


class Guidance:
    """A logits processor for classifier-free guidance: (2 * rows, codes), with and without prompt, to (rows, codes).

    The library's own would run after the processor that chooses the token, which must be last.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return `u + scale * (c - u)`."""
        asked, unasked = scores.float().chunk(2)
        return unasked + self.scale * (asked - unasked)
