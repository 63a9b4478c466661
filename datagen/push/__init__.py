"""A finished run on a hub or in a bucket, and back: resumable, verified, never half-visible.

    datagen push RUN hf://datasets/me/counting     datagen append OTHER_RUN hf://datasets/me/counting
    datagen pull hf://datasets/me/counting FOLDER

Everything goes by content hash: what is there is not sent again, whoever sent it and however that ended, and what
arrived is compared with what was sent before the run notes it. See docs/push.md.

Not covered: streaming a run that is still being built, and runs that are themselves on an object store.
"""

from __future__ import annotations

from datagen.push.run import Order, complete_push, prepare_push, pull_dataset
from datagen.push.sending import Pushed

__all__ = ["Order", "Pushed", "complete_push", "prepare_push", "pull_dataset"]
