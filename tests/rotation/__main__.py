"""Two busy servers change their keys again and again, at once and with a lead, to every kind; nothing may be lost.

`python -m tests.rotation --minutes 2 --seed 1`. Prints the counts; exit status 0 only if every share arrived once, and every read
of a shared file was answered.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.federation.site import Site, User
from tests.rotation.story import SETTINGS, Busy, change_keys

_DRAIN_SECONDS = 180.0


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=2.0)
    arguments.add_argument("--seed", type=int, default=1)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="ocm-rotation-") as folder:
        sites = (Site(Path(folder) / "a", ["alice"], SETTINGS), Site(Path(folder) / "b", ["bob"], SETTINGS))
        for site in sites:
            site.set_up()
            site.start()
        try:
            faults = _run(sites, chosen.minutes * 60, random.Random(chosen.seed))
        finally:
            for site in sites:
                site.stop()
    for fault in faults:
        print(f"NOT OK: {fault}")
    print("Everything arrived once." if not faults else f"{len(faults)} faults.")
    return 1 if faults else 0


def _run(sites: tuple[Site, Site], seconds: float, chance: random.Random) -> list[str]:
    alice, bob = User(sites[0], "alice"), User(sites[1], "bob")
    directions = (Busy(alice, bob), Busy(bob, alice))
    counts: Counter[str] = Counter()
    for busy in directions:
        busy.begin(0.05)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        change_keys(sites, chance, counts)
        time.sleep(chance.uniform(0, 6))
    for busy in directions:
        busy.end()
    refused = sum(site.log_text().count('"reason": "sig-') for site in sites)
    faults = [fault for busy in directions for fault in busy.disagreements(_DRAIN_SECONDS)]
    done = sum((busy.counts for busy in directions), Counter[str]()) + counts
    print(
        ", ".join(f"{name}: {number}" for name, number in sorted(done.items())),
        f"log lines of refusals on the way: {refused}",
        sep="; ",
    )
    return faults


if __name__ == "__main__":
    sys.exit(main())
