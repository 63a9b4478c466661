"""Rows of a dataset as sequences of the embedded model: what `weighted.WeightedDataset` needs to know of it.

    <|bos|> <|think|> prompt <|assistant|>   <think> plan </think>   <image>   rows </image> <|eos|>
    context                                  text                    switch    image

Without a thought `<image>` is part of the image: no text decides to go over to it. The image tokens are those that the
model wrote, as its pictures remember them; the plan is encoded again, which gives back the ids that were written.

Not covered: mode `reflect`, in which two models write one sequence in turns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datagen.backends.embedded.image_tokens import read_codes
from datagen.backends.embedded.vocab import Vocabulary
from datagen.errors import RunError
from datagen.training.weighted import CONTEXT, IMAGE, SWITCH, TEXT


class RowEncoder:
    """Turns rows into (ids, kinds). `tokenizer` is the fingerprint of the image tokenizer, `longest` the most ids."""

    def __init__(self, vocab: Vocabulary, tokenizer: str, longest: int) -> None:
        self._vocab, self._tokenizer, self._longest = vocab, tokenizer, longest

    def __call__(self, row: Mapping[str, Any]) -> tuple[Sequence[int], Sequence[int]]:
        """Return the token ids of a row and the kind of each.

        Raises RunError naming the row where its mode is another, its picture is not of this image tokenizer, or it is
        too long.
        """
        where, vocab = f"sample {row['id']}", self._vocab
        roles = [segment["role"] for segment in row["segments"]]
        if roles not in (["think", "image"], ["image"]):
            hint = "build the run with mode: think, or direct"
            raise RunError(f"is {', '.join(roles)}; the model that draws learns think, image", where=where, hint=hint)
        try:
            codes = read_codes(row["images"][0], self._tokenizer)
        except RunError as error:
            raise RunError(error.what, where=where, hint=error.hint) from error
        prompt = vocab.prompt_ids(row["prompt"], row["mode"])
        plan = row["segments"][0]["text"] if len(roles) > 1 else None
        answer = vocab.answer_ids(plan, codes)
        text = answer.index(vocab.image)
        kinds = [CONTEXT] * len(prompt) + [TEXT] * text + [SWITCH if text else IMAGE]
        ids = [*prompt, *answer]
        if len(ids) > self._longest:
            raise RunError(f"is {len(ids)} tokens long; this model reads {self._longest}", where=where)
        return ids, kinds + [IMAGE] * (len(ids) - len(kinds))
