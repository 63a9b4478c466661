"""Chats and reflections of the embedded model, whose reader takes words and images and answers in words.

Asked about an image, the reader first writes what it sees between `<look>` and `</look>`, and then answers. The look
stays out of the reply; log-probabilities are those of the first token after it.

The reader was trained on three tasks: questions about an image (`scoring/questions.py`), descriptions of one, and the
short instruction to rewrite a prompt. Other requests get meaningless answers. A request that begins with "Describe" and
shows an image is replaced by the one wording it learned; the caption is a plan, which the generator accepts as input.

Decoding is not constrained: an answer that breaks a schema becomes an error (`datagen.chat.check_reply`).

In a reflection the generator and the reader take turns. The reader sees prompt, plan and image tokens and writes
`<look>` what is there `</look>` and `<reflect>` the headed parts of IRG (arXiv 2509.06945): required improvements, a
final prompt, step-by-step guidance. The guidance is a plan, from which the generator makes the refined image. If
nothing must change, the image stays. The toolkit drives these steps: `switch: forced`.

Not covered: reading at a temperature; the reader is greedy, so a round depends on its image alone.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from datagen.chat import ChatRequest, Reply, Sampling, check_reply
from datagen.embedded.answers import Answer, Piece, read_answer, read_sections
from datagen.embedded.codec import ImageCodec, fingerprint, read_codes
from datagen.embedded.decoder import LlamaDecoder
from datagen.embedded.pictograms import GRID, IMAGE_PX, read_canvas
from datagen.embedded.vocab import Vocabulary
from datagen.errors import RunError
from datagen.records import Request, seed_of

DESCRIBE = "Describe the image."
"""Request for a caption; the answer is a plan of the objects seen, in reading order."""
MOST_PROMPT = 224
"""Most tokens of a chat."""
MOST_LOOK = 192
"""Most tokens of a look."""
MOST_TOKENS = 512
"""Most tokens of chat, look and answer together; the model was trained on fewer."""
ROUNDING = 4
"""Largest difference in a channel (of 255) when another machine decodes the same codes."""


class ChatModel:
    """Answers chats with the reader of the embedded checkpoint; `batch` and `threads` are those of the backend."""

    def __init__(
        self, vocab: Vocabulary, codec: ImageCodec, decoder: LlamaDecoder, *, batch: int, threads: int
    ) -> None:
        self._vocab, self._codec, self._decoder = vocab, codec, decoder
        self._codec_name = fingerprint(codec)
        self._batch, self._threads = batch, threads

    def chat(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        """Yield one reply for each request, in order; an unreadable request fails alone."""
        replies: dict[int, Reply] = {}
        prompts: dict[int, list[int]] = {}
        for k, request in enumerate(requests):
            try:
                prompts[k] = self._encode(request)
            except (OSError, ValueError) as error:
                replies[k] = Reply("", "error", error=f"the chat cannot be read: {error}")
        prompts |= self._look({k: ids for k, ids in prompts.items() if _has_image(requests[k])})
        for k in [k for k, ids in prompts.items() if not ids]:
            replies[k] = Reply("", "length", error="the model looks at the image and never answers")
            del prompts[k]
        # Log-probabilities come from a pass of each prompt alone, see `_look_ahead`; the text is decoded in batches.
        looked = self._look_ahead({k: ids for k, ids in prompts.items() if requests[k].sampling.top_logprobs})
        groups: dict[tuple[float, int], list[int]] = defaultdict(list)
        for k in prompts:
            sampling = requests[k].sampling
            if k in looked and sampling.max_tokens == 1 and sampling.temperature == 0:
                replies[k] = self._name_first(looked[k], sampling)
            else:
                groups[sampling.temperature, sampling.max_tokens].append(k)
        for (temperature, most), members in groups.items():
            seeds = [requests[k].sampling.seed for k in members]
            for k, ids in zip(
                members, self._write([prompts[k] for k in members], seeds, temperature, most), strict=True
            ):
                first = self._name_first(looked[k], requests[k].sampling).first_logprobs if k in looked else None
                replies[k] = Reply(self._spell(ids), "stop" if self._vocab.eos in ids else "length", first)
        for k, request in enumerate(requests):
            yield check_reply(replies[k], request.sampling)

    def read(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[list[int]]:
        """Return the token ids generated greedily after each prompt, up to the end of sequence."""
        return self._write([list(ids) for ids in prompts], list(seeds), 0.0, MOST_TOKENS, batch=self._batch)

    def _encode(self, request: ChatRequest) -> list[int]:
        """Return a chat as token ids: all words, then all images. Raises ValueError, or OSError for a damaged image."""
        parts = [part for message in request.messages for part in message.parts]
        words = "\n".join(part.text for part in parts if part.text)
        if words.startswith("Describe ") and _has_image(request):
            words = DESCRIBE
        images = [part.image for part in parts if part.image]
        seen = [see_image(self._codec, self._codec_name, image, self._decoder.device) for image in images]
        ids = self._vocab.chat_ids(words, seen)
        if len(ids) > MOST_PROMPT:
            raise ValueError(f"it is {len(ids)} tokens long, and this model reads {MOST_PROMPT}")
        return ids

    def _look(self, prompts: dict[int, list[int]]) -> dict[int, list[int]]:
        """Return the prompts for which the model begins with a look, each with its look; empty if that never ends."""
        first = self._look_ahead(prompts)
        begun = {k: [*prompts[k], self._vocab.look] for k in prompts if int(first[k].argmax()) == self._vocab.look}
        if not begun:
            return {}
        end = self._vocab.end_look
        seen = self._write(list(begun.values()), [0] * len(begun), 0.0, MOST_LOOK, end=end)
        return {k: [*ids, *look] if end in look else [] for (k, ids), look in zip(begun.items(), seen, strict=True)}

    def _look_ahead(self, prompts: dict[int, list[int]]) -> dict[int, torch.Tensor]:
        """Return the log-probabilities (vocabulary,) of the first token after each prompt, one prompt at a time.

        In a batch, other prompts would change the last bits, and with them a stored score.
        """
        return {
            k: self._decoder.logits(torch.tensor([ids], device=self._decoder.device))[0, -1].log_softmax(-1)
            for k, ids in prompts.items()
        }

    def _name_first(self, logprobs: torch.Tensor, sampling: Sampling) -> Reply:
        values, ids = logprobs.topk(sampling.top_logprobs)
        named = {self._spell([token]): value for value, token in zip(values.tolist(), ids.tolist(), strict=True)}
        return Reply(self._spell([int(ids[0])]), "length", named)

    def _write(
        self,
        prompts: list[list[int]],
        seeds: list[int],
        temperature: float,
        most: int,
        *,
        end: int | None = None,
        batch: int | None = None,
    ) -> list[list[int]]:
        longest = max(len(ids) for ids in prompts)
        written = self._decoder.sample(
            prompts,
            seeds,
            batch=batch or min(self._batch, len(prompts)),
            length=min(longest + most, MOST_TOKENS),
            eos=self._vocab.eos if end is None else end,
            temperature=temperature,
            threads=self._threads,
        )
        return [ids[:most] for ids in written]

    def _spell(self, ids: Sequence[int]) -> str:
        kept = [token for token in ids if token != self._vocab.eos]
        text: Any = self._vocab.tokenizer.decode(kept, skip_special_tokens=False)
        return str(text)


def see_image(codec: ImageCodec, tokenizer: str, png: bytes, device: str) -> list[int]:
    """Return the codes from which the model generated an image; any other image is encoded.

    `tokenizer` is the fingerprint of `codec`. Codes stored in a PNG file count only if they decode to these pixels, for
    the picture may have been edited. Raises OSError or ValueError for a damaged image.
    """
    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        try:
            noted = read_codes(picture, tokenizer)
        except (RunError, ValueError):
            return encode_image(codec, png, device)
        pixels = np.asarray(picture.convert("RGB"), np.int16)
    if (
        pixels.shape == (IMAGE_PX, IMAGE_PX, 3)
        and len(noted) == GRID * GRID
        and 0 <= min(noted) <= max(noted) < codec.codes
    ):
        with torch.inference_mode():
            drawn = codec.decode(torch.tensor([noted], device=device))[0].cpu().numpy()
        if abs(drawn - pixels).max() <= ROUNDING:
            return noted
    return encode_image(codec, png, device)


def encode_image(codec: ImageCodec, png: bytes, device: str) -> list[int]:
    """Return the codes of an image, resized to the canvas first. Raises OSError or ValueError."""
    pixels = torch.from_numpy(read_canvas(png)).to(device)
    with torch.inference_mode():
        codes: list[int] = codec.encode(pixels[None].float() / 127.5 - 1)[0].tolist()
    return codes


def _has_image(request: ChatRequest) -> bool:
    return any(part.image for message in request.messages for part in message.parts)


Write = Callable[[Sequence[Sequence[int]], Sequence[int]], list[list[int]]]
"""Continues prompts (token ids) from seeds up to the end of sequence."""
GUIDANCE = "Step-by-step guidance:"
NOTHING = "Required improvements: none\n"


def reflect(
    vocab: Vocabulary,
    requests: Sequence[Request],
    answers: Sequence[Answer],
    read: Write,
    draw: Write,
    *,
    turn: int,
    limit: int,
) -> list[Answer]:
    """Add a round of look, reflection and refined image to each answer; answers with a problem stay as they are.

    `turn` counts rounds from 1 and keys the seeds; `limit` bounds the tokens of prompt and guidance together. An
    incomplete round sets the problem of its answer.
    """
    # Reads all, then generates all: two batches a round, whatever the number of answers.
    whole = [k for k, answer in enumerate(answers) if not answer.problem]
    answers = _criticise(vocab, requests, answers, read)
    prompts = {
        k: [*vocab.prompt_ids(requests[k].prompt.text, "think"), *_begin(vocab, answers[k])]
        for k in whole
        if not answers[k].problem and not answers[k].pieces[-1].text.startswith(NOTHING)
    }
    for k in [k for k, ids in prompts.items() if len(ids) > limit]:
        answers[k] = replace(answers[k], problem=f"round {turn}: the guidance leaves no room for an image")
        del prompts[k]
    seeds = [seed_of(requests[k].seed, "redraw", turn) for k in prompts]
    for k, ids in zip(prompts, draw(list(prompts.values()), seeds) if prompts else [], strict=True):
        answers[k] = _add_image(answers[k], read_answer(vocab, ids), turn)
    for k in set(whole) - set(prompts):
        if not answers[k].problem:  # nothing to improve: the refined image is the last one
            answers[k] = _add(answers[k], Piece("refined image", codes=_last_image(answers[k]).codes))
    return answers


def close(vocab: Vocabulary, requests: Sequence[Request], answers: Sequence[Answer], read: Write) -> list[Answer]:
    """Add a look at the last image and a reflection about it to each answer without a problem; no image follows."""
    closed = _criticise(vocab, requests, answers, read)
    for k, answer in enumerate(closed):
        if not answer.problem:
            *before, look, reflection = answer.pieces
            closing = replace(look, role="closing look"), replace(reflection, role="close")
            closed[k] = replace(answer, pieces=(*before, *closing))
    return closed


def _criticise(vocab: Vocabulary, requests: Sequence[Request], answers: Sequence[Answer], read: Write) -> list[Answer]:
    """Add a look at the last image and a reflection to each answer without a problem, all in one batch."""
    made = list(answers)
    whole = [k for k, answer in enumerate(answers) if not answer.problem]
    given = [_show(vocab, requests[k].prompt.text, answers[k]) for k in whole]
    for k, ids in zip(whole, read(given, [0] * len(given)) if given else [], strict=True):
        made[k] = _add_reflection(vocab, answers[k], ids)
    return made


def _show(vocab: Vocabulary, text: str, answer: Answer) -> list[int]:
    """Return the reader's input: the prompt, the plan of the last image, and that image."""
    return vocab.reflection_ids(text, _begin(vocab, answer), _last_image(answer).codes)


