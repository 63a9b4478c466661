"""Read and write a checkpoint folder: an ordinary Hugging Face causal LM and an image tokenizer.

config.json  generation_config.json  model.safetensors  tokenizer.json  tokenizer_config.json   the LM, bf16
codec/codec.json  codec/codec.safetensors                                                         the image tokenizer
reader/config.json  reader/model.safetensors                  optional: the LM that reads, with the same tokenizers

The image tokenizer has its own folder because vLLM loads every safetensors file beside config.json into the LM.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from datagen.embedded.codec import CodecConfig, ImageCodec
from datagen.errors import BackendError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM


READER = "reader"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "codec/codec.json", "codec/codec.safetensors")


def require_files(folder: Path) -> None:
    """Raise BackendError naming the files that a checkpoint folder lacks."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise BackendError(
            f"the checkpoint lacks {', '.join(missing)}",
            where=str(folder),
            hint="reinstall datagen, or train one: python -m datagen.workshop --help",
        )


def has_codec(folder: Path) -> bool:
    """Tell whether a checkpoint folder has an image tokenizer of this form."""
    return (folder / "codec" / "codec.json").is_file()


def has_reader(folder: Path) -> bool:
    """Tell whether a checkpoint folder has a reader."""
    return (folder / READER / "model.safetensors").is_file()


def save_codec(codec: ImageCodec, folder: Path) -> None:
    """Write the image tokenizer (float32) as codec/codec.json and codec/codec.safetensors in a folder."""
    from safetensors.torch import save_file

    folder = folder / "codec"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "codec.json").write_text(json.dumps(codec.config.to_dict(), indent=2) + "\n", encoding="utf-8")
    tensors = {name: tensor.contiguous() for name, tensor in codec.state_dict().items()}
    save_file(tensors, str(folder / "codec.safetensors"))


def load_codec(folder: Path) -> ImageCodec:
    """Load the image tokenizer in eval mode. Raises OSError, KeyError or RuntimeError if it is damaged."""
    from safetensors.torch import load_file

    folder = folder / "codec"
    config = json.loads((folder / "codec.json").read_text(encoding="utf-8"))
    codec = ImageCodec(CodecConfig(**{**config, "levels": tuple(config["levels"])}))
    tensors = load_file(str(folder / "codec.safetensors"))
    codec.set_book(tensors["book"])  # first, since `load_state_dict` requires equal shapes
    codec.load_state_dict(tensors)
    codec.eval()
    return codec


def save_lm(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the LM in bf16 with its tokenizer, so that AutoModelForCausalLM and AutoTokenizer load the folder."""
    import copy

    import torch
    from transformers import PreTrainedTokenizerFast

    from datagen.embedded.vocab import BOS, EOS, PAD

    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD)
    wrapped.save_pretrained(folder)


def load_lm(folder: Path) -> LlamaForCausalLM:
    """Load the language model of a checkpoint folder in float32 for training. Raises OSError or ValueError."""
    from transformers import LlamaForCausalLM

    model: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model
