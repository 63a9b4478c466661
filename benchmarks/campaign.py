"""A campaign against datagen: changed files, kills, full disks, and plugins, servers and models that misbehave.

    python benchmarks/campaign.py --minutes 60          # or: make campaign
    python benchmarks/campaign.py --only plugins --first 40 --minutes 5

Prints each trial that did not hold with its number, which repeats it, and at the end the table of docs/reliability.md.
Exits with 1 if any did not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.helpers.campaign import REQUESTS, SIEGES, Trial

SHARES = {
    "changed files": 0.3,
    "foreign shards": 0.02,
    "kills": 0.35,
    "full disks": 0.08,
    "plugins": 0.08,
    "servers": 0.12,
    "hostile models": 0.05,
}
"""Of the time, by siege."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--only", choices=[*SIEGES], help="one siege alone")
    given = parser.parse_args()
    tried, failed = Counter[str](), Counter[str]()
    try:
        for name, trial in SIEGES.items():
            if given.only in (None, name):
                minutes = given.minutes * (1 if given.only else SHARES[name])
                _besiege(name, trial, given.first, minutes, tried, failed)
    finally:  # also of one that was stopped
        _print_table(tried, failed)
    return 1 if failed else 0


def _besiege(name: str, trial: Trial, first: int, minutes: float, tried: Counter[str], failed: Counter[str]) -> None:
    end = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="datagen-campaign-") as home:
        for number in count(first):
            if time.monotonic() > end:
                return
            for said in trial(number, Path(home)):
                tried[name] += 1
                if said:
                    failed[name] += 1
                    print(f"{name}, trial {number}: {said}", flush=True)


def _print_table(tried: Counter[str], failed: Counter[str]) -> None:
    print("\n| siege | tried | what did not hold |\n|---|---|---|")
    for name, times in tried.items():
        print(f"| {name} | {times:,} | {failed[name] or 'nothing'} |")
    if REQUESTS:
        print("\nof served runs: " + ", ".join(f"{times:,} {what}" for what, times in REQUESTS.items()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
