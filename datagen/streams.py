"""Standard output and error that may end before the work does: `datagen build | head -1`, or a full disk."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO


def outlast_streams() -> None:
    """From now on drop what standard output or error does not take, and escape what its encoding lacks."""
    for name in ("stdout", "stderr"):
        if (stream := getattr(sys, name)) is not None:
            setattr(sys, name, Lasting(stream))


class Lasting:
    """A standard stream that may close or fill up: what it no longer takes is dropped, and the work goes on.

    What its encoding lacks is escaped.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._is_gone = stream, False
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, as long as the stream takes any."""
        if not self._is_gone:
            try:
                self._stream.write(text)
            except (OSError, ValueError):
                self._drop()
        return len(text)

    def flush(self) -> None:
        """Flush the stream, as long as it takes anything."""
        if not self._is_gone:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._drop()

    def _drop(self) -> None:
        """Let what is still buffered go nowhere: Python flushes it at the end."""
        self._is_gone = True
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
