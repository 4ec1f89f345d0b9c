"""Fuzz everything that strangers write and we read: `python -m tests.fuzz --minutes 5`, which is `make fuzz MINUTES=5`.

Each target has its share of the time, in a process of its own, on one core. What reaches something new is kept in build/fuzz/,
and with --keep the small ones in the corpus of the repository. What crashes, hangs or takes too much memory is printed and kept.
"""

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.targets import TARGETS, Target

BUILD = Path("build/fuzz")
INPUT_SECONDS = 5
MEMORY_MIB = 1024
LONGEST_INPUT = 4096
_LONGEST_KEPT = 1500
_MOST_KEPT = 120
_LEAST_SECONDS = 2
_SPEED = re.compile(rb"#(\d+)\s+DONE\s+cov: (\d+)")


def main() -> int:
    """Fuzz; the exit status is 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz what strangers write and we read.")
    parser.add_argument("--minutes", type=float, default=5.0, help="for all targets together")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one (may be repeated)")
    parser.add_argument("--keep", action="store_true", help="write what reached something new into tests/fuzz/corpus")
    chosen = parser.parse_args()
    names = chosen.target or list(TARGETS)
    seconds = max(_LEAST_SECONDS, round(chosen.minutes * 60 / len(names)))
    found = [fault for name in names for fault in fuzz(TARGETS[name], seconds)]
    if chosen.keep:
        for name in names:
            keep(TARGETS[name])
    print("\n".join(found) or f"{len(names)} targets, {seconds} s each: nothing found")
    return 1 if found else 0


def fuzz(target: Target, seconds: int) -> list[str]:
    """Fuzz one target; what is wrong, in a line each."""
    folder, faults = BUILD / "corpus" / target.name, BUILD / "faults" / target.name
    write_all(folder, target.corpus())
    faults.mkdir(parents=True, exist_ok=True)
    before = set(faults.iterdir())
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-max_len={LONGEST_INPUT}",
        f"-artifact_prefix={faults}/",
        "-print_final_stats=1",
    ]
    begun = time.monotonic()
    log = run(target, [str(folder), *options])
    (BUILD / f"{target.name}.log").write_bytes(log)
    done = _SPEED.search(log)
    tries, covered = (int(done[1]), int(done[2])) if done else (0, 0)
    print(f"{target.name:16} {tries:9} inputs  {covered:5} edges  {time.monotonic() - begun:5.0f} s", flush=True)
    new = sorted(set(faults.iterdir()) - before)
    if not new and done is None:
        return [f"{target.name}: the fuzzer did not end as it should, see {BUILD}/{target.name}.log"]
    return [f"{target.name}: {path} (see {BUILD}/{target.name}.log)" for path in new]


def run(target: Target, options: Sequence[str]) -> bytes:
    """Run the fuzzer in a process of its own, and give what it said."""
    command = [sys.executable, "-m", "tests.fuzz.one", target.name, *options]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.stdout


def write_all(folder: Path, inputs: Sequence[bytes]) -> None:
    """Inputs as libFuzzer has them: a file each, named after its content."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in inputs:
        (folder / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)


def keep(target: Target) -> None:
    """Put the smallest inputs that together reach all that was reached into the corpus of the repository."""
    seeds, least = BUILD / "seeds" / target.name, BUILD / "least" / target.name
    for folder in (seeds, least):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    write_all(seeds, [*target.seeds()])
    write_all(least, [*target.seeds()])  # what people wrote is there already: only what goes beyond it is added
    run(target, ["-merge=1", f"-timeout={INPUT_SECONDS}", str(least), str(BUILD / "corpus" / target.name)])
    written = {path.name for path in seeds.iterdir()}
    found = sorted(
        (path.read_bytes() for path in least.iterdir() if path.name not in written), key=lambda data: (len(data), data)
    )
    kept = [data for data in found if len(data) <= _LONGEST_KEPT][:_MOST_KEPT]
    target.corpus_file.write_text("".join(json.dumps(data.decode("latin-1")) + "\n" for data in sorted(kept)), "ascii")


if __name__ == "__main__":
    sys.exit(main())
