"""Servers are killed, cut off, out of time and out of space while 200 users share; afterwards every pair agrees on every share.

`python -m tests.chaos --seed 1 --minutes 10`. Exit status 0 only if nothing was lost or doubled, waits, or opened after its end.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.plan import Plan, Size, make_plan
from tests.chaos.run import Run
from tests.chaos.surroundings import Surroundings, dying_with_us, module_command, way_apart

_FAULTS_SHARE = 0.7
"""Of all the time; the rest is for coming to rest."""
_NO_SPACE = "no space"


def arguments() -> argparse.ArgumentParser:
    """What may be said on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10.0, help="of all; acts and faults take seven tenths of it")
    parser.add_argument("--servers", type=int, default=6)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--shares", type=int, default=5000)
    parser.add_argument("--expiring", type=float, default=0.12, help="the part of the shares that have an end")
    parser.add_argument("--port", type=int, default=9500, help="the first of as many ports as servers and one")
    parser.add_argument("--sqlite-only", action="store_true", help="no PostgreSQL server")
    parser.add_argument("--keep", action="store_true", help="keep the folders, also when all is well")
    parser.add_argument("--plan", action="store_true", help="print the plan's faults and stop")
    parser.add_argument("--apart", choices=("yes", "no"), help=argparse.SUPPRESS)
    parser.add_argument("--postgres", default="", help=argparse.SUPPRESS)
    return parser


def main() -> int:
    chosen = arguments().parse_args()
    if chosen.plan:
        plan = _plan(chosen)
        print(f"plan {plan.digest}", *plan.faults, sep="\n")
        return 0
    return _outside(chosen) if chosen.apart is None else _inside(chosen)


def _plan(chosen: argparse.Namespace) -> Plan:
    seconds = chosen.minutes * 60 * _FAULTS_SHARE
    size = Size(chosen.servers, chosen.users, chosen.shares, seconds, chosen.expiring)
    return make_plan(chosen.seed, size, disk_of=chosen.servers - 1, far_clocks=seconds >= 60)


# ---------------------------------------------------------------- outside: a database server, and a namespace
def _outside(chosen: argparse.Namespace) -> int:
    way = way_apart()
    with _postgres(chosen) as url:
        given = [*sys.argv[1:], "--apart", "yes" if way else "no", "--postgres", url]
        return subprocess.run([*dying_with_us(), *(way or []), *module_command(*given)], check=False).returncode


@contextmanager
def _postgres(chosen: argparse.Namespace) -> Iterator[str]:
    found = [] if chosen.sqlite_only else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        yield ""
        return
    from tests.postgres import PrivateCluster, fresh_database

    cluster = PrivateCluster(found[-1].parent)
    try:
        with fresh_database(cluster.url) as url:
            yield url
    finally:
        cluster.close()


# ---------------------------------------------------------------- inside
def _inside(chosen: argparse.Namespace) -> int:
    folder = Path(tempfile.mkdtemp(prefix="ocm-chaos-"))
    around = Surroundings(folder, chosen.servers, chosen.port, chosen.apart == "yes", chosen.postgres)
    plan = _plan(chosen)
    print(f"seed {plan.seed}, plan {plan.digest}: {plan.size}, {len(plan.faults)} faults", flush=True)
    for missing in around.missing:
        print(f"NOT HERE: {missing}", flush=True)
    run = Run(plan, around, disk_of=chosen.servers - 1, postgres_of=0)
    violations = asyncio.run(run.run())
    violations += _complaints(run)
    for title, counts in run.tables:
        _print_table(title, counts)
    for violation in violations[:40]:
        print(f"NOT OK: {violation}")
    if violations:
        print(f"{len(violations)} violations. Again: make chaos SEED={plan.seed} MINUTES={chosen.minutes:g}; plan {plan.digest}")
    else:
        print(f"Every pair agrees on every share; seed {plan.seed}, plan {plan.digest}.")
    if violations or chosen.keep:
        _keep(run, folder)
    else:
        _remove(run, folder)
    return 1 if violations else 0


def _complaints(run: Run) -> list[str]:
    """Lines of the servers' logs that tell of a defect; that a full disk is full is none."""
    found: Counter[str] = Counter()
    for server in run.servers:
        for line in server.log.read_text(errors="replace").splitlines():
            if line.startswith("Traceback"):
                found[line] += 1
            elif '"level": "error"' in line or '"level": "critical"' in line:
                found[_complaint(line)] += 1
    run.tables.append(("errors in logs for want of space", Counter({w: n for w, n in found.items() if _NO_SPACE in w})))
    return [f"log: {what} ({number} times)" for what, number in found.most_common(10) if _NO_SPACE not in what]


def _complaint(line: str) -> str:
    event = json.loads(line)
    trace = str(event.get("exception", ""))
    is_full = event.get("cause") in ("SQLITE_FULL", "DiskFull")
    if is_full or "database or disk is full" in trace or "No space left on device" in trace:
        return f"{event['event']}: {_NO_SPACE}"
    return f"{event['event']} {event.get('path', '')} {trace.strip().rpartition(chr(10))[2]}"


def _print_table(title: str, counts: Counter[str]) -> None:
    print(f"\n{title}")
    for name, number in sorted(counts.items()):
        print(f"    {name:<60} {number:>7}")
    print(flush=True)


def _keep(run: Run, folder: Path) -> None:
    """Keep everything; what is on a small disk would end with this process."""
    for server in run.servers:
        data = server.folder / "data"
        if data.is_mount():
            copy = server.folder / "data-kept"
            shutil.copytree(data, copy)
            subprocess.run(["umount", str(data)], check=False)
    print(f"kept: {folder}")


def _remove(run: Run, folder: Path) -> None:
    for server in run.servers:
        if (server.folder / "data").is_mount():
            subprocess.run(["umount", str(server.folder / "data")], check=False)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
