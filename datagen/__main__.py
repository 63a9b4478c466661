"""`python -m datagen` is `datagen`."""

from __future__ import annotations

from datagen.cli import main

if __name__ == "__main__":
    main()
