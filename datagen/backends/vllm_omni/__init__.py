"""BAGEL and its like in the engine vLLM-Omni, offline in this process: a thought as text, then one picture.

    backend: {name: vllm_omni, model: ByteDance-Seed/BAGEL-7B-MoT, height: 512, width: 512}

The defaults are for BAGEL; SenseNova-U1, a single stage that frames its prompts itself, needs others:

    backend: {name: vllm_omni, model: …, deploy_config: null, template: "{prompt}", think_template: "{prompt}"}

The package needs an environment of its own, because its pins exclude the current vLLM:

    pip install vllm-omni==0.30.0 'vllm==0.30.*' datagen

One request is one call of the engine, so a sample depends on its own prompt and seed alone. A server is faster, since
it batches requests: start `vllm serve MODEL --omni` there and use the backend `openai`.

Not covered: more than one picture in an answer (no model of vLLM-Omni 0.30.0 does it), pictures as input, chats.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datagen.backends.vllm_omni.engine import OmniOptions as Options
from datagen.errors import MissingExtraError, first_line

if TYPE_CHECKING:
    from datagen.backends.vllm_omni.engine import OmniBackend

INSTALL = "in another environment: pip install vllm-omni==0.30.0 'vllm==0.30.*', and datagen without extras"


def build(options: Mapping[str, Any]) -> OmniBackend:
    """Start an engine with the model. Raises BackendError when it cannot, MissingExtraError without vLLM-Omni."""
    parsed = Options.parse(options)
    try:
        importlib.import_module("vllm_omni").Omni  # noqa: B018 - the package loads this name lazily, which needs vLLM
    except (ImportError, AttributeError) as error:
        why = "the backend 'vllm_omni' needs an environment of its own, as its pins exclude the current vLLM"
        raise MissingExtraError(f"{why}: {first_line(error)}", hint=INSTALL) from error
    from datagen.backends.vllm_omni.engine import OmniBackend

    return OmniBackend(parsed)
