"""litmus (Debian's package), the test suite of WebDAV servers, run and read.

    assert_complete(run_litmus(url, "user", "password", folder=tmp_path))

It makes the folder `litmus` below the URL, and works there.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

LITMUS = shutil.which("litmus")
SUITES: Mapping[str, int] = {"basic": 16, "copymove": 13, "props": 30, "locks": 41, "http": 4}
"""How many tests each has: 104."""

_SUMMARY = re.compile(r"<- summary for `(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed")
_NOT_PASSED = re.compile(r"FAIL|WARNING|SKIPPED|warning", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What litmus said: per suite the tests that were run, and those that passed; lines that are worth a look."""

    run: Mapping[str, int]
    passed: Mapping[str, int]
    remarks: tuple[str, ...]
    output: str


def run_litmus(url: str, user: str, password: str, *, folder: Path, seconds: float = 900.0) -> Outcome:
    """Run all suites against `url`, each to its end; logs are written into `folder`."""
    done = subprocess.run(
        [LITMUS or "", "-k", quote(url, safe="/:%"), user, password],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C", "no_proxy": "127.0.0.1"},
    )  # fmt: skip
    return read_litmus(done.stdout.decode("utf-8", "replace"))


def read_litmus(output: str) -> Outcome:
    """Read the output of a run."""
    found = _SUMMARY.findall(output)
    lines = [line.rpartition("\r")[2].strip() for line in output.splitlines()]
    return Outcome(
        run={suite: int(run) for suite, run, _, _ in found},
        passed={suite: int(passed) for suite, _, passed, _ in found},
        remarks=tuple(line for line in lines if _NOT_PASSED.search(line)),
        output=output,
    )


def assert_complete(outcome: Outcome) -> None:
    """All 104 tests ran and passed, and nothing is remarked."""
    assert outcome.remarks == (), outcome.output
    assert outcome.run == SUITES, outcome.output
    assert outcome.passed == SUITES, outcome.output
