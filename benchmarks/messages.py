"""Signed messages: shares admitted and tokens issued, against bare verifications; discovery against an empty ASGI app."""

import asyncio
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.load import Load, http_request, run_load
from benchmarks.peer import LoadPeer
from demo.people import Person
from tests.federation.site import PASSWORD, Site
from tests.federation.wire import free_port

ROUNDS = 5
SHARES_A_ROUND = 4000
TOKENS_A_ROUND = 3000
CONNECTIONS = 64
_WIDE = "1000000"
_SETTINGS = {
    name: _WIDE
    for name in (
        "at_once_per_peer",
        "messages_per_peer",
        "pending_per_recipient",
        "shares_per_recipient",
        "unknown_shares_per_peer",
    )
}
RowValues = tuple[str, float, str, str, float | None]


def bare_verifications(seconds: float = 1.0) -> float:
    """Ed25519 verifications a second of one core, of a message as long as a signature base."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    public, message = key.public_key(), b"m" * 420
    signature = key.sign(message)
    count, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        for _ in range(50):
            public.verify(signature, message)
        count += 50
    return count / spent


async def measure(folder: Path) -> list[RowValues]:
    server = Site(folder / "s", ["bob"], _SETTINGS)
    await asyncio.to_thread(server.set_up)
    server.start()
    peer = LoadPeer(folder, free_port())
    try:
        with peer.serving():
            rows = await _shares(server, peer)
            rows += await _tokens(server, peer, folder)
        rows += await _discovery(server)
    finally:
        server.stop()
    return rows


async def _in_turns(prepare: Callable[[], list[bytes]], port: int, good: int) -> tuple[list[float], list[Load]]:
    bare: list[float] = []
    loads: list[Load] = []
    for number in range(ROUNDS + 1):
        requests = prepare()
        rate = bare_verifications()
        load = await run_load("127.0.0.1", port, requests, CONNECTIONS)
        if set(load.statuses) != {good}:
            raise RuntimeError(f"unexpected answers: {load.statuses}")
        if number:  # the first round warms up
            bare.append(rate)
            loads.append(load)
    return bare, loads


async def _shares(server: Site, peer: LoadPeer) -> list[RowValues]:
    recipient = f"bob@{server.host}"
    bare, loads = await _in_turns(
        lambda: [peer.share_creation(server.origin, recipient) for _ in range(SHARES_A_ROUND)], server.port, 201
    )
    with sqlite3.connect(f"file:{server.folder}/data/opencloudmesh.sqlite3?mode=ro", uri=True) as database:
        stored = database.execute("select count(*) from incoming_shares").fetchone()[0]
    if stored != (ROUNDS + 1) * SHARES_A_ROUND:
        raise RuntimeError(f"{stored} shares stored")
    return [
        ("bare Ed25519 verifications, one core", statistics.median(bare), "1/s", "", None),
        *_rows("POST /ocm/shares, signed, durably committed", bare, loads),
    ]


def _rows(name: str, bare: list[float], loads: list[Load]) -> list[RowValues]:
    ratio = statistics.median(load.rate / rate for rate, load in zip(bare, loads, strict=True))
    p99 = statistics.median(load.percentile(0.99) for load in loads) * 1000
    return [
        (name, statistics.median(load.rate for load in loads), "1/s", "bare verifications (at least 0.2)", ratio),
        (f"{name}: p99", p99, "ms", "100 ms (at most 1)", p99 / 100),
    ]


async def _tokens(server: Site, peer: LoadPeer, folder: Path) -> list[RowValues]:
    bob = Person("bob", folder / "bob", server)
    await asyncio.to_thread(bob.login, PASSWORD)
    file = folder / "data.txt"
    file.write_text("to be shared\n")
    await asyncio.to_thread(bob.run, "put", str(file), "data.txt")
    await asyncio.to_thread(bob.run, "share", "data.txt", f"carol@{peer.host}")
    secret = peer.shares[0]["protocol"]["webdav"]["sharedSecret"]
    bare, loads = await _in_turns(
        lambda: [peer.token_request(server.origin, secret) for _ in range(TOKENS_A_ROUND)], server.port, 200
    )
    return _rows("POST /ocm/token, signed", bare, loads)


async def _discovery(server: Site) -> list[RowValues]:
    port = free_port()
    empty = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.empty_app", str(port))
    try:
        await _wait_for(port)
        ours, theirs, ratios = [], [], []
        for number in range(ROUNDS + 1):
            load = await run_load(
                "127.0.0.1", server.port, [http_request("GET", "/.well-known/ocm", server.host)] * 15000, CONNECTIONS
            )
            base = await run_load("127.0.0.1", port, [http_request("GET", "/", "127.0.0.1")] * 15000, CONNECTIONS)
            if number:
                ours.append(load.rate)
                theirs.append(base.rate)
                ratios.append(load.rate / base.rate)
    finally:
        empty.terminate()
        await empty.wait()
    return [
        ("empty ASGI app on the same server", statistics.median(theirs), "1/s", "", None),
        ("GET /.well-known/ocm", statistics.median(ours), "1/s", "empty ASGI app (at least 0.5)", statistics.median(ratios)),
    ]


async def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return
    raise RuntimeError(f"nothing listens on {port}")
