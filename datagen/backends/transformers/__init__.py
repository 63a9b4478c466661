"""Unified models through the library transformers, in this process: on a GPU, or on the CPU.

    backend: {name: transformers, model: BAAI/Emu3-Gen-hf, switch: forced, batch_size: 8}

`model` is a folder or a name on the Hub; its config.json says which family it is of:

    joint   a causal LM with an image tokenizer beside it, such as the embedded model's checkpoint: decides by itself
    emu3    Emu3ForConditionalGeneration: text and images in one sequence; decides by itself, or is made to draw
    janus   JanusForConditionalGeneration: two heads, so the toolkit switches from text to image

Each sample is drawn with numbers keyed by its own seed and position, and the shape of its batch depends on its own
prompt alone. On one device, with one build of the libraries, one `batch_size` and one dtype, a sample is therefore the
same whatever else is asked for beside it. Another batch size, or a batch halved because memory ran out, changes the
shapes and so the last bits of sums: then a sample can differ where two tokens were all but equally likely.

Not covered: models spread over several GPUs, quantized weights, code from the Hub (`trust_remote_code`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datagen.backends.transformers.options import TransformersOptions as Options

if TYPE_CHECKING:
    from datagen.backends.transformers.backend import TransformersBackend


def build(options: Mapping[str, Any]) -> TransformersBackend:
    """Find the model, choose its family by its config.json, and load it.

    Raises BackendError for a wrong option, a model that is not there, cannot be loaded or cannot draw, and a device
    that is not there.
    """
    from datagen.backends.transformers.backend import load_backend

    return load_backend(Options.parse(options))
