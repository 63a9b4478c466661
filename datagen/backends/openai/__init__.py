"""Any OpenAI-compatible server, through the official async client: vLLM, vLLM-Omni, SGLang, or a hosted one.

    backend: {name: openai, base_url: "http://localhost:8091/v1", model: ByteDance-Seed/BAGEL-7B-MoT}

Images come from `/chat/completions` (`api: chat`) or `/images/generations` (`api: images`). The key is read from the
environment variable that `api_key_env` names and is written nowhere. `datagen doctor RECIPE` checks a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datagen.backends.openai.options import OpenAIOptions as Options
from datagen.errors import MissingExtraError

REFLECTS = True
IS_SERVER = True
REACHED_BY = frozenset({"base_url", "api_key_env", "concurrency", "retries", "timeout_seconds", "max_wait_seconds"})
"""Options that only say how the server is reached: they may change while a run is made."""

if TYPE_CHECKING:
    from datagen.backends.openai.backend import OpenAIBackend


def build(options: Mapping[str, Any]) -> OpenAIBackend:
    """Check the options, and that the server answers, accepts the key and has the model.

    Raises BackendError when a check fails, MissingExtraError without the package `openai`.
    """
    try:
        import openai  # noqa: F401
    except ImportError as error:
        hint = "pip install 'datagen[openai]'"
        raise MissingExtraError("the backend 'openai' needs the package openai", hint=hint) from error
    from datagen.backends.openai.backend import OpenAIBackend

    backend = OpenAIBackend(Options.parse(options))
    backend.check_server()
    return backend
