"""A server with 1,000 received shares of a black-holed server, and 500 messages to it waiting, beside one whose peer lives.

Both servers hold the same: shares of a server of their own (one of the two becomes a black hole, which takes no connection and
refuses none), shares of a third, healthy server, own files. Every call is made at both in turns, so that noise meets both; while
they are measured, somebody keeps opening files of that server, at both. What a call comes to is checked every time.
`POST /shares/repair` is left out: asking the other servers is what it is for.
"""

import asyncio
import itertools
import json
import multiprocessing
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp

from benchmarks.load import run_load
from benchmarks.peer import LoadPeer
from tests.federation.black_hole import black_hole
from tests.federation.peer import Seen
from tests.federation.site import PASSWORD, Site
from tests.federation.wire import Answer, free_port, wait_until

SHARES, DELIVERIES, HEALTHY = 1000, 500, 400
ROUNDS = 600
"""Calls of each kind at each server, where they change nothing."""
ACTS = 150
"""The same, where they change something."""
LOGINS = 40
RowValues = tuple[str, float, str, str, float | None]
Call = Callable[[], Awaitable[Any]]
_WIDE = "1000000"
_SETTINGS = {
    "retry_first": "30.0",
    "messages_per_peer": _WIDE,
    "shares_per_recipient": _WIDE,
    "unknown_shares_per_peer": _WIDE,
    "at_once_per_peer": "256",
}


def measure(folder: Path) -> list[RowValues]:
    with ExitStack() as stack:
        sites = [Site(folder / name, ["alice"], _SETTINGS) for name in ("dead", "alive", "healthy")]
        for site in sites:
            site.set_up()
            site.start()
            stack.callback(site.stop)
        dead, alive, healthy = sites
        mortal, living = (_peer(folder, name) for name in ("mortal", "living"))
        stack.enter_context(_served(living))
        return asyncio.run(_measure(dead, alive, healthy, mortal, living))


def _peer(folder: Path, name: str) -> LoadPeer:
    (folder / name).mkdir()
    return LoadPeer(folder / name, free_port())


@contextmanager
def _served(peer: LoadPeer) -> Iterator[None]:
    """Serve as this peer, in a process of its own."""
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(peer.folder, peer.port), daemon=True)
    process.start()
    wait_until(lambda: _is_up(peer.port))
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _serve(folder: Path, port: int) -> None:
    peer = _GenerousPeer(folder, port)
    with peer.serving():
        threading.Event().wait()


class _GenerousPeer(LoadPeer):
    """Has every file that it is asked for."""

    def _dav(self, seen: Seen) -> Answer:
        self.files.setdefault(unquote(seen.path).rstrip("/"), b"content")
        return super()._dav(seen)


def _is_up(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


async def _measure(dead: Site, alive: Site, healthy: Site, mortal: LoadPeer, living: LoadPeer) -> list[RowValues]:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(_client(site)) for site in (dead, alive, healthy)]
        with _served(mortal):
            for client, peer in zip(clients, (mortal, living), strict=False):
                await client.fill(peer, clients[2])
        with black_hole(mortal.port):
            for client, peer in zip(clients, (mortal, living), strict=False):
                await client.give_to(peer)
            await stack.enter_async_context(_opening(clients[0]))
            await stack.enter_async_context(_opening(clients[1]))
            rows = await _in_turns(clients[0], clients[1])
            left = await clients[0].waiting_for(mortal.host)
    return [*rows, ("messages to the dead server still waiting", left, "", "", None)]


