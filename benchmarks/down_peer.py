"""A stream of 10,000 shares to a peer that is down: the user API before, meanwhile and after, in one run."""

import asyncio
import json
import statistics
import time
import urllib.request
from pathlib import Path

import aiohttp

from demo.people import Person
from demo.servers import ServerProcess

SERVER_PORT, DEAD_PORT = 9321, 9322
SHARES = 10_000
SAMPLES = 400
AT_ONCE = 16
RowValues = tuple[str, float, str, str, float | None]


def measure(folder: Path) -> list[RowValues]:
    server = ServerProcess("S", folder / "s", SERVER_PORT, other_port=DEAD_PORT)
    server.check_port()
    server.init()
    server.add_user("alice", "a password of alice")
    server.add_user("carol", "a password of carol")
    server.start()
    try:
        alice = Person("alice", folder / "alice", server)
        alice.login("a password of alice")
        file = folder / "data.txt"
        file.write_text("to be shared\n")
        alice.run("put", str(file), "data.txt")
        return asyncio.run(_measure(server))
    finally:
        server.stop()


def _token(server: ServerProcess, name: str) -> str:
    body = json.dumps({"username": name, "password": f"a password of {name}"}).encode()
    request = urllib.request.Request(f"{server.origin}/api/v1/session", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return str(json.load(answer)["token"])


async def _measure(server: ServerProcess) -> list[RowValues]:
    alice = {"authorization": f"Bearer {_token(server, 'alice')}"}
    carol = {"authorization": f"Bearer {_token(server, 'carol')}"}
    async with aiohttp.ClientSession(server.origin) as http:
        before = await _latencies(http, carol)
        started = time.perf_counter()
        await _create_shares(http, alice)
        seconds = time.perf_counter() - started
        after = await _latencies(http, carol)
    median = statistics.median
    p99_before, p99_after = _p99(before), _p99(after)
    return [
        ("user API, GET /shares and /inbox, before", median(before) * 1000, "ms", "", None),
        (
            "the same with 10,000 shares to a dead peer waiting",
            median(after) * 1000,
            "ms",
            "before (1.0)",
            median(after) / median(before),
        ),
        ("the same, p99", p99_after * 1000, "ms", "p99 before", p99_after / p99_before),
        ("POST /api/v1/shares to a dead peer", SHARES / seconds, "1/s", "", None),
    ]


async def _create_shares(http: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    left = iter(range(SHARES))

    async def one_after_another() -> None:
        for number in left:
            body = {
                "path": "data.txt",
                "share_with": f"u{number}@127.0.0.1:{DEAD_PORT}",
                "permissions": ["read"],
                "expires_at": None,
            }
            async with http.post("/api/v1/shares", json=body, headers=headers) as answer:
                if answer.status != 201:
                    raise RuntimeError(await answer.text())

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))


async def _latencies(http: aiohttp.ClientSession, headers: dict[str, str]) -> list[float]:
    """Times of requests of another user, one after the other."""
    times = []
    for number in range(SAMPLES + 50):
        started = time.perf_counter()
        async with http.get("/api/v1/shares" if number % 2 else "/api/v1/inbox", headers=headers) as answer:
            await answer.read()
        if number >= 50:
            times.append(time.perf_counter() - started)
    return times


def _p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]