def _begin(vocab: Vocabulary, answer: Answer) -> list[int]:
    """Return the last plan (the thought, or the guidance of the last reflection) as the thought before an image."""
    plans = [piece.text for piece in answer.pieces if piece.role in ("think", "reflect")] or [""]
    plan = plans[-1].rpartition(GUIDANCE)[2].strip()
    return [vocab.think, *vocab.plan_ids(plan), vocab.end_think]


def _last_image(answer: Answer) -> Piece:
    return [piece for piece in answer.pieces if piece.codes][-1]


def _add(answer: Answer, *pieces: Piece) -> Answer:
    return replace(answer, pieces=(*answer.pieces, *pieces))


def _add_reflection(vocab: Vocabulary, answer: Answer, ids: Sequence[int]) -> Answer:
    pieces, rest, problem = read_sections(vocab, ids)
    if not problem and [piece.role for piece in pieces] != ["look", "reflect"]:
        problem = "the model does not look and reflect"
    if not problem and GUIDANCE not in pieces[-1].text:
        problem = "the reflection gives no guidance"
    if not problem and rest != [vocab.eos]:
        problem = "the reflection never ends"
    return replace(_add(answer, *pieces), problem=problem)


def _add_image(answer: Answer, again: Answer, turn: int) -> Answer:
    if again.problem:
        return replace(answer, problem=f"round {turn}: {again.problem}")
    return _add(answer, Piece("refined image", codes=_last_image(again).codes))
