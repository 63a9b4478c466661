"""Unified models through the library transformers, in this process: on a GPU, or on the CPU.

    backend: {name: transformers, model: BAAI/Emu3-Gen-hf, switch: forced, batch_size: 8}

`model` is a folder or a name on the Hub; its config.json decides the family:

    joint   a causal LM with an image tokenizer, such as the embedded model's checkpoint; begins the image by itself
    emu3    Emu3ForConditionalGeneration: text and images in one sequence; begins the image by itself, or is forced to
    janus   JanusForConditionalGeneration: two heads, so the toolkit switches from text to image

The random numbers of a sample are keyed by its own seed and position, and the shape of its batch depends on its own
prompt alone. On one device, with one build of the libraries, one `batch_size` and one dtype, a sample is therefore
independent of the other requests. Another batch size, or a batch halved because memory ran out, changes the shapes and
with them the last bits of sums: a sample can then differ where two tokens were almost equally likely.

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

    Raises BackendError for a wrong option, for a model that is missing, cannot be loaded or cannot generate images, and
    for a device that is missing.
    """
    from datagen.backends.transformers.backend import load_backend

    return load_backend(Options.parse(options))
