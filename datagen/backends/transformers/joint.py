"""Joint models: a causal LM that writes text and image tokens in one sequence, with an image tokenizer.

The checkpoint of the embedded model is one, and so is any folder with the same files (`embedded/loading`) and
vocabulary, of any architecture that AutoModelForCausalLM loads. Nothing steers the model: it opens and closes its
thought, and begins its image, by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, GenerationConfig, LogitsProcessorList

from datagen.backends.transformers.loading import ENGINE, load_model
from datagen.backends.transformers.options import TransformersOptions
from datagen.backends.transformers.rows import Grid, Row, RowRunner, cut_after, fit_row
from datagen.embedded.answers import IMAGE_TOKENS, Reader, read_answer
from datagen.embedded.loading import FILES, load_codec
from datagen.embedded.vocab import Vocabulary
from datagen.errors import BackendError
from datagen.records import Failure, Request, Sample

BESIDE_TEXT = IMAGE_TOKENS + 5
"""Tokens of an answer that are not text: the image, begin and end of thought and image, and end of sequence."""


class JointFamily:
    """Runs a joint model through `generate`; its output is read as it is, never repaired."""

    USES: frozenset[str] = frozenset()
    lexicon = "pictograms"

    def __init__(self, folder: Path, options: TransformersOptions, settings: dict[str, Any]) -> None:
        _require_files(folder, options.model)
        self.options, self.settings = options, settings
        try:
            # Parsed once more, because `Tokenizer.from_file` raises a bare Exception for a damaged file.
            json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
            self.vocab = Vocabulary(Tokenizer.from_file(str(folder / "tokenizer.json")))
            self.codec = load_codec(folder).to(options.device)
        except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise BackendError(f"the image tokenizer cannot be loaded: {error}", where=options.model) from error
        self.model = load_model(AutoModelForCausalLM, folder, options)
        self._check_sizes()
        self.steps = options.max_tokens + BESIDE_TEXT
        self.limit = getattr(self.model.config, "max_position_embeddings", 1 << 20) - self.steps
        if self.limit < 1:
            raise BackendError(
                f"backend option 'max_tokens': {options.max_tokens} and an image are more than this model reads",
                where=options.model,
                hint=f"at most {self.limit + options.max_tokens - 1}, less what prompts take",
            )
        self.model.generation_config = self._make_config()
        self.runner = RowRunner(options, self.vocab.pad)
        self.reader = Reader(self.vocab, self.codec, ENGINE, settings, device=options.device, batch=options.batch_size)

    def stream(self, requests: Iterator[Request | None]) -> Iterator[Sample | Failure | None]:
        """Yield one sample or failure for each request, batch by batch."""
        rows = (None if request is None else self._encode(request) for request in requests)
        return self.runner.stream(rows, self._make)

    def _encode(self, request: Request) -> Row | Failure:
        ids = tuple(self.vocab.prompt_ids(request.prompt.text, request.mode))
        return fit_row(Row(request, ids, request.seed), self.limit)

    def write(self, grid: Grid) -> list[list[int]]:
        """Return the token ids generated after each prompt of a batch, end of sequence included."""
        written = self.model.generate(
            input_ids=grid.tokens,
            attention_mask=grid.mask,
            logits_processor=LogitsProcessorList([grid.make_picker(self.steps, self.options)]),
        )
        rows = written[: len(grid.rows), grid.length :].tolist()
        return [cut_after(row, self.vocab.eos) for row in rows]

    def _make(self, grid: Grid) -> list[Sample | Failure]:
        answers = [read_answer(self.vocab, ids) for ids in self.write(grid)]
        return list(self.reader.read([row.request for row in grid.rows], answers))

    def _make_config(self) -> Any:
        """Return a configuration with the recipe's sampling alone, ignoring any in the folder.

        On a GPU the cache is static: memory is taken at once, and attention always has one shape. Compiling is off,
        since it needs a C compiler on the machine.
        """
        ids = {"pad_token_id": self.vocab.pad, "bos_token_id": self.vocab.bos, "eos_token_id": self.vocab.eos}
        static = {"cache_implementation": "static", "disable_compile": True}
        cache = static if self.options.device.startswith("cuda") else {}
        return GenerationConfig(do_sample=False, max_new_tokens=self.steps, **ids, **cache)

    def _check_sizes(self) -> None:
        codes = self.vocab.size - self.vocab.first_code
        embedded = self.model.get_input_embeddings().num_embeddings
        if codes > self.codec.codes or self.vocab.size > embedded:
            raise BackendError(
                f"the tokenizer has {codes} image tokens of {self.vocab.size} in all; "
                f"the image tokenizer decodes {self.codec.codes}, the model knows {embedded}",
                where=self.options.model,
                hint="the files of this folder are not of one model",
            )


def _require_files(folder: Path, model: str) -> None:
    """Raise BackendError naming missing files. Weights are not checked here: they may be split over several files."""
    needed = (name for name in FILES if name != "model.safetensors")
    if missing := [name for name in needed if not (folder / name).is_file()]:
        raise BackendError(f"the checkpoint lacks {', '.join(missing)}", where=model)