class _Client:
    """alice, at one of the servers."""

    def __init__(self, site: Site, http: aiohttp.ClientSession) -> None:
        self.site = site
        self.address = f"alice@{site.host}"
        self._http = http
        self._headers: dict[str, str] = {}
        self.from_peer: list[dict[str, Any]] = []
        self.pending: list[int] = []
        self.given: list[int] = []
        self.healthy_path = ""
        self.healthy = ""

    async def call(self, method: str, path: str, body: Any = None, *, good: int = 200, **headers: str) -> Any:
        async with self._http.request(method, path, json=body, headers=self._headers | headers) as answer:
            content = await answer.read()
        if answer.status != good:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return json.loads(content) if answer.content_type == "application/json" else content

    async def login(self) -> None:
        said = await self.call("POST", "/api/v1/session", {"username": "alice", "password": PASSWORD}, good=200)
        self._headers = {"authorization": f"Bearer {said['token']}"}

    async def put(self, name: str) -> None:
        async with self._http.put(f"/dav/files/alice/{name}", data=b"content", headers=self._headers) as answer:
            answer.raise_for_status()

    async def share(self, path: str, with_: str) -> int:
        said = await self.call("POST", "/api/v1/shares", {"path": path, "share_with": with_}, good=201)
        return int(said["id"])

    # ------------------------------------------------------------ what both hold
    async def fill(self, peer: LoadPeer, healthy: "_Client") -> None:
        """Accepted shares of the peer, and shares of the healthy server: one accepted, the others not yet answered."""
        self.peer, self.healthy = peer, healthy.address
        requests = [peer.share_creation(self.site.origin, self.address) for _ in range(SHARES)]
        load = await run_load("127.0.0.1", self.site.port, requests, 8)
        if set(load.statuses) != {201}:
            raise RuntimeError(f"unexpected answers: {load.statuses}")
        for number in range(HEALTHY):
            await healthy.put(f"healthy-{number}.txt")
            await healthy.share(f"healthy-{number}.txt", self.address)
        for one in await self._pages("/api/v1/inbox"):
            is_of_peer = one["sender"].endswith(peer.host)
            if is_of_peer or not self.healthy_path:
                said = await self.call("POST", f"/api/v1/inbox/{one['id']}/accept")
                if is_of_peer:
                    self.from_peer.append(said)
                else:
                    self.healthy_path = said["path"]
            else:
                self.pending.append(one["id"])
        await self._until_quiet()

    async def _pages(self, path: str) -> list[Any]:
        items: list[Any] = []
        after: int | None = 0
        while after is not None:
            page = await self.call("GET", f"{path}{'&' if '?' in path else '?'}after={after}")
            items, after = items + page["items"], page["next"]
        return items

    async def _until_quiet(self) -> None:
        for _ in range(600):
            items = await self._pages("/api/v1/deliveries")
            if not any(one["state"] in ("queued", "leased") for one in items):
                return
            await asyncio.sleep(0.1)
        raise RuntimeError("messages are still waiting")

    async def give_to(self, peer: LoadPeer) -> None:
        await self.put("given.txt")
        for number in range(HEALTHY):
            await self.put(f"mine-{number}.txt")
        for number in range(DELIVERIES):
            self.given.append(await self.share("given.txt", f"carol{number}@{peer.host}"))

    async def waiting_for(self, peer_host: str) -> int:
        """How many messages wait."""
        items = await self._pages(f"/api/v1/deliveries?peer={peer_host}")
        return sum(one["state"] == "queued" for one in items)

    # ------------------------------------------------------------ what is measured
    def reads(self) -> dict[str, Call]:
        share, given = self.from_peer[500]["id"], self.given[0]
        return {
            "GET /me": lambda: self.call("GET", "/api/v1/me"),
            "GET /inbox": lambda: self.call("GET", "/api/v1/inbox?limit=100"),
            "GET /inbox/{id}, of that server": lambda: self.call("GET", f"/api/v1/inbox/{share}"),
            "GET /shares": lambda: self.call("GET", "/api/v1/shares?limit=100"),
            "GET /shares/{id}, to that server": lambda: self.call("GET", f"/api/v1/shares/{given}"),
            "GET /deliveries": lambda: self.call("GET", "/api/v1/deliveries?limit=100"),
            "GET /deliveries?failed": lambda: self.call("GET", "/api/v1/deliveries?failed=true&limit=100"),
            "GET /discover, healthy": lambda: self.call("GET", f"/api/v1/discover?host={self.healthy.partition('@')[2]}"),
            "PROPFIND own folder": lambda: self.call("PROPFIND", "/dav/files/alice/", good=207, depth="1"),
            "GET own file": lambda: self.call("GET", "/dav/files/alice/given.txt"),
            "GET file of the healthy server": lambda: self.call("GET", f"/dav/files/alice/{self.healthy_path}"),
        }

    def long_reads(self) -> dict[str, Call]:
        return {
            "PROPFIND 1,000 received shares": lambda: self.call(
                "PROPFIND", "/dav/files/alice/Shared with me/", good=207, depth="1"
            )
        }

    def acts(self) -> dict[str, Call]:
        pending, of_peer, given = iter(self.pending), iter(self.from_peer), iter(self.given)
        mine: list[int] = []
        names = (f"mine-{number}.txt" for number in range(HEALTHY))

        async def share() -> None:
            mine.append(await self.share(next(names), self.healthy))

        return {
            "POST /shares, to the healthy server": share,
            "POST /shares/{id}/unshare, healthy": lambda: self.call("POST", f"/api/v1/shares/{mine.pop()}/unshare"),
            "POST /inbox/{id}/accept, healthy": lambda: self.call("POST", f"/api/v1/inbox/{next(pending)}/accept"),
            "POST /inbox/{id}/decline, healthy": lambda: self.call("POST", f"/api/v1/inbox/{next(pending)}/decline"),
            "POST /inbox/{id}/leave, of that server": lambda: self.call("POST", f"/api/v1/inbox/{next(of_peer)['id']}/leave"),
            "POST /shares/{id}/unshare, to that server": lambda: self.call("POST", f"/api/v1/shares/{next(given)}/unshare"),
        }

    async def open_of_peer(self, number: int) -> None:
        """Open a file of the dead (or living) peer, whatever comes of it."""
        path = self.from_peer[500 + number % 500]["path"]
        async with self._http.get(f"/dav/files/alice/{path}", headers=self._headers) as answer:
            await answer.read()


