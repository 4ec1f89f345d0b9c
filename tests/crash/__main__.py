"""kill -9 of either server at any moment of a stream of shares, acceptances, declines and unshares; afterwards both sides agree.

`python -m tests.crash --cycles 50 --seed 1`. Prints the counts; exit status 0 only if nothing was lost or doubled.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.crash.story import Story


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--cycles", type=int, default=50, help="how often a server is killed")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--port", type=int, default=9401, help="the first of two ports")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="ocm-crash-") as folder:
        faults = asyncio.run(Story(Path(folder), chosen.port, random.Random(chosen.seed)).run(chosen.cycles))
    for fault in faults:
        print(f"NOT OK: {fault}")
    print("Both sides agree on every share." if not faults else f"{len(faults)} disagreements.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
