"""The unified model that ships with datagen: one small LM writes the plan and the image tokens in one sequence.

    backend: {name: embedded, temperature: 1.0, batch_size: 64, threads: 0, device: auto}

A sample does not depend on the rest of its batch: noise is keyed by sample and position, and batches have one shape.
`taxonomies/lexicons/pictograms.yaml` lists what the model can depict; `datagen bench model` measures it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datagen.embedded.options import EmbeddedOptions as Options

if TYPE_CHECKING:
    from datagen.embedded.backend import EmbeddedBackend


REFLECTS = True
FORM = "pictograms"
"""Name of the instruction template that it learned to rewrite with: `templates/expansion/pictograms.j2`."""


def build(options: Mapping[str, Any]) -> EmbeddedBackend:
    """Load the shipped checkpoint, or the one in `options["checkpoint"]`.

    Raises BackendError for an unknown option, a missing or damaged checkpoint file, or a device that is not there.
    """
    from datagen.embedded.backend import EmbeddedBackend

    return EmbeddedBackend(Options.parse(options))
