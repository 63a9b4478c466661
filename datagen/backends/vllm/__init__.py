"""Models in a vLLM engine of this process: a joint text-image checkpoint generates samples, any other answers chats.

    backend: {name: vllm, model: path/to/checkpoint}

A folder with an image tokenizer in `codec/` (the embedded checkpoint, or one trained like it) generates samples; a text
or vision model only answers chats, for rewriting and judging. vLLM is an extra: `pip install 'datagen[vllm]'`.

Requests are fed to the engine while it runs, two for each of its slots (`engine: {max_num_seqs: …}`), so that it is
never empty between shards. An engine that dies is restarted and asked again what it had not answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datagen.backends.vllm.options import VllmOptions as Options
from datagen.errors import MissingExtraError

if TYPE_CHECKING:
    from datagen.backends.vllm.engine import VllmBackend


def build(options: Mapping[str, Any]) -> VllmBackend:
    """Start an engine with the model. Raises BackendError when it cannot, MissingExtraError without vLLM."""
    try:
        import vllm  # noqa: F401
    except ImportError as error:
        hint = "pip install 'datagen[vllm]'"
        raise MissingExtraError(f"the backend 'vllm' needs vLLM: {error}", hint=hint) from error
    from datagen.backends.vllm.engine import VllmBackend

    return VllmBackend(Options.parse(options))