@asynccontextmanager
async def _client(site: Site) -> AsyncIterator[_Client]:
    async with aiohttp.ClientSession(site.origin) as http:
        client = _Client(site, http)
        await client.login()
        yield client


@asynccontextmanager
async def _opening(client: _Client) -> AsyncIterator[None]:
    """Let somebody open files of the client's peer, twenty a second at most, until the context ends."""

    async def go_on() -> None:
        for number in itertools.count():
            await client.open_of_peer(number)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _in_turns(dead: _Client, alive: _Client) -> list[RowValues]:
    kinds = [
        *((name, call, alive.reads()[name], ROUNDS) for name, call in dead.reads().items()),
        *((name, call, alive.long_reads()[name], ACTS) for name, call in dead.long_reads().items()),
        *((name, *both, ACTS) for name, both in _both(dead.acts(), alive.acts()).items()),
        ("POST /session", dead.login, alive.login, LOGINS),
    ]
    rows: list[RowValues] = []
    for name, at_dead, at_alive, times in kinds:
        taken: tuple[list[float], list[float]] = ([], [])
        for number in range(times + 5):
            turn = [(at_dead, taken[0]), (at_alive, taken[1])]
            for call, into in turn if number % 2 else reversed(turn):
                started = time.perf_counter()
                await call()
                if number >= 5:  # the first ones warm up
                    into.append(time.perf_counter() - started)
        p99 = [sorted(values)[int(len(values) * 0.99)] for values in taken]
        rows.append((name, p99[0] * 1000, "ms, p99", "p99 with a living peer (at most 1.5)", p99[0] / p99[1]))
    return rows


def _both(first: dict[str, Call], second: dict[str, Call]) -> dict[str, tuple[Call, Call]]:
    return {name: (call, second[name]) for name, call in first.items()}
