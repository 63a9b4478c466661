"""A campaign against datagen: spoiled files, kills, plugins and servers that misbehave, for as long as it is told.

    python benchmarks/campaign.py --minutes 60          # or: make campaign
    python benchmarks/campaign.py --only plugins --first 40 --minutes 5

Prints each trial that did not hold with its number, which repeats it, and the table of docs/reliability.md at the end.
Exits with 1 if any did not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.helpers.campaign import SIEGES

SHARES = {"spoiled files": 0.3, "kills": 0.4, "plugins": 0.15, "servers": 0.15}
"""Of the time, by siege."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--only", choices=[*SIEGES], help="one siege alone")
    given = parser.parse_args()
    tried, failed = Counter[str](), Counter[str]()
    for name, trial in SIEGES.items():
        if given.only not in (None, name):
            continue
        end = time.monotonic() + 60 * given.minutes * (1 if given.only else SHARES[name])
        with tempfile.TemporaryDirectory(prefix="datagen-campaign-") as home:
            while time.monotonic() < end:
                number = given.first + tried[name]
                said = trial(number, Path(home))
                tried[name] += 1
                if said:
                    failed[name] += 1
                    print(f"{name}, trial {number}: {said}", flush=True)
    print("\n| siege | trials | what did not hold |\n|---|---|---|")
    for name, count in tried.items():
        print(f"| {name} | {count:,} | {failed[name] or 'nothing'} |")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
