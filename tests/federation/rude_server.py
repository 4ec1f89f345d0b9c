"""A server that does everything wrong, byte by byte, where a test wants it to; politely it serves discovery and messages."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from opencloudmesh.adapters.http_client import GuardedHttpClient
from opencloudmesh.adapters.http_connections import TimeLimits
from opencloudmesh.adapters.keys.signing_key import SigningKey
from opencloudmesh.protocol.discovery import OwnOffer, build_discovery
from opencloudmesh.protocol.http_signatures import Request, sign
from opencloudmesh.protocol.notifications import build_notification
from opencloudmesh.services.ports import HttpAnswer
from tests.services.world import new_token

Writer = asyncio.StreamWriter
_PIECE = bytes(65536)
HUGE = 10 * (1 << 30)
DISCOVERY = "/.well-known/ocm"
SHARES = "/ocm/shares"


@dataclass(frozen=True)
class Heard:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Manner = Callable[["RudeServer", Heard, Writer], Awaitable[None]]
"""Answers a request, or does not; afterwards the connection is closed."""


@dataclass
class RudeServer:
    """Listens on loopback; `manners` is how it answers, by path, in place of the polite way."""

    port: int = 0
    manners: dict[str, Manner] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    written: int = 0
    """Bytes of huge answers that were taken from us."""
    _listener: asyncio.Server | None = None
    _busy: set["asyncio.Task[None]"] = field(default_factory=set)

    # ------------------------------------------------------------ being there
    async def come(self) -> None:
        """Listen; at the same port as before."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def go(self) -> None:
        """Refuse all connections, and end those that are there."""
        if self._listener is not None:
            self._listener.close()
        for task in list(self._busy):
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)

    def answers_in_time(self, path: str) -> bool:
        """Whether a request for it is answered at all."""
        return self.manners.get(path) not in _NEVER_ENDING

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        return f"http://{self.host}"

    def change_keys(self) -> None:
        """Have other keys than before."""
        self.key = SigningKey(Ed25519PrivateKey.generate(), host=self.host)

    def got(self, path: str) -> list[Heard]:
        """What came to this path."""
        return [heard for heard in self.heard if heard.path == path]

    # ------------------------------------------------------------ answering
    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            await self._answer(await _request(reader), writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            self._busy.discard(task)

    async def _answer(self, heard: Heard, writer: Writer) -> None:
        self.heard.append(heard)
        await self.manners.get(heard.path, polite)(self, heard, writer)

    def document(self, path: str) -> tuple[int, Any]:
        """What it says politely."""
        if path == DISCOVERY:
            capabilities = ("http-sig", "exchange-token", "notifications")
            return 200, build_discovery(OwnOffer(origin=self.origin, provider="rude", capabilities=capabilities))
        if path == "/.well-known/jwks.json":
            return 200, self.key.public_jwks()
        return (201, {"recipientDisplayName": "Bob"}) if path in (SHARES, "/ocm/notifications") else (404, {})

    # ------------------------------------------------------------ what it sends
    def notification(self, origin: str, kind: str, provider_id: str, at: float, kid: str = "") -> Request:
        """A signed notification for our server."""
        own = (("content-type", "application/json"),)
        body = build_notification(kind, provider_id, "file")
        request = Request("POST", f"{origin}/ocm/notifications", own, body)
        key = self.key
        added = sign(request, keyid=kid or key.keyid, algorithm=key.algorithm, sign=key.sign, created=int(at), nonce=new_token())
        return Request("POST", request.target_uri, (*own, *added), body)


async def _request(reader: asyncio.StreamReader) -> Heard:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ", 2)
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
    return Heard(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


@asynccontextmanager
async def rude_server() -> AsyncIterator[RudeServer]:
    """One that is polite until a test changes its manners."""
    server = RudeServer()
    await server.come()
    server.change_keys()
    try:
        yield server
    finally:
        await server.go()


# ---------------------------------------------------------------- manners
async def polite(server: RudeServer, heard: Heard, writer: Writer) -> None:
    status, document = server.document(heard.path)
    writer.write(_whole(status, json.dumps(document).encode()))


def saying(status: int, body: bytes = b'{"message": "NO"}', **headers: str) -> Manner:
    """A whole answer."""

    async def manner(server: RudeServer, heard: Heard, writer: Writer) -> None:
        writer.write(_whole(status, body, **headers))

    return manner


def writing(*pieces: bytes) -> Manner:
    """These bytes, and then the end of the connection."""

    async def manner(server: RudeServer, heard: Heard, writer: Writer) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return manner


_NEVER_ENDING: set[Manner] = set()


def _never_ending(manner: Manner) -> Manner:
    _NEVER_ENDING.add(manner)
    return manner


def hanging(*pieces: bytes) -> Manner:
    """These bytes, and then nothing for ever."""

    async def manner(server: RudeServer, heard: Heard, writer: Writer) -> None:
        await writing(*pieces)(server, heard, writer)
        await asyncio.Event().wait()

    return _never_ending(manner)


def dripping(seconds: float) -> Manner:
    """A long answer, one byte at a time."""

    async def manner(server: RudeServer, heard: Heard, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(seconds)

    return _never_ending(manner)


def huge(*, sized: bool) -> Manner:
    """10 GB of JSON, made while it is taken."""

    async def manner(server: RudeServer, heard: Heard, writer: Writer) -> None:
        length = f"Content-Length: {HUGE}\r\n" if sized else ""
        writer.write(f"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n{length}\r\n".encode() + b'{"a": "')
        while server.written < HUGE:
            writer.write(_PIECE)
            await writer.drain()
            server.written += len(_PIECE)

    return manner


def at_first(number: int, rude: Manner) -> Manner:
    """So often like that, and then politely."""
    asked = 0

    async def manner(server: RudeServer, heard: Heard, writer: Writer) -> None:
        nonlocal asked
        asked += 1
        await (rude if asked <= number else polite)(server, heard, writer)

    return manner


# ---------------------------------------------------------------- who asks it
_AS_FAST = 50.0
_USUAL = TimeLimits()
_SOON = TimeLimits(_USUAL.connect, _USUAL.fetch_idle / _AS_FAST, _USUAL.stream_idle / _AS_FAST)


class ImpatientClient(GuardedHttpClient):
    """A client for whom time passes fifty times as fast while it asks one of these servers for what never comes.

    Of every other answer it waits as long as always: a busy machine is no rude server.
    """

    def __init__(self, *given: Any, servers: Mapping[str, RudeServer], **options: Any) -> None:
        super().__init__(*given, **options)
        self._servers = servers
        self._impatient = GuardedHttpClient(*given, limits=_SOON, **options)

    async def fetch(self, method: str, url: str, *, total_timeout: float = 20.0, **options: Any) -> HttpAnswer:
        asked = urlsplit(url)
        server = self._servers.get(asked.netloc)
        if server is None or server.answers_in_time(asked.path):
            return await super().fetch(method, url, total_timeout=total_timeout, **options)
        return await self._impatient.fetch(method, url, total_timeout=total_timeout / _AS_FAST, **options)

    async def aclose(self) -> None:
        await self._impatient.aclose()
        await super().aclose()


def _whole(status: int, body: bytes, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in ({"Content-Type": "application/json"} | headers).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
