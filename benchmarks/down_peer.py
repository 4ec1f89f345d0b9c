"""10,000 shares to a peer that is down: the user API of that server and of an idle one, asked in turns."""

import asyncio
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from demo.people import Person
from demo.servers import ServerProcess

PORT, IDLE_PORT, DEAD_PORT = 9321, 9323, 9322
PASSWORD = "a password of alice"
SHARES = 10_000
SAMPLES = 1000
AT_ONCE = 16
RowValues = tuple[str, float, str, str, float | None]


def measure(folder: Path) -> list[RowValues]:
    servers = [
        ServerProcess(name, folder / name, port, other_port=DEAD_PORT) for name, port in (("loaded", PORT), ("idle", IDLE_PORT))
    ]
    try:
        for server in servers:
            server.check_port()
            server.init()
            server.add_user("alice", PASSWORD)
            server.start()
        alice = Person("alice", folder / "alice", servers[0])
        alice.login(PASSWORD)
        file = folder / "data.txt"
        file.write_text("to be shared\n")
        alice.run("put", str(file), "data.txt")
        return asyncio.run(_measure(*servers))
    finally:
        for server in servers:
            server.stop()


@dataclass
class _Client:
    """alice at one of the servers, her lists empty or not asked for."""

    http: aiohttp.ClientSession
    headers: dict[str, str]

    async def time(self, path: str) -> float:
        started = time.perf_counter()
        async with self.http.get(f"/api/v1{path}", headers=self.headers) as answer:
            await answer.read()
        return time.perf_counter() - started


async def _measure(loaded: ServerProcess, idle: ServerProcess) -> list[RowValues]:
    async with aiohttp.ClientSession(loaded.origin) as first, aiohttp.ClientSession(idle.origin) as second:
        busy, calm = _Client(first, await _login(first)), _Client(second, await _login(second))
        started = time.perf_counter()
        await _create_shares(busy)
        seconds = time.perf_counter() - started
        await busy.time("/me")
        times: dict[str, list[float]] = {"busy": [], "calm": []}
        for number in range(SAMPLES + 50):
            for name, client in (("busy", busy), ("calm", calm)):
                taken = await client.time("/inbox" if number % 2 else "/me")
                if number >= 50:
                    times[name].append(taken)
        async with first.get("/api/v1/deliveries?limit=1", headers=busy.headers) as answer:
            waiting = (await answer.json())["items"][0]["state"]
    if waiting != "queued":
        raise RuntimeError(f"the deliveries are {waiting}")
    median = {name: statistics.median(values) for name, values in times.items()}
    p99 = {name: sorted(values)[int(len(values) * 0.99)] for name, values in times.items()}
    return [
        ("user API of an idle server", median["calm"] * 1000, "ms", "", None),
        (
            "the same, 10,000 shares to a dead peer waiting",
            median["busy"] * 1000,
            "ms",
            "idle server (1.0)",
            median["busy"] / median["calm"],
        ),
        ("the same, p99", p99["busy"] * 1000, "ms", "p99 of the idle server", p99["busy"] / p99["calm"]),
        ("POST /api/v1/shares to a dead peer", SHARES / seconds, "1/s", "", None),
    ]


async def _login(http: aiohttp.ClientSession) -> dict[str, str]:
    async with http.post("/api/v1/session", json={"username": "alice", "password": PASSWORD}) as answer:
        return {"authorization": f"Bearer {(await answer.json())['token']}"}


async def _create_shares(client: _Client) -> None:
    left = iter(range(SHARES))

    async def one_after_another() -> None:
        for number in left:
            body = {
                "path": "data.txt",
                "share_with": f"u{number}@127.0.0.1:{DEAD_PORT}",
                "permissions": ["read"],
                "expires_at": None,
            }
            async with client.http.post("/api/v1/shares", json=body, headers=client.headers) as answer:
                if answer.status != 201:
                    raise RuntimeError(await answer.text())

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
