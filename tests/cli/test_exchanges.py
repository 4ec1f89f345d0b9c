"""`ocm log` on a server's folder: what it finds, how it is told, and what it refuses."""

import asyncio
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh import bootstrap
from opencloudmesh.services.records import Exchange

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
MESSAGE = '{"shareWith": "bob@cloud.example.org", "providerId": "7c0***", "protocol": {"webdav": {"sharedSecret": "***"}}}'


def exchange(ago: float, **parts: Any) -> Exchange:
    values = {
        "direction": "out",
        "peer": "peer.example.org",
        "url": "https://peer.example.org/ocm/shares?a=1",
        "status": 201,
        "verified": True,
    } | parts
    return Exchange(at=-ago, method="POST", duration=0.25, **values)


ROWS = (
    exchange(7200, request_body=MESSAGE, request_headers="authorization: Bearer ***", trace_id=TRACE),
    exchange(
        60, peer="other.example.org", status=0, reason="tls-expired", detail="It ended\x1b[31m.", url="https://other.example.org/"
    ),
    exchange(30, direction="in", status=401, reason="sig-missing", verified=False, source="192.0.2.1", url="not a [url"),
    exchange(10, direction="in", peer="", status=404, reason="not-found", verified=False, source="192.0.2.1"),
)


@pytest.fixture
def folder(ocm: Any, free_port: int) -> Path:
    """A prepared folder with four exchanges."""
    assert ocm("init", "cloud", "--origin", f"http://127.0.0.1:{free_port}").status == 0

    async def fill() -> None:
        async with bootstrap.beside(Path("cloud")) as wiring:
            now = time.time()
            rows = [replace(row, at=now + row.at) for row in ROWS]
            await wiring.database.write(lambda tx: tx.exchanges.add(rows))

    asyncio.run(fill())
    return Path("cloud").resolve()


@pytest.fixture
def log(ocm: Any, folder: Path) -> Any:
    return lambda *arguments: ocm("log", *arguments, "--dir", folder)


def test_one_line_for_each_the_newest_last(log: Any) -> None:
    result = log()
    assert (result.status, result.err.count("\n")) == (0, 1)
    assert re.search(r"ocm log show --dir \S+ ID$", result.err.strip())
    lines = result.out.splitlines()[1:]
    assert len(lines) == 4
    assert f"  {TRACE[:8]}  share for bob@cloud.example.org" in lines[0]
    assert "->  peer.example.org" in lines[0]
    assert "tls-expired: It ended\\x1b[31m." in lines[1]
    assert "<-  peer.example.org?" in lines[2]
    assert "<-  192.0.2.1" in lines[3]


def ids(result: Any) -> list[int]:
    assert result.status == 0, result.err
    return [item["id"] for item in result.document["items"]]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], [1, 2, 3, 4]),
        (["--peer", "peer.example.org"], [1, 3]),
        (["--peer", "https://Peer.Example.Org/index"], [1, 3]),
        (["--peer", "carol@peer.example.org"], [1, 3]),
        (["--since", "1h"], [2, 3, 4]),
        (["--until", "1h"], [1]),
        (["--since", "1h", "--until", "20s"], [2, 3]),
        (["--trace", TRACE.upper()], [1]),
        (["--trace", TRACE[:8]], [1]),
        (["--direction", "in"], [3, 4]),
        (["--failed"], [2, 3, 4]),
        (["--reason", "tls-expired"], [2]),
        (["--limit", "2"], [3, 4]),
        (["--peer", "nobody.example.org"], []),
    ],
)
def test_filters(log: Any, arguments: list[str], found: list[int]) -> None:
    assert ids(log(*arguments, "--json")) == found


def test_nothing_found(log: Any) -> None:
    assert log("--peer", "nobody.example.org", "--body").out == "There are no such exchanges.\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--peer", "not a host"], "host-invalid"),
        (["--since", "yesterday"], "time-invalid"),
        (["--since", "1h", "--until", "2h"], "time-invalid"),
        (["--trace", "4bf9"], "trace-invalid"),
        (["--reason", "It failed"], "reason-invalid"),
        (["show", "99"], "exchange-unknown"),
    ],
)
def test_what_means_nothing_is_refused_with_a_hint(log: Any, arguments: list[str], code: str) -> None:
    refused = log(*arguments, "--json")
    assert refused.status != 0
    assert refused.document["error"]["code"] == code
    assert refused.document["error"]["hint"]


@pytest.mark.parametrize("arguments", [["--direction", "sideways"], ["--limit", "0"], ["--limit", "1001"], ["show", "x"]])
def test_what_no_command_takes(log: Any, arguments: list[str]) -> None:
    assert log(*arguments).status == 2


def test_one_of_them_whole(log: Any, folder: Path) -> None:
    shown = log("show", "1").out
    assert "POST https://peer.example.org/ocm/shares?a=1" in shown
    assert '    "sharedSecret": "***"' in shown
    assert shown.endswith(f"All of this trace: ocm log --trace {TRACE} --dir {folder}\n")
    failed = log("show", "2").out
    assert "Answer: none" in failed
    assert "Reason: tls-expired: It ended\\x1b[31m." in failed
    assert "What to do: The peer's operator renews it; check our own clock." in failed
    claimed = log("show", "3").out
    assert "from peer.example.org (not proved), address 192.0.2.1" in claimed
    assert "from an unknown server" in log("show", "4").out


def test_all_of_them_whole(log: Any) -> None:
    shown = log("--body").out
    assert [line for line in shown.splitlines() if line.startswith("Exchange ")] == [
        f"Exchange {number}" for number in range(1, 5)
    ]
    assert "authorization: Bearer ***" in shown
    assert ids(log("--body", "--json")) == [1, 2, 3, 4]


def test_a_folder_that_is_none(ocm: Any, tmp_path: Path) -> None:
    refused = ocm("log", "--dir", tmp_path, "--json")
    assert (refused.status, bool(refused.document["error"]["message"])) == (1, True)
