"""Push a finished run to a hub or a bucket, and pull it back: resumable, verified, never half-visible.

    datagen push RUN hf://datasets/me/counting     datagen append OTHER_RUN hf://datasets/me/counting
    datagen pull hf://datasets/me/counting FOLDER

Files are compared by content hash: a file that is already there is not sent again, whoever sent it, and every file is
verified at the destination before the run records the push. See docs/push.md.

Not covered: streaming a run that is still being built.
"""

from __future__ import annotations

from datagen.push.run import Order, complete_push, prepare_push, pull_dataset
from datagen.push.sending import Pushed

__all__ = ["Order", "Pushed", "complete_push", "prepare_push", "pull_dataset"]
