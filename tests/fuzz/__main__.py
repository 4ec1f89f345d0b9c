"""Fuzz everything that strangers write and we read: `python -m tests.fuzz --minutes 5`, which is `make fuzz MINUTES=5`.

Each target has its share of the time, in a process of its own, on one core. What reaches something new is kept in build/fuzz/,
and with --keep the small ones in the corpus of the repository. What crashes, hangs or takes too much memory is printed and kept.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.targets import TARGETS, Target

BUILD = Path("build/fuzz")
INPUT_SECONDS = 5
MEMORY_MIB = 1024
LONGEST_INPUT = 4096
_LONGEST_KEPT = 1500
_MOST_KEPT = 120
_LEAST_SECONDS = 2
Step = tuple[str, int, int]
_SPEED = re.compile(rb"#(\d+)\s+DONE\s+cov: (\d+)")


def main() -> int:
    """Fuzz; the exit status is 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz what strangers write and we read.")
    parser.add_argument("--minutes", type=float, default=5.0, help="for all targets together; 0: only --keep")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one (may be repeated)")
    parser.add_argument("--keep", action="store_true", help="write what reached something new into tests/fuzz/corpus")
    chosen = parser.parse_args()
    names = chosen.target or list(TARGETS)
    seconds = max(_LEAST_SECONDS, round(chosen.minutes * 60 / len(names))) if chosen.minutes else 0
    found = [fault for name in names if seconds for fault in fuzz(TARGETS[name], seconds)]
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
    """Put the smallest inputs that together reach all lines that were reached into the corpus of the repository."""
    reached: set[Step] = set()
    for data in target.seeds():
        reached |= steps_of(target, data)
    found = [*target.corpus(), *(path.read_bytes() for path in (BUILD / "corpus" / target.name).iterdir())]
    kept = []
    for data in sorted(set(found), key=lambda data: (len(data), data)):
        new = steps_of(target, data) - reached if len(data) <= _LONGEST_KEPT and len(kept) < _MOST_KEPT else set()
        if new:
            reached |= new
            kept.append(data)
    target.corpus_file.parent.mkdir(exist_ok=True)
    target.corpus_file.unlink(missing_ok=True)
    if kept:
        target.corpus_file.write_text("".join(json.dumps(data.decode("latin-1")) + "\n" for data in kept), "ascii")


def steps_of(target: Target, data: bytes) -> set[Step]:
    """Steps from line to line of our code that an input leads through, and the refusal that it ends in."""
    steps: set[Step] = set()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if "/opencloudmesh/" not in frame.f_code.co_filename:
            return None
        last = 0

        def step(frame: FrameType, event: str, _: object) -> Any:
            nonlocal last
            steps.add((frame.f_code.co_filename, last, frame.f_lineno))
            last = frame.f_lineno
            return step

        return step

    sys.settrace(trace)
    try:
        code = target.attempt(data)
    finally:
        sys.settrace(None)
    return steps | {(code, 0, 0)}


if __name__ == "__main__":
    sys.exit(main())
