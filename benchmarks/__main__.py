"""`make bench`: every speed the product promises, measured side by side in one run; prints a table, writes build/bench.json.

`make bench ARGS="webdav mount"` measures these parts only. Rows: name, value, unit, compared with, ratio. Both sides of a ratio
are measured in turns, and their medians compared.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from benchmarks import dead_peer, down_peer, downloads, messages, mount, signatures, webdav


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    value: float
    unit: str
    compared_with: str
    ratio: float | None


_PARTS: dict[str, Callable[[Path], list[tuple[str, float, str, str, float | None]]]] = {
    "signatures": signatures.measure,
    "messages": lambda folder: uvloop.run(messages.measure(folder)),
    "downloads": downloads.measure,
    "webdav": webdav.measure,
    "down-peer": down_peer.measure,
    "dead-peer": dead_peer.measure,
    "mount": mount.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure; print a table, write build/bench.json.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure, all without any: {', '.join(_PARTS)}")
    chosen = parser.parse_args(arguments).parts
    if unknown := [name for name in chosen if name not in _PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}; there are: {', '.join(_PARTS)}")
    rows: list[Row] = []
    for name, measure in _PARTS.items():
        if chosen and name not in chosen:
            continue
        with tempfile.TemporaryDirectory(prefix="ocm-bench-") as folder:
            rows += [Row(*row) for row in measure(Path(folder))]
    _print(rows)
    target = Path("build")
    target.mkdir(exist_ok=True)
    (target / "bench.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0


def _print(rows: list[Row]) -> None:
    print(f"{'name':58} {'value':>10} {'unit':12} {'compared with':44} {'ratio':>7}")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        print(f"{row.name:58} {row.value:10.1f} {row.unit:12} {row.compared_with:44} {ratio:>7}")


if __name__ == "__main__":
    sys.exit(main())
