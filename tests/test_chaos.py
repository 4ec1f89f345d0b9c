"""The chaos run, in short: the whole of its machinery for some seconds; `make chaos` takes ten minutes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.plan import CUTS, DISK, KILL, Plan, Size, make_plan
from tests.chaos.surroundings import way_apart
from tests.federation.wire import free_ports

_ROOT = Path(__file__).parent.parent
_SIZE = Size(servers=3, users=9, shares=100, seconds=60.0)


def _plan(seed: int) -> Plan:
    return make_plan(seed, _SIZE, disk_of=2, far_clocks=True)


def test_the_seed_decides_everything() -> None:
    assert _plan(1) == _plan(1)
    assert len({_plan(seed).digest for seed in range(20)}) == 20


def test_every_fault_comes() -> None:
    plan = make_plan(1, replace(_SIZE, seconds=420.0), disk_of=2, far_clocks=True)
    assert {KILL, DISK, *CUTS} < {fault.kind for fault in plan.faults}


@pytest.mark.skipif(way_apart() is None, reason="mount namespaces are needed: run as root, or let users make namespaces")
def test_in_short_every_pair_agrees_on_every_share() -> None:
    size = ["--servers", "2", "--users", "4", "--shares", "30", "--expiring", "0", "--minutes", "0.1"]
    command = [sys.executable, "-m", "tests.chaos", "--seed", "3", *size, "--sqlite-only", "--port", str(free_ports(3))]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every pair agrees on every share" in done.stdout
